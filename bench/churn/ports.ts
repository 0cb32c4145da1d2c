// Where the applications of the churn listen, and the addresses of the services that they are called by.

/** Bytes. */
export const PLAIN_PORT = 8080;
/** HTTP, looked at by a gate. */
export const HTTP_PORT = 8081;
/** Nobody. */
export const DEAF_PORT = 8082;

/** One pod, which stays. */
export const STEADY = '10.79.200.1';
/** That pod and one that comes and goes. */
export const SHAKY = '10.79.200.2';
/** A pod that has another identity than is promised. */
export const IMPOSTOR = '10.79.200.3';
/** Of a network in which nobody is. */
export const STRANGERS = '10.79.201.';

// What is used of jose. A file of its own, also of the bundles: it is loaded when a policy first asks for tokens, which most never do.
export { importJWK, jwtVerify } from 'jose';

// The few calls that the driver itself makes to the API server: is it ready, is there an object, make one.

import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { ClusterError } from './failure.ts';

/** An API server and the folder of certificates with `ca.crt`, `admin.crt` and `admin.key`. */
export interface ApiAddress {
  readonly host: string;
  readonly port: number;
  readonly pki: string;
}

/** An answer of the API server; `status` 0 means that it could not be reached. */
export interface ApiAnswer {
  readonly status: number;
  readonly body: string;
}

const TIMEOUT_MS = 10_000;

/** Sends one request as the cluster's administrator. Never fails for want of a connection: that is status 0. */
export function callApi(address: ApiAddress, method: 'GET' | 'POST', path: string, body?: object): Promise<ApiAnswer> {
  const { promise, resolve } = Promise.withResolvers<ApiAnswer>();
  const read = (name: string): Buffer => readFileSync(join(address.pki, name));
  const outgoing = request(
    {
      host: address.host,
      port: address.port,
      path,
      method,
      ca: read('ca.crt'),
      cert: read('admin.crt'),
      key: read('admin.key'),
      agent: false,
      timeout: TIMEOUT_MS,
      headers: body === undefined ? {} : { 'content-type': 'application/json' },
    },
    (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
      response.on('error', () => resolve({ status: 0, body: 'the connection broke' }));
    },
  );
  outgoing.on('timeout', () => outgoing.destroy(new Error('no answer in time')));
  outgoing.on('error', (error) => resolve({ status: 0, body: error.message }));
  outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  return promise;
}

/** Whether the API server serves and all its start-up hooks have run. */
export async function isReady(address: ApiAddress): Promise<boolean> {
  return (await callApi(address, 'GET', '/readyz')).status === 200;
}

/** Creates an object; one that is there already is fine. */
export async function createObject(address: ApiAddress, collection: string, object: object): Promise<void> {
  const answer = await callApi(address, 'POST', collection, object);
  if (answer.status !== 201 && answer.status !== 409) {
    throw new ClusterError(`the API server refused an object for ${collection}: ${answer.status} ${answer.body}`);
  }
}

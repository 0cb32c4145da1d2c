// Listening on every address of the pod: IPv6 and IPv4, or IPv4 alone where the node has no IPv6.
import type { Server } from 'node:net';
import { systemCode } from '../errors.ts';

/** What can listen: a fastify instance, whatever it serves over. */
export interface Listening {
  listen(options: { readonly port: number; readonly host: string }): Promise<string>;
  readonly server: Pick<Server, 'address'>;
}

/** Starts listening; the port, which the system chose when `port` is 0. */
export async function listenEverywhere(instance: Listening, port: number): Promise<number> {
  try {
    await instance.listen({ port, host: '::' });
  } catch (error) {
    if (systemCode(error) !== 'EAFNOSUPPORT' && systemCode(error) !== 'EADDRNOTAVAIL') throw error;
    await instance.listen({ port, host: '0.0.0.0' });
  }
  const address = instance.server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}

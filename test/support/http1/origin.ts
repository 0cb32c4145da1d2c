// The last server behind every back end of the tests: notes each request that reaches it, in order, and answers with what it noted.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { areaOf } from './areas.ts';

/** A request as it arrived. */
export interface Arrived {
  readonly method: string;
  readonly target: string;
  readonly body: string;
}

/** An origin at work. */
export interface Origin {
  readonly port: number;
  /** Everything since the last call. */
  taken(): readonly Arrived[];
  stop(): Promise<void>;
}

/** Starts one. It says in `x-area` what its own reading of the path comes to. */
export async function startOrigin(): Promise<Origin> {
  let arrived: Arrived[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('error', () => undefined);
    request.on('end', () => {
      const { method = '', url: target = '' } = request;
      arrived.push({ method, target, body: Buffer.concat(chunks).toString('latin1') });
      response.setHeader('x-area', areaOf(decoded(target.split('?', 1).join(''))));
      response.end(`${method} ${target}\n`);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    taken: () => {
      const all = arrived;
      arrived = [];
      return all;
    },
    stop: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function decoded(target: string): string {
  try {
    return decodeURIComponent(target);
  } catch {
    return target;
  }
}

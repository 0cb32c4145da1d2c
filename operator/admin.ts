// Probes and metrics over plain HTTP on the pod's address: /ready, /live, /metrics. Nothing here changes anything.
import { type FastifyInstance, fastify } from 'fastify';
import { systemCode } from '../lib/errors.ts';
import type { Metrics } from '../lib/runtime/metrics.ts';

export interface AdminDeps {
  /** Why the process is not ready; empty = ready. */
  notReady(): readonly string[];
  readonly metrics: Pick<Metrics, 'contentType' | 'text'>;
}

/** A running admin server. */
export interface Admin {
  readonly port: number;
  /** Answers what is under way, then ends. */
  close(): Promise<void>;
}

/** Listens on all addresses of the pod, IPv4 and IPv6. */
export async function startAdmin(deps: AdminDeps, port: number): Promise<Admin> {
  const server = fastify({ bodyLimit: 1024, requestTimeout: 10_000, forceCloseConnections: 'idle' });
  server.get('/live', (_request, reply) => reply.type('text/plain').send('ok\n'));
  server.get('/ready', (_request, reply) => {
    const reasons = deps.notReady();
    return reply
      .code(reasons.length === 0 ? 200 : 503)
      .type('text/plain')
      .send(reasons.length === 0 ? 'ok\n' : `${reasons.join('\n')}\n`);
  });
  server.get('/metrics', async (_request, reply) => {
    const text = await deps.metrics.text();
    return reply.type(deps.metrics.contentType).send(text);
  });
  await listen(server, port);
  return { port: portOf(server), close: () => server.close() };
}

/** `::` takes IPv4, too; a node may have no IPv6 at all. */
async function listen(server: FastifyInstance, port: number): Promise<void> {
  try {
    await server.listen({ port, host: '::' });
  } catch (error) {
    if (systemCode(error) !== 'EAFNOSUPPORT' && systemCode(error) !== 'EADDRNOTAVAIL') throw error;
    await server.listen({ port, host: '0.0.0.0' });
  }
}

function portOf(server: FastifyInstance): number {
  const address = server.server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

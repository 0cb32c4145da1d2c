// Probes and metrics over plain HTTP on the pod's address: /ready, /live, /metrics. Nothing here changes anything.
import { fastify } from 'fastify';
import type { Metrics } from '../runtime/metrics.ts';
import { listenEverywhere } from './listen.ts';

export interface AdminDeps {
  /** Why this replica must not be called; empty = ready. */
  notReady(): readonly string[];
  readonly metrics: Pick<Metrics, 'contentType' | 'text'>;
}

/** A running admin server. */
export interface Admin {
  readonly port: number;
  /** Answers what is under way, then ends. */
  close(): Promise<void>;
}

/** Starts it; port 0 lets the system choose. */
export async function startAdmin(deps: AdminDeps, port: number): Promise<Admin> {
  const server = fastify({ bodyLimit: 1024, requestTimeout: 10_000, forceCloseConnections: 'idle' });
  server.get('/live', (_request, reply) => reply.type('text/plain').send('ok\n'));
  server.get('/ready', (_request, reply) => {
    const reasons = deps.notReady();
    const text = reasons.length === 0 ? 'ok\n' : `${reasons.join('\n')}\n`;
    return reply
      .code(reasons.length === 0 ? 200 : 503)
      .type('text/plain')
      .send(text);
  });
  server.get('/metrics', async (_request, reply) => {
    const text = await deps.metrics.text();
    return reply.type(deps.metrics.contentType).send(text);
  });
  return { port: await listenEverywhere(server, port), close: () => server.close() };
}

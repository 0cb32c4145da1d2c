// The Spring Boot application of the interop tests: a server and an OkHttp client in one process.
import type { InteropTools } from '../../../hack/interop/tools.ts';
import { onFreePorts } from '../daemon.ts';
import type { Client } from './clients.ts';
import { LineClient } from './lines.ts';
import { type Place, type Server, springProperties } from './servers.ts';

/** How its two halves take up new files. */
export const springServer = {
  name: 'Spring Boot (Tomcat)',
  reloads: 'by itself: SSL bundle of PEM files with `reload-on-update: true`',
  reads: '`tls.crt`, `tls.key`, `ca.crt`',
  service: 'web',
} as const;
export const okHttpClient = {
  name: 'OkHttp with a Spring Boot SSL bundle',
  reloads: 'by itself: SSL bundle of keystores with `reload-on-update: true` and its update handler',
  reads: '`keystore.p12`, `truststore.p12`',
  service: 'caller',
} as const;

/** Starts it; ready when it listens. */
export function startSpring(
  { java }: InteropTools,
  place: Place,
): Promise<{ readonly server: Server; readonly client: Client }> {
  return onFreePorts(1, async ([port = 0]) => {
    const process = new LineClient(java, springProperties(port, place));
    for (let line = await process.next(); line !== 'ready'; line = await process.next()) {
      if (!line.startsWith('error')) continue;
      await process.stop();
      throw new Error(`Spring Boot did not start${/already in use/.test(line) ? ' (EADDRINUSE)' : ''}: ${line}`);
    }
    const stop = (): Promise<void> => process.stop();
    const server = { port, reload: () => Promise.resolve(), stop, output: () => process.output };
    return { server, client: { call: (host, at) => process.call(host, at), stop } };
  });
}

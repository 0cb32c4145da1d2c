// One process of a pair under load: `node --expose-gc loadprocess.ts <settings as JSON>`. A sidecar, or the application behind the second one, so
// that each has its own limit of open files and its own memory. Tells its parent when it listens, and its figures whenever it is asked.
import { createServer, type Socket } from 'node:net';
import { systemClock } from '../../lib/clock.ts';
import { MemoryCertificateSource } from '../../lib/runtime/credentials.ts';
import { Lifecycle } from '../../lib/runtime/lifecycle.ts';
import { createLogger } from '../../lib/runtime/logger.ts';
import { Metrics } from '../../lib/runtime/metrics.ts';
import { Core } from '../../sidecar/core.ts';
import type { LoadFigures, LoadSettings } from './loadpair.ts';
import { relays } from './relays.ts';

const settings = JSON.parse(process.argv[2] ?? '{}') as LoadSettings;

/** Connections of the application. */
const open = new Set<Socket>();

process.on('message', (told: number | 'read on') => {
  if (told === 'read on') for (const socket of open) socket.resume();
  else process.send?.(figures(told));
});
// The parent is gone: so is the test.
process.on('disconnect', () => process.exit(1));

let live: () => Pick<LoadFigures, 'inbound' | 'outbound' | 'ready'>;
if (settings.role === 'application') application();
else await sidecar(settings);

function figures(question: number): LoadFigures {
  globalThis.gc?.();
  const { rss, heapUsed, external } = process.memoryUsage();
  return { question, ...live(), rssMb: rss / 2 ** 20, heapMb: (heapUsed + external) / 2 ** 20 };
}

/** Sends back what it gets; after the word `flood` it sends without end, after `stall` it reads no more. */
function application(): void {
  const block = Buffer.alloc(64 * 1024);
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    socket.on('error', () => undefined);
    socket.on('end', () => socket.end());
    socket.on('data', (chunk: Buffer) => {
      if (chunk.equals(Buffer.from('stall'))) return void socket.pause();
      if (!chunk.equals(Buffer.from('flood'))) return void socket.write(chunk);
      const flood = (): void => {
        while (socket.writable && socket.write(block));
      };
      socket.on('drain', flood);
      return flood();
    });
  });
  live = () => ({ inbound: open.size, outbound: 0, ready: true });
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () => {
    process.send?.({ listening: (server.address() as { port: number }).port });
  });
}

async function sidecar({ service, leaf, control, applicationPort, relay }: Extract<LoadSettings, { role: 'sidecar' }>) {
  const clock = systemClock;
  const logger = createLogger({ name: service, level: 'error' });
  const source = new MemoryCertificateSource();
  source.offer(leaf, clock.now());
  const core: Core = new Core({
    clock,
    logger,
    metrics: new Metrics(),
    source,
    openHalf: relays[relay],
    original: () => ({ family: 4, address: '127.0.0.1', port: applicationPort }),
    isSamePort: (named) => named === core.inbound.port,
    config: {
      podName: `${service}-0`,
      podUid: `uid-${service}`,
      podIps: [],
      service,
      control: { host: '127.0.0.1', ...control },
      logLevel: 'error',
      relay: 'Auto',
      probes: '[]',
      tlsFolder: '',
      stateFolder: settings.folder,
      ports: { inbound: 0, outbound: 0, admin: 0 },
      drainMs: 1_000,
    },
  });
  const lifecycle = new Lifecycle({ logger, stopTimeoutMs: 5_000 });
  live = () => ({
    inbound: core.live.count('inbound'),
    outbound: core.live.count('outbound'),
    ready: core.notReady().length === 0,
  });
  await core.start();
  core.run(lifecycle.stage('traffic'), lifecycle.stage('background'));
  process.send?.({ listening: core.outbound.port, inbound: core.inbound.port });
}

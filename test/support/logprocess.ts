// A sidecar as a process of its own that logs to its standard output as the real one does: `node --expose-gc logprocess.ts <settings as JSON>`. Tells
// its parent when it listens, and its figures whenever it is asked.
import { systemClock } from '../../lib/clock.ts';
import { MemoryCertificateSource } from '../../lib/runtime/credentials.ts';
import { Lifecycle } from '../../lib/runtime/lifecycle.ts';
import { Metrics } from '../../lib/runtime/metrics.ts';
import { Core } from '../../sidecar/core.ts';
import { openLog } from '../../sidecar/log/output.ts';
import { openTestHalf } from './relays.ts';

/** What it is told. */
export interface LogSettings {
  readonly service: string;
  readonly leaf: { readonly certificate: string; readonly key: string; readonly trustBundle: string };
  readonly control: { readonly port: number; readonly identity: string };
  readonly applicationPort: number;
  readonly folder: string;
  readonly logFormat: 'OpenTelemetry' | 'ECS';
}

/** What it answers to any message. */
export interface LogFigures {
  readonly ready: boolean;
  readonly metrics: string;
  /** After a collection. */
  readonly heapMb: number;
  readonly rssMb: number;
}

const settings = JSON.parse(process.argv[2] ?? '{}') as LogSettings;
const { service, leaf, control, applicationPort, folder, logFormat } = settings;
const metrics = new Metrics();
const logger = openLog({ logLevel: 'info', logFormat }, metrics);
const source = new MemoryCertificateSource();
source.offer(leaf, systemClock.now());
const core: Core = new Core({
  clock: systemClock,
  logger,
  metrics,
  source,
  openHalf: openTestHalf,
  original: () => ({ family: 4, address: '127.0.0.1', port: applicationPort }),
  isSamePort: (named) => named === core.inbound.port,
  config: {
    podName: `${service}-0`,
    podUid: `uid-${service}`,
    podIps: [],
    service,
    control: { host: '127.0.0.1', ...control },
    logLevel: 'info',
    logFormat,
    relay: 'Auto',
    probes: '[]',
    tlsFolder: '',
    stateFolder: folder,
    ports: { inbound: 0, outbound: 0, admin: 0 },
    drainMs: 1_000,
  },
});
const lifecycle = new Lifecycle({ logger, stopTimeoutMs: 5_000 });
lifecycle.onSignals(process);
process.on('message', () => void tell());
async function tell(): Promise<void> {
  globalThis.gc?.();
  const { heapUsed, external, rss } = process.memoryUsage();
  const text = await metrics.text();
  const ready = core.notReady().length === 0;
  const heapMb = (heapUsed + external) / 2 ** 20;
  process.send?.({ ready, metrics: text, heapMb, rssMb: rss / 2 ** 20 } satisfies LogFigures);
}
// The parent is gone: so is the test.
process.on('disconnect', () => process.exit(1));
await core.start();
core.run(lifecycle.stage('traffic'), lifecycle.stage('background'));
process.send?.({ inboundPort: core.inbound.port, outboundPort: core.outbound.port });
process.exit(await lifecycle.finished());

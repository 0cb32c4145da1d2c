// A sidecar as a process of its own: the real core with its real files, clock and control API client. Only the original destination
// of a connection, which the kernel's redirect tells, is always the application's port. Prints the inbound port when it listens:
// `node sidecarprocess.ts <application port> <control port> <control identity> <folder> <pod uid>`.
import { join } from 'node:path';
import { systemClock } from '../../lib/clock.ts';
import { CertificateFiles } from '../../lib/runtime/certfiles.ts';
import { Lifecycle } from '../../lib/runtime/lifecycle.ts';
import { createLogger } from '../../lib/runtime/logger.ts';
import { Metrics } from '../../lib/runtime/metrics.ts';
import { Core } from '../../sidecar/core.ts';
import { EdgeFiles } from '../../sidecar/edge/files.ts';
import { openTestHalf } from './relays.ts';

const [applicationPort = '', controlPort = '', identity = '', folder = '', podUid = ''] = process.argv.slice(2);
const clock = systemClock;
const logger = createLogger({ name: 'sidecar', level: 'info' });
const lifecycle = new Lifecycle({ logger, stopTimeoutMs: 10_000 });
lifecycle.onSignals(process);
const tlsFolder = join(folder, 'tls');
const source = new CertificateFiles({ folder: tlsFolder, clock, logger, pollMs: 500 });
const edge = new EdgeFiles({ folder: tlsFolder, clock, logger, pollMs: 200 });
await source.refresh();
const core: Core = new Core({
  clock,
  logger,
  metrics: new Metrics(),
  source,
  edge,
  openHalf: openTestHalf,
  // Nothing is captured here: endpoints are the inbound listener itself.
  isSamePort: (named) => named === core.inbound.port,
  original: () => ({ family: 4, address: '127.0.0.1', port: Number(applicationPort) }),
  config: {
    podName: 'web-1',
    podUid,
    podIps: [],
    service: 'web',
    control: { host: '127.0.0.1', port: Number(controlPort), identity },
    logLevel: 'info',
    relay: 'Auto',
    probes: '[]',
    tlsFolder,
    stateFolder: join(folder, 'state'),
    ports: { inbound: 0, outbound: 0, admin: 0 },
    drainMs: 1_000,
  },
});
await core.start();
core.run(lifecycle.stage('traffic'), lifecycle.stage('background'));
const background = lifecycle.stage('files');
background.run('certificate files', (signal) => source.run(signal));
background.run('edge certificate files', (signal) => edge.run(signal));
console.log(JSON.stringify({ inboundPort: core.inbound.port }));
process.exitCode = await lifecycle.finished();

// A pod of a mesh without a kubelet, as a process of its own: the real sidecar with its real files, clock and control API client.
// Who is meant by a captured connection, which the kernel's redirect tells in a real pod, is told by the test: what comes to the
// inbound port is for the application, what comes to the outbound port for the one target. The parent speaks over IPC.
import { join } from 'node:path';
import { systemClock } from '../../lib/clock.ts';
import { CertificateFiles } from '../../lib/runtime/certfiles.ts';
import { Lifecycle } from '../../lib/runtime/lifecycle.ts';
import { createLogger } from '../../lib/runtime/logger.ts';
import { Metrics } from '../../lib/runtime/metrics.ts';
import { Core } from '../../sidecar/core.ts';
import type { OriginalDestination } from '../../sidecar/destination/original.ts';
import { openTestHalf } from './relays.ts';
import type { MeshPodSettings, MeshPodTold } from './rotationmesh.ts';

const settings = JSON.parse(process.argv[2] ?? '{}') as MeshPodSettings;
const clock = systemClock;
const logger = createLogger({ name: settings.podName, level: 'info' });
const lifecycle = new Lifecycle({ logger, stopTimeoutMs: 5_000 });
lifecycle.onSignals(process);
const tlsFolder = join(settings.folder, 'tls');
const source = new CertificateFiles({ folder: tlsFolder, clock, logger, pollMs: 500 });
await source.refresh();
let target: OriginalDestination | undefined;
const application: OriginalDestination = { family: 4, address: '127.0.0.1', port: settings.applicationPort };
const core: Core = new Core({
  clock,
  logger,
  metrics: new Metrics(),
  source,
  openHalf: openTestHalf,
  // Nothing is captured here: endpoints are the inbound listener itself.
  isSamePort: (named) => named === core.inbound.port,
  original: (socket) => (socket.localPort === core.outbound.port ? target : application),
  config: {
    podName: settings.podName,
    podUid: settings.podUid,
    podIps: [settings.podIp],
    service: settings.service,
    control: { host: '127.0.0.1', port: settings.controlPort, identity: settings.controlIdentity },
    logLevel: 'info',
    relay: 'Auto',
    probes: '[]',
    tlsFolder,
    stateFolder: join(settings.folder, 'state'),
    ports: { inbound: 0, outbound: 0, admin: 0 },
    drainMs: 1_000,
  },
});
process.on('message', (told: MeshPodTold) => {
  target = { family: 4, ...told.target };
});
// The parent is gone: so is the test.
process.on('disconnect', () => process.exit(1));
await core.start();
core.run(lifecycle.stage('traffic'), lifecycle.stage('background'));
lifecycle.stage('files').run('certificate files', (signal) => source.run(signal));
const tell = (): void => {
  process.send?.({ inbound: core.inbound.port, outbound: core.outbound.port, missing: core.notReady() });
};
tell();
setInterval(tell, 200).unref();
process.exitCode = await lifecycle.finished();

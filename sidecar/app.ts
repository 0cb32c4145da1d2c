// The sidecar process: real files, real clock, real redirect, and a stop in order.
import type { RelayWish } from '../lib/api/contract.ts';
import { systemClock } from '../lib/clock.ts';
import { CertificateFiles } from '../lib/runtime/certfiles.ts';
import { Lifecycle } from '../lib/runtime/lifecycle.ts';
import type { Logger } from '../lib/runtime/logger.ts';
import { Metrics } from '../lib/runtime/metrics.ts';
import { startAdmin } from './admin.ts';
import type { SidecarConfig } from './config.ts';
import { Core } from './core.ts';
import { openOriginalDestination } from './destination/original.ts';
import { EdgeFiles } from './edge/files.ts';
import { openLog } from './log/output.ts';
import { settleMemory } from './memory.ts';
import { ProbeRunner, parseProbes } from './probes.ts';
import { heldReadiness } from './readiness.ts';
import { chooseRelay, type RelayChoice } from './relay/choice.ts';
import { aborted } from './wait.ts';

/** What is left to do after the last connection: snapshots, sockets, the log. */
const STOP_MARGIN_MS = 4_000;

/** Runs until SIGTERM or a fault; resolves with the exit code. */
export async function runSidecar(config: SidecarConfig): Promise<0 | 1> {
  const clock = systemClock;
  const metrics = new Metrics();
  const logger = openLog(config, metrics);
  const lifecycle = new Lifecycle({ logger, clock, stopTimeoutMs: config.drainMs + STOP_MARGIN_MS });
  const undo = lifecycle.onSignals(process);
  const rejected = metrics.counter({
    name: 'tabard_certificate_files_rejected_total',
    help: 'Sets of mounted certificate files that were refused, by fault; the last good ones stayed.',
    labels: ['fault'],
  });
  const source = new CertificateFiles({
    folder: config.tlsFolder,
    clock,
    logger,
    onRejected: (fault) => rejected.inc({ fault }),
  });
  const edge = new EdgeFiles({ folder: config.tlsFolder, clock, logger });
  const original = openOriginalDestination();
  const traffic = lifecycle.stage('traffic');
  const background = lifecycle.stage('background');
  let missing: () => readonly string[] = () => ['start'];
  const { stopping } = lifecycle;
  const notReady = heldReadiness({ missing: () => (stopping.aborted ? ['stopping'] : missing()), clock, stopping });
  const probes = new ProbeRunner({ probes: parseProbes(config.probes), podIps: config.podIps });
  try {
    // Before all else: a question that nobody takes is asked again a second later.
    const admin = await startAdmin({ notReady, metrics, probes, logger }, { port: config.ports.admin });
    // The last to go: the kubelet asks while the others drain.
    lifecycle.stage('admin').run('admin port', async (signal) => {
      await aborted(signal);
      await admin.close();
    });
    const { openHalf, ...relay } = await chooseRelay(config.relay);
    tellRelay(relay, config.relay, { logger, metrics });
    const core = new Core({ config, clock, logger, metrics, source, edge, original, openHalf });
    await source.refresh();
    await core.start();
    core.run(traffic, background);
    missing = () => core.notReady();
    background.run('certificate files', (signal) => source.run(signal));
    background.run('edge certificate files', (signal) => edge.run(signal));
  } catch (error) {
    lifecycle.stop('the start failed', error);
  }
  background.run('memory', (signal) => settleMemory({ clock }, signal));
  const code = await lifecycle.finished();
  undo();
  return code;
}

/** Both in the log and in the metrics: whoever compares costs or looks for a fault has to know. */
function tellRelay(
  relay: Omit<RelayChoice, 'openHalf'>,
  wish: RelayWish,
  { logger, metrics }: { readonly logger: Logger; readonly metrics: Metrics },
): void {
  if (wish === 'Auto' && relay.path === 'public') logger.warn(relay, 'relay chosen');
  else logger.info(relay, 'relay chosen');
  const help = 'Which relay carries bytes: fast (on socket handles) or public (on the stream API); always 1.';
  metrics.gauge({ name: 'tabard_sidecar_relay_info', help, labels: ['path'] }).set(1, { path: relay.path });
}

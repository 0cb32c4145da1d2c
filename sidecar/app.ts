// The sidecar process: real files, real clock, real redirect, and a stop in order.
import type { RelayWish } from '../lib/api/contract.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { CertificateFiles } from '../lib/runtime/certfiles.ts';
import { MemoryCertificateSource } from '../lib/runtime/credentials.ts';
import { Lifecycle, type Stage } from '../lib/runtime/lifecycle.ts';
import { type Logger, lineWriter } from '../lib/runtime/logger.ts';
import { Metrics } from '../lib/runtime/metrics.ts';
import { startAdmin } from './admin.ts';
import { type SidecarConfig, workerEnvironment } from './config.ts';
import { parseDestination } from './control/parse.ts';
import { Core, type CoreDeps } from './core.ts';
import { readLimits, workersFor } from './cores.ts';
import { type OriginalDestinationReader, openOriginalDestination } from './destination/original.ts';
import { judgeEdge } from './edge/certificate.ts';
import { EdgeFiles } from './edge/files.ts';
import { openLog } from './log/output.ts';
import { settleMemory } from './memory.ts';
import { ProbeRunner, parseProbes } from './probes.ts';
import { heldReadiness } from './readiness.ts';
import { chooseRelay, type RelayChoice } from './relay/choice.ts';
import { aborted } from './wait.ts';

/** What is left to do after the last connection: snapshots, sockets, the log. */
const STOP_MARGIN_MS = 4_000;
/** Of it, what further workers may take. */
const WORKERS_MARGIN_MS = 2_000;

/** What tests have otherwise: they capture nothing. */
export interface World {
  readonly original?: OriginalDestinationReader;
  readonly isSamePort?: CoreDeps['isSamePort'];
  /** Called when the ports are open. */
  readonly started?: (core: Core, adminPort: number) => void;
}

/** What every worker's process has. */
interface Body {
  readonly config: SidecarConfig;
  readonly world: World;
  readonly original: OriginalDestinationReader;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly lifecycle: Lifecycle;
  readonly traffic: Stage;
  readonly background: Stage;
}

/** Runs until SIGTERM or a fault; resolves with the exit code. */
export async function runSidecar(config: SidecarConfig, world: World = {}): Promise<0 | 1> {
  const clock = systemClock;
  const metrics = new Metrics();
  const logger = openLog(config, metrics);
  const lifecycle = new Lifecycle({ logger, clock, stopTimeoutMs: config.drainMs + STOP_MARGIN_MS });
  const undo = lifecycle.onSignals(process);
  const traffic = lifecycle.stage('traffic');
  const background = lifecycle.stage('background');
  const original = world.original ?? openOriginalDestination();
  const body: Body = { config, world, original, clock, metrics, logger, lifecycle, traffic, background };
  let end: () => void = () => undefined;
  try {
    if (config.worker === undefined || config.worker === 0) await startFirst(body);
    else end = await startFurther(body, config.worker);
  } catch (error) {
    lifecycle.stop('the start failed', error);
  }
  background.run('memory', (signal) => settleMemory({ clock }, signal));
  const code = await lifecycle.finished();
  undo();
  end();
  return code;
}

/** The process that the container starts: alone, or the first of several workers. */
async function startFirst(body: Body): Promise<void> {
  const { config, world, clock, metrics, logger, lifecycle, traffic, background } = body;
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
  let missing: () => readonly string[] = () => ['start'];
  const { stopping } = lifecycle;
  const notReady = heldReadiness({ missing: () => (stopping.aborted ? ['stopping'] : missing()), clock, stopping });
  const probes = new ProbeRunner({ probes: parseProbes(config.probes), podIps: config.podIps });
  const crew = await openCrew(body, { source, edge });
  // Before all else: a question that nobody takes is asked again a second later.
  const admin = await startAdmin(
    { notReady, metrics: crew?.metrics ?? metrics, probes, logger },
    { port: config.ports.admin },
  );
  // The last to go: the kubelet asks while the others drain.
  lifecycle.stage('admin').run('admin port', async (signal) => {
    await aborted(signal);
    await admin.close();
  });
  const { openHalf, ...relay } = await chooseRelay(config.relay);
  tellRelay(relay, config.relay, { logger, metrics });
  const seat = crew === undefined ? {} : { seat: crew.seat };
  const core = new Core({ ...coreParts(body), source, edge, openHalf, ...seat });
  await source.refresh();
  await core.start();
  core.run(traffic, background);
  world.started?.(core, admin.port);
  missing = () => core.notReady();
  background.run('certificate files', (signal) => source.run(signal));
  background.run('edge certificate files', (signal) => edge.run(signal));
  if (crew !== undefined) traffic.run('workers', (signal) => crew.run(core, signal));
}

/** Where the container has more than one core for it. */
async function openCrew(body: Body, files: { readonly source: CertificateFiles; readonly edge: EdgeFiles }) {
  const { config, clock, metrics, logger } = body;
  const workers = workersFor(config.workers ?? 'Auto', readLimits());
  if (workers === 1) return undefined;
  logger.info({ workers }, 'workers share the data path');
  const later = await import('./workers/later.ts');
  const drainMs = config.drainMs + WORKERS_MARGIN_MS;
  const line = lineWriter(logger);
  const parts = { clock, logger, metrics, ...files, workers, line, drainMs, parseDestination };
  return later.openCrew({ ...parts, environment: workerEnvironment });
}

/** A process that the first worker has started: no files, no admin port, no connection to the control API. Resolves with what ends it. */
async function startFurther(body: Body, worker: number): Promise<() => void> {
  const { config, clock, metrics, logger, lifecycle, traffic, background } = body;
  logger.setBindings({ worker });
  const later = await import('./workers/later.ts');
  const { openHalf } = await chooseRelay(config.relay);
  const channel = await later.startFurther({
    clock,
    metrics,
    logger,
    traffic,
    background,
    stop: (reason, failure) => lifecycle.stop(reason, failure),
    makeSource: () => new MemoryCertificateSource(),
    judgeEdge,
    makeCore: ({ ports, ...own }) => {
      const shared = { ...config, ports: { ...config.ports, ...ports } };
      return new Core({ ...coreParts(body), config: shared, openHalf, ...own });
    },
  });
  return () => channel.close();
}

/** What a core has in whichever worker. */
function coreParts({ config, world, original, clock, logger, metrics }: Body) {
  const { isSamePort } = world;
  return { config, original, clock, logger, metrics, ...(isSamePort === undefined ? {} : { isSamePort }) };
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

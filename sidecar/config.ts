// The sidecar's settings, from the environment that the webhook writes (lib/api/contract.ts). Read once; all faults at once.
import { isIP } from 'node:net';
import {
  env,
  type LogFormat,
  logFormats,
  MOST_WORKERS,
  paths,
  ports,
  type RelayWish,
  relayWishes,
  type WorkersWish,
  workersWishes,
} from '../lib/api/contract.ts';
import { ConfigReader, type Environment } from '../lib/runtime/config.ts';
import type { LogLevel } from '../lib/runtime/logger.ts';
import type { ControlPeer } from './control/dial.ts';

/** Settings of one sidecar. */
export interface SidecarConfig {
  readonly podName: string;
  readonly podUid: string;
  readonly podIps: readonly string[];
  readonly service: string;
  readonly control: ControlPeer;
  readonly logLevel: LogLevel;
  readonly logFormat?: LogFormat;
  readonly relay: RelayWish;
  /** How many processes share the data path; `Auto` by default. */
  readonly workers?: WorkersWish;
  /** This process is a further worker, with that number (1 or more), of the process that started it; 0 = it is the first. */
  readonly worker?: number;
  /** JSON of the rewritten probes, as the webhook wrote it. */
  readonly probes: string;
  readonly tlsFolder: string;
  readonly stateFolder: string;
  readonly ports: { readonly inbound: number; readonly outbound: number; readonly admin: number };
  /** Longest time from the signal to stop until the last connection is ended. */
  readonly drainMs: number;
}

/** Reads the settings. Throws AppError `config_invalid` that names every faulty variable. */
export function readConfig(environment: Environment): SidecarConfig {
  const reader = new ConfigReader(environment);
  return reader.finish({
    podName: reader.text(env.podName),
    podUid: reader.text(env.podUid),
    podIps: reader.list(env.podIps, undefined, (item) => (isIP(item) === 0 ? 'is no IP address' : undefined)),
    service: reader.text(env.service),
    control: readControl(reader),
    logLevel: reader.level(env.logLevel),
    logFormat: reader.choice(env.logFormat, logFormats, 'OpenTelemetry'),
    relay: reader.choice(env.relay, relayWishes, 'Auto'),
    workers: reader.choice(env.workers, workersWishes, 'Auto'),
    // Written by the first worker, which is the one that the container starts.
    worker: reader.integer(env.worker, { min: 0, max: MOST_WORKERS }, 0),
    probes: reader.text(env.probes, '[]'),
    tlsFolder: reader.text('TABARD_TLS_FOLDER', paths.tls),
    stateFolder: reader.text('TABARD_STATE_FOLDER', paths.state),
    ports: {
      inbound: reader.port('TABARD_INBOUND_PORT', ports.inbound, true),
      outbound: reader.port('TABARD_OUTBOUND_PORT', ports.outbound, true),
      admin: reader.port('TABARD_ADMIN_PORT', ports.admin, true),
    },
    // Five seconds below the usual terminationGracePeriodSeconds of 30, for what is left to do after the last connection.
    drainMs: reader.integer(env.drainSeconds, { min: 0, max: 3_600 }, 25) * 1000,
  });
}

/** The environment of a further worker: our own, with its number. */
export function workerEnvironment(index: number): Environment {
  return { ...process.env, [env.worker]: String(index) };
}

function readControl(reader: ConfigReader): ControlPeer {
  const address = reader.text(env.controlAddress);
  const identity = reader.text(env.controlIdentity);
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:]+)):(\d{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || Number(match?.[3]) > 65_535) {
    if (address !== '') reader.fault(env.controlAddress, `is "${address}"; it takes host:port`, undefined);
    return { host: '', port: 0, identity };
  }
  return { host, port: Number(match?.[3]), identity };
}

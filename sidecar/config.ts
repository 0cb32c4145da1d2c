// The sidecar's settings, from the environment that the webhook writes (lib/api/contract.ts). Read once; all faults at once.
import { isIP } from 'node:net';
import { env, type LogFormat, logFormats, paths, ports, type RelayWish, relayWishes } from '../lib/api/contract.ts';
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

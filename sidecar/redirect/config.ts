// Settings of the redirect container.
import { env } from '../../lib/api/contract.ts';
import { ConfigReader, type Environment } from '../../lib/runtime/config.ts';
import type { LogLevel } from '../../lib/runtime/logger.ts';
import type { Exclusions } from './rules.ts';

/** What the redirect container is told. */
export interface RedirectConfig {
  readonly logLevel: LogLevel;
  readonly exclusions: Exclusions;
}

/** Reads the environment. Throws AppError `config_invalid` that names every faulty variable. */
export function readRedirectConfig(environment: Environment): RedirectConfig {
  const reader = new ConfigReader(environment);
  const portList = (name: string): readonly number[] => reader.list(name, '', faultOfPort).map(Number);
  return reader.finish({
    logLevel: reader.level(env.logLevel),
    exclusions: {
      inboundPorts: portList(env.excludeInboundPorts),
      outboundPorts: portList(env.excludeOutboundPorts),
      outboundCidrs: reader.cidrs(env.excludeOutboundCidrs, ''),
    },
  });
}

function faultOfPort(item: string): string | undefined {
  const port = /^\d{1,5}$/.test(item) ? Number(item) : 0;
  return port >= 1 && port <= 65_535 ? undefined : 'is no port; write numbers from 1 to 65535';
}

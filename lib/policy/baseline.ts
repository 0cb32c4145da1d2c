// The floor that TLSBaselines set: the strictest of all of them, and what it changes of a policy. Pure.
import type { EffectivePolicy } from '../api/control.ts';
import type { TLSBaseline } from '../api/tlsbaseline.ts';
import type { Mode } from '../api/tlspolicy.ts';
import { formatDuration, parseDuration } from '../clock.ts';
import type { CertificateSettings, Fault } from './effective.ts';

/** What may not be gone below. `by` names the baselines that it comes from. */
export interface Floor {
  readonly mode: Mode;
  readonly minVersion: '1.2' | '1.3';
  /** Suites that may be used; undefined = all. */
  readonly ciphers: readonly string[] | undefined;
  /** Longest lifetime of a certificate in milliseconds; Infinity = any. */
  readonly longestMs: number;
  readonly by: readonly string[];
}

const strictness: readonly Mode[] = ['Disabled', 'Permissive', 'ServerOnly', 'Mutual'];

/** No floor at all. */
export const noFloor: Floor = { mode: 'Disabled', minVersion: '1.2', ciphers: undefined, longestMs: Infinity, by: [] };

/** The floor of the baselines that are enforced, or of those in audit mode. */
export function floorOf(baselines: readonly TLSBaseline[], audit: boolean = false): Floor {
  return baselines
    .filter(({ spec }) => (spec.audit === true) === audit)
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    .reduce(joined, noFloor);
}

function joined(floor: Floor, { metadata, spec }: TLSBaseline): Floor {
  const ciphers = spec.tls?.ciphers ?? [];
  return {
    mode: stricterMode(floor.mode, spec.mode ?? 'Disabled'),
    minVersion: floor.minVersion === '1.3' || spec.tls?.minVersion === '1.3' ? '1.3' : '1.2',
    ciphers: ciphers.length === 0 ? floor.ciphers : narrowed(floor.ciphers, ciphers),
    longestMs: Math.min(floor.longestMs, durationOf(spec.certificate?.maxLifetime)),
    by: [...floor.by, metadata.name],
  };
}

function stricterMode(a: Mode, b: Mode): Mode {
  return strictness.indexOf(a) < strictness.indexOf(b) ? b : a;
}

/** Sidecars speak TLS 1.3 with each other: two lists without a suite of 1.3 in common leave the first as it is. */
function narrowed(allowed: readonly string[] | undefined, wanted: readonly string[]): readonly string[] {
  if (allowed === undefined) return wanted;
  const both = allowed.filter((suite) => wanted.includes(suite));
  return both.some(isNewest) ? both : allowed;
}

function isNewest(suite: string): boolean {
  return !suite.includes('_WITH_');
}

/** The CRD refuses what cannot be read; should it come through, it binds nobody. */
function durationOf(text: string | undefined): number {
  try {
    return text === undefined ? Infinity : parseDuration(text);
  } catch {
    return Infinity;
  }
}

/** A policy as the floor leaves it. The same object when nothing is below. */
export function raised(policy: EffectivePolicy, floor: Floor): EffectivePolicy {
  const mode = stricterMode(policy.mode, floor.mode);
  // Who may write "the application speaks TLS itself" at a Service could otherwise leave the mesh by it.
  const ports = policy.ports.map(({ port, mode: own, protocol }) => ({
    port,
    mode: stricterMode(own, floor.mode),
    protocol: protocol === 'Passthrough' && floor.mode !== 'Disabled' ? ('TCP' as const) : protocol,
  }));
  const minVersion = floor.minVersion === '1.3' ? '1.3' : policy.tls.minVersion;
  const tls = { ...policy.tls, minVersion, ciphers: permitted(policy.tls.ciphers, floor.ciphers, minVersion) };
  const next = { ...policy, mode, ports, tls };
  return JSON.stringify(next) === JSON.stringify(policy) ? policy : next;
}

function permitted(
  wanted: readonly string[],
  allowed: readonly string[] | undefined,
  minVersion: '1.2' | '1.3',
): readonly string[] {
  const fits = (suite: string): boolean => minVersion === '1.2' || isNewest(suite);
  if (allowed === undefined) return wanted.every(fits) ? wanted : wanted.filter(fits);
  const kept = wanted.filter((suite) => allowed.includes(suite) && fits(suite));
  return kept.some(isNewest) ? kept : allowed.filter(fits);
}

/** What the floor changes of a policy as it is written, for its status. */
export function overrides(policy: EffectivePolicy, certificate: CertificateSettings, floor: Floor): readonly Fault[] {
  const next = raised(policy, floor);
  const faults: Fault[] = [];
  const note = (field: string, before: string, after: string): void => {
    if (before !== after) faults.push({ field, message: `${before} is below the baseline; ${after} holds` });
  };
  note('spec.mode', policy.mode, next.mode);
  for (const [index, { port, mode, protocol }] of policy.ports.entries()) {
    note(`spec.ports[${port}].mode`, mode, next.ports[index]?.mode ?? mode);
    note(`spec.ports[${port}].protocol`, protocol, next.ports[index]?.protocol ?? protocol);
  }
  note('spec.tls.minVersion', policy.tls.minVersion, next.tls.minVersion);
  if (policy.tls.ciphers.length > 0) note('spec.tls.ciphers', policy.tls.ciphers.join(' '), next.tls.ciphers.join(' '));
  const { lifetimeMs } = certificate;
  note('spec.certificate.lifetime', formatDuration(lifetimeMs), formatDuration(Math.min(lifetimeMs, floor.longestMs)));
  return faults;
}

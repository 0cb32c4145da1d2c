// What of a TLSBaseline or a TLSRole does not hold as it is written, in words. Rules are judged as those of a policy are, so that both say
// the same of the same fault. Pure.
import type { AuthorizationRule } from '../api/authorization.ts';
import { API_VERSION } from '../api/contract.ts';
import type { TLSBaseline, TLSRole } from '../api/tlsbaseline.ts';
import type { TLSPolicy } from '../api/tlspolicy.ts';
import { parseDuration } from '../clock.ts';
import { compileAuthorization } from './authorization.ts';
import { floorOf } from './baseline.ts';
import type { Fault } from './effective.ts';

/** What is in the cluster beside the object itself. */
export interface Surroundings {
  readonly policies: readonly TLSPolicy[];
  readonly baselines: readonly TLSBaseline[];
  readonly roles: readonly TLSRole[];
}

/** What of a baseline does not hold as written; empty = all of it does. */
export function baselineFaults(
  baseline: TLSBaseline,
  { baselines, roles }: Pick<Surroundings, 'baselines' | 'roles'>,
): readonly Fault[] {
  const denying = (baseline.spec.authorization?.rules ?? []).map((rule) => ({ ...rule, effect: 'Deny' as const }));
  return [...lifetimeFaults(baseline), ...suiteFaults(baseline, baselines), ...ruleFaults(denying, roles)];
}

/** What of a role does not hold as written. */
export function roleFaults({ metadata: { name }, spec }: TLSRole): readonly Fault[] {
  return ruleFaults([{ name, effect: 'Allow', to: spec.permissions }], []).map(({ message }) => ({
    field: 'spec.permissions',
    message,
  }));
}

function ruleFaults(rules: readonly AuthorizationRule[], roles: readonly TLSRole[]): readonly Fault[] {
  const { faults } = compileAuthorization(
    {
      apiVersion: API_VERSION,
      kind: 'TLSPolicy',
      metadata: { name: '', uid: '', resourceVersion: '', creationTimestamp: '' },
      spec: { authorization: { rules } },
    },
    {
      baselines: [],
      accounts: { all: () => [], any: () => [] },
      trustDomain: '',
      role: (wanted) => roles.find(({ metadata }) => metadata.name === wanted),
    },
  );
  return faults;
}

/** The CRD refuses what cannot be read; one that was stored before it did binds nobody. */
function lifetimeFaults({ spec: { certificate } }: TLSBaseline): readonly Fault[] {
  const text = certificate?.maxLifetime;
  try {
    if (text !== undefined) parseDuration(text);
    return [];
  } catch {
    const message = `"${text}" is no duration; no lifetime is limited by it`;
    return [{ field: 'spec.certificate.maxLifetime', message }];
  }
}

/** Several lists of suites all hold, unless nobody could speak to anybody by them: then the first by name does. */
function suiteFaults({ metadata, spec }: TLSBaseline, baselines: readonly TLSBaseline[]): readonly Fault[] {
  const own = spec.tls?.ciphers ?? [];
  if (own.length === 0 || spec.audit === true) return [];
  const before = floorOf(baselines.filter((each) => each.metadata.name < metadata.name));
  const { ciphers = own } = before;
  if (own.some((suite) => ciphers.includes(suite) && !suite.includes('_WITH_'))) return [];
  const message = `no TLS 1.3 suite is also allowed by TLSBaseline ${before.by.join(', ')}, whose list holds instead`;
  return [{ field: 'spec.tls.ciphers', message }];
}

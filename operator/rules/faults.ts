// What of a TLSBaseline or a TLSRole does not hold as it is written, in words. Rules are judged as those of a policy are, so that both say
// the same of the same fault. Pure.
import type { AuthorizationRule } from '../../lib/api/authorization.ts';
import { API_VERSION } from '../../lib/api/contract.ts';
import type { TLSBaseline, TLSRole } from '../../lib/api/tlsbaseline.ts';
import type { TLSPolicy } from '../../lib/api/tlspolicy.ts';
import { parseDuration } from '../../lib/clock.ts';
import { compileAuthorization } from '../../lib/policy/authorization.ts';
import { floorOf } from '../../lib/policy/baseline.ts';

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
): readonly string[] {
  const denying = (baseline.spec.authorization?.rules ?? []).map((rule) => ({ ...rule, effect: 'Deny' as const }));
  return [...lifetimeFaults(baseline), ...suiteFaults(baseline, baselines), ...ruleFaults(denying, roles)];
}

/** What of a role does not hold as written. */
export function roleFaults({ metadata: { name }, spec }: TLSRole): readonly string[] {
  return ruleFaults([{ name, effect: 'Allow', to: spec.permissions }], []).map((fault) =>
    fault.replace('spec.authorization.rules[0]', 'spec.permissions'),
  );
}

function ruleFaults(rules: readonly AuthorizationRule[], roles: readonly TLSRole[]): readonly string[] {
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
  return faults.map(({ field, message }) => `${field}: ${message}`);
}

/** The CRD refuses what cannot be read; one that was stored before it did binds nobody. */
function lifetimeFaults({ spec: { certificate } }: TLSBaseline): readonly string[] {
  const text = certificate?.maxLifetime;
  try {
    if (text !== undefined) parseDuration(text);
    return [];
  } catch {
    return [`spec.certificate.maxLifetime: "${text}" is no duration; no lifetime is limited by it`];
  }
}

/** Several lists of suites all hold, unless nobody could speak to anybody by them: then the first by name does. */
function suiteFaults({ metadata, spec }: TLSBaseline, baselines: readonly TLSBaseline[]): readonly string[] {
  const own = spec.tls?.ciphers ?? [];
  if (own.length === 0 || spec.audit === true) return [];
  const before = floorOf(baselines.filter((each) => each.metadata.name < metadata.name));
  const { ciphers = own } = before;
  if (own.some((suite) => ciphers.includes(suite) && !suite.includes('_WITH_'))) return [];
  return [
    `spec.tls.ciphers: no TLS 1.3 suite is also allowed by TLSBaseline ${before.by.join(', ')}, whose list holds instead`,
  ];
}

// What is to be refused, or warned of, when a TLSPolicy, a TLSBaseline or a TLSRole is applied. Judged by the very functions that compile it for
// sidecars, so that what is let in is what the operator can enforce. Pure.
import type { TLSBaseline, TLSRole } from '../api/tlsbaseline.ts';
import type { TLSPolicy } from '../api/tlspolicy.ts';
import { compileAuthentication } from './authentication.ts';
import { type AuthorizationSources, compileAuthorization } from './authorization.ts';
import { type Fault, policyFaults } from './effective.ts';
import { baselineFaults, roleFaults } from './faults.ts';
import { suspicions } from './suspicions.ts';

/** An object that is applied. */
export type Applied = TLSPolicy | TLSBaseline | TLSRole;

/** What is in the cluster beside it; undefined lists = not known. */
export interface Beside {
  readonly baselines: readonly TLSBaseline[] | undefined;
  readonly roles: readonly TLSRole[] | undefined;
  readonly trustDomain: string;
}

/** What became of it. */
export interface Findings {
  /** What nobody can enforce as it is written: it fails closed if it is stored all the same. */
  readonly refusals: readonly Fault[];
  /** What can be enforced, or comes to something else that holds, and is hardly meant so. */
  readonly warnings: readonly Fault[];
}

/** Looks at an object. */
export function findings(object: Applied, beside: Beside): Findings {
  switch (object.kind) {
    case 'TLSPolicy':
      return ofPolicy(object, beside);
    case 'TLSBaseline':
      return ofBaseline(object, beside);
    case 'TLSRole':
      return { refusals: roleFaults(object), warnings: [] };
  }
}

function ofPolicy(policy: TLSPolicy, { baselines = [], roles, trustDomain }: Beside): Findings {
  const own = compileAuthorization(policy, { ...alone, role: (name) => emptyRole(name) });
  const refusals = [...own.faults, ...compileAuthentication(policy, () => undefined).faults];
  if (refusals.length > 0) return { refusals, warnings: [] };
  const role = (name: string): TLSRole | undefined =>
    roles === undefined ? emptyRole(name) : roles.find(({ metadata }) => metadata.name === name);
  const enforced = baselines.filter(({ spec }) => spec.audit !== true);
  const { authorization, faults } = compileAuthorization(policy, { ...alone, baselines: enforced, role, trustDomain });
  const rules = authorization?.rules ?? [];
  return { refusals, warnings: [...policyFaults(policy), ...faults, ...suspicions({ policy, rules, trustDomain })] };
}

function ofBaseline(baseline: TLSBaseline, { baselines = [], roles }: Beside): Findings {
  const named = (baseline.spec.authorization?.rules ?? []).flatMap((rule) => rule.roles ?? []);
  const refusals = baselineFaults(baseline, { baselines: [], roles: named.map(emptyRole) });
  if (refusals.length > 0) return { refusals, warnings: [] };
  const others = baselines.filter(({ metadata }) => metadata.name !== baseline.metadata.name);
  return { refusals, warnings: baselineFaults(baseline, { baselines: others, roles: roles ?? named.map(emptyRole) }) };
}

/** Who runs with which account does not change what can be enforced. */
const alone: Omit<AuthorizationSources, 'role'> = {
  baselines: [],
  accounts: { all: () => [], any: () => [] },
  trustDomain: '',
};

/** Stands for a role of which nothing is known, or which is not the fault of who refers to it. */
function emptyRole(name: string): TLSRole {
  return {
    apiVersion: '',
    kind: 'TLSRole',
    metadata: { name, uid: '', resourceVersion: '', creationTimestamp: '' },
    spec: { permissions: [] },
  };
}

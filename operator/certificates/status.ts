// What a TLSPolicy says of itself: the services it governs with their certificates, whether everything asked for holds, and
// who still comes without TLS. Built from scratch each time; pure. Only transition times and plaintext clients that an
// earlier operator saw are taken from the status before.
import { mergeConditions, type WantedCondition } from '../../lib/api/conditions.ts';
import { rfc3339 } from '../../lib/api/time.ts';
import type { ServiceStatus, TLSPolicy, TLSPolicyStatus } from '../../lib/api/tlspolicy.ts';
import type { Fault } from '../../lib/policy/effective.ts';
import type { DeliveryProblem, PodCertificateSummary } from '../podcertificates/summary.ts';
import { callersOf, type ServiceCaller } from './callers.ts';
import { type EdgeService, edgeCondition } from './edge/status.ts';
import type { Outcome } from './outcomes.ts';
import { mergeClients, type PlaintextSight } from './plaintext.ts';
import { requestsOf, type ServiceRequest } from './requests.ts';
import { enforcementCondition, overriddenCondition, type RuleStanding, ruleStatuses } from './rules.ts';

/** A service with pods that the policy governs. */
export interface GovernedService {
  readonly name: string;
  /** Live pods that this policy governs. */
  readonly pods: number;
  /** What the last look at its certificate came to; undefined = there was none yet. */
  readonly outcome: Outcome | undefined;
  /** What the last look at its edge certificate came to; undefined where no sidecar could show one. */
  readonly edge?: Pick<EdgeService, 'outcome'> | undefined;
  /** Of the pods with certificates of their own; undefined = none has one. */
  readonly podCertificates?: PodCertificateSummary | undefined;
  /** Workload and policy disagree on how certificates are delivered. */
  readonly delivery?: DeliveryProblem | undefined;
  /** Name of the policy that decides about the certificate, where it is another. */
  readonly decidedBy: string | undefined;
}

/** Everything that a policy's status follows from. */
export interface StatusInput {
  readonly policy: TLSPolicy;
  readonly now: Date;
  readonly faults: readonly Fault[];
  /** In order of their names. */
  readonly services: readonly GovernedService[];
  /** Older policies that govern pods which this one selects, too, with how many. */
  readonly overruledBy: readonly { readonly name: string; readonly pods: number }[];
  /** Who was seen with plaintext by the sidecars. */
  readonly clients: readonly PlaintextSight[];
  /** Every live pod has reported, and for long enough that a plaintext client would have been seen. */
  readonly watched: boolean;
  /** Whether the stores outside of the cluster hold what they should; undefined where none is named. */
  readonly published?: Pick<WantedCondition, 'type' | 'status' | 'reason' | 'message'>;
  /** What is to be said of tokens. */
  readonly tokens?: readonly WantedCondition[];
  /** Who was let in by the sidecars. */
  readonly callers?: readonly ServiceCaller[];
  readonly requests?: readonly ServiceRequest[];
  /** Of authorization rules and baselines. */
  readonly rules?: RuleStanding | undefined;
}

type Verdict = Pick<WantedCondition, 'status' | 'reason' | 'message'>;

/** Most services that a status lists; the counts are of all. */
const mostServices = 200;
/** Services named in a message; the rest is counted. */
const namedInMessage = 3;
/** Failures in a row that count although the certificate in use is still valid. */
const worrying = 3;

/** The status of a policy at a moment. */
export function policyStatus(input: StatusInput): TLSPolicyStatus {
  const { policy, now, services } = input;
  const { generation } = policy.metadata;
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  const conditions: readonly WantedCondition[] = [
    { type: 'Ready', ...readiness(services, now), ...observed },
    { type: 'Accepted', ...acceptance(input.faults), ...observed },
    { type: 'Conflicted', ...conflict(input), ...observed },
    ...ruleConditions(input).map((condition) => ({ ...condition, ...observed })),
    ...(input.published === undefined ? [] : [{ ...input.published, ...observed }]),
    ...(input.tokens ?? []).map((condition) => ({ ...condition, ...observed })),
    ...(policy.spec.edge === undefined ? [] : [{ ...edgeCondition(edgesOf(services), now), ...observed }]),
  ];
  const listed = services.map((service) => serviceStatus(service, now));
  const expires = listed.flatMap(({ notAfter }) => notAfter ?? []).sort()[0];
  const rules = ruleStatuses(policy, input.rules?.sights ?? [], now);
  const plaintextClients = mergeClients(policy.status?.plaintextClients, input.clients, now);
  return {
    ...observed,
    conditions: mergeConditions(policy.status?.conditions, conditions, now),
    services: shown(listed),
    servicesReady: `${listed.filter(({ ready }) => ready).length}/${listed.length}`,
    ...(expires === undefined ? {} : { expires }),
    plaintextClients,
    ...(rules === undefined ? {} : { rules }),
    ...(listed.length === 0 && policy.status?.callers === undefined
      ? {}
      : callersOf(policy.status, input.callers ?? [], now)),
    ...requestsOf(policy.status, input.requests ?? [], now),
    ...(isPermissive(policy)
      ? { strictReady: input.watched && listed.length > 0 && plaintextClients.length === 0 }
      : {}),
  };
}

function ruleConditions({ policy, rules }: StatusInput): readonly WantedCondition[] {
  if (rules === undefined) return [];
  const enforcement = enforcementCondition(policy, rules);
  return [overriddenCondition(rules), ...(enforcement === undefined ? [] : [enforcement])];
}

function edgesOf(services: readonly GovernedService[]): readonly EdgeService[] {
  return services.flatMap(({ name, edge }) => (edge === undefined ? [] : [{ name, outcome: edge.outcome }]));
}

/** As many services as a status can hold in reason, those that are not ready first; in the order of their names. */
function shown(services: readonly ServiceStatus[]): readonly ServiceStatus[] {
  if (services.length <= mostServices) return services;
  const first = [...services.filter(({ ready }) => !ready), ...services.filter(({ ready }) => ready)];
  const kept = new Set(first.slice(0, mostServices));
  return services.filter((service) => kept.has(service));
}

/** Whether any port of the policy lets plaintext in. */
export function isPermissive({ spec }: TLSPolicy): boolean {
  return spec.mode === 'Permissive' || (spec.ports ?? []).some(({ mode }) => mode === 'Permissive');
}

function serviceStatus(service: GovernedService, now: Date): ServiceStatus {
  const { name, pods, outcome, podCertificates } = service;
  if (podCertificates !== undefined) {
    const { issuer, notBefore, notAfter, renewAt, valid } = podCertificates;
    return {
      name,
      delivery: 'PodCertificate',
      certificates: valid,
      ...(notBefore === undefined ? {} : { notBefore: rfc3339(notBefore) }),
      ...(notAfter === undefined ? {} : { notAfter: rfc3339(notAfter) }),
      ...(renewAt === undefined ? {} : { renewAt: rfc3339(renewAt) }),
      ...(issuer === undefined ? {} : { issuer }),
      pods,
      ready: isReady(service, now),
    };
  }
  const current = outcome?.current;
  if (current?.kind !== 'held') return { name, pods, ready: false };
  const { serial, notBefore, notAfter } = current.facts;
  const renewAt = outcome?.renewAt;
  return {
    name,
    serial,
    notBefore: rfc3339(notBefore),
    notAfter: rfc3339(notAfter),
    ...(renewAt === undefined ? {} : { renewAt: rfc3339(renewAt) }),
    issuer: current.issuer,
    pods,
    ready: isReady(service, now),
  };
}

/** Every pod has a valid certificate: its own, or the service's in the Secret that it reads. */
function isReady({ outcome, pods, podCertificates }: GovernedService, now: Date): boolean {
  if (podCertificates === undefined) return isValid(outcome, now);
  if (podCertificates.valid < podCertificates.pods) return false;
  return podCertificates.pods === pods || isValid(outcome, now);
}

function isValid(outcome: Outcome | undefined, now: Date): boolean {
  const current = outcome?.current;
  return current?.kind === 'held' && current.facts.notBefore <= now && now < current.facts.notAfter;
}

function readiness(services: readonly GovernedService[], now: Date): Verdict {
  if (services.length === 0) {
    return { status: 'True', reason: 'NoServices', message: 'no injected pod is governed by this policy' };
  }
  const problems = services.flatMap((service) => problemOf(service, now) ?? []);
  // What stands in the way for long comes before what is only on its way.
  const [first] = [...problems].sort((a, b) => Number(a.reason === 'Issuing') - Number(b.reason === 'Issuing'));
  if (first !== undefined) {
    const named = problems.slice(0, namedInMessage).map(({ name, message }) => `${name}: ${message}`);
    const more = problems.length > namedInMessage ? [`and ${problems.length - namedInMessage} more services`] : [];
    return { status: 'False', reason: first.reason, message: [...named, ...more].join('; ') };
  }
  const count =
    services.length === 1
      ? 'the service has a valid certificate'
      : `all ${services.length} services have valid certificates`;
  return { status: 'True', reason: 'CertificatesValid', message: count };
}

interface Problem {
  readonly name: string;
  readonly reason: string;
  readonly message: string;
}

function problemOf(service: GovernedService, now: Date): Problem | undefined {
  const { name, outcome, delivery, podCertificates } = service;
  if (delivery !== undefined) return { name, ...delivery };
  if (podCertificates !== undefined && podCertificates.valid < podCertificates.pods) {
    const message = `${podCertificates.pods - podCertificates.valid} of its pods have no valid certificate yet; their events say why`;
    return { name, reason: 'Issuing', message };
  }
  if (podCertificates !== undefined && podCertificates.pods === service.pods) return undefined;
  const { blocked, failure, current } = outcome ?? {};
  if (blocked !== undefined) return { name, ...blocked };
  const valid = isValid(outcome, now);
  if (failure !== undefined && (!valid || failure.count >= worrying)) {
    const message = `its certificate could not be written ${failure.count} times in a row: ${failure.message}`;
    return { name, reason: 'IssuanceFailed', message };
  }
  if (valid) return undefined;
  const why = current?.kind === 'held' ? 'its certificate is not valid now' : 'it has no certificate yet';
  return { name, reason: 'Issuing', message: `${why}; a new one is being issued` };
}

function acceptance(faults: readonly Fault[]): Verdict {
  if (faults.length === 0) return { status: 'True', reason: 'Accepted', message: 'everything in it holds as written' };
  const message = faults.map(({ field, message }) => `${field}: ${message}`).join('; ');
  return { status: 'False', reason: 'Adjusted', message };
}

function conflict({ overruledBy, services }: StatusInput): Verdict {
  if (overruledBy.length > 0) {
    const named = overruledBy.map(({ name, pods }) => `"${name}" (${pods} ${pods === 1 ? 'pod' : 'pods'})`).join(', ');
    const message = `older policies govern pods that this one selects, too: ${named}; let their selectors differ`;
    return { status: 'True', reason: 'OlderPolicyHolds', message };
  }
  const shared = services.filter(({ decidedBy }) => decidedBy !== undefined);
  if (shared.length > 0) {
    const named = shared.map(({ name, decidedBy }) => `${name} by "${decidedBy}"`).join(', ');
    const message = `pods of one service are governed by different policies, and it has one certificate, decided: ${named}`;
    return { status: 'True', reason: 'SharedService', message };
  }
  return { status: 'False', reason: 'NoConflict', message: 'no other policy governs pods that this one selects' };
}

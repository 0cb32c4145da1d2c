// What a policy governs just now, gathered from the caches, from the last looks at certificates and from what sidecars
// reported. No I/O.
import type { WantedCondition } from '../../lib/api/conditions.ts';
import type { StatusReport } from '../../lib/api/control.ts';
import type { TLSPolicy } from '../../lib/api/tlspolicy.ts';
import { formatDuration } from '../../lib/clock.ts';
import type { Pod } from '../../lib/kube/object.ts';
import { compileAuthentication } from '../../lib/policy/authentication.ts';
import { certificateSettings, type Fault, policyFaults } from '../../lib/policy/effective.ts';
import type { CallerSight } from '../control/callerbook.ts';
import type { RequestSight } from '../control/requestbook.ts';
import type { SinkOutcomes } from '../delivery/sinks/outcomes.ts';
import { publishedCondition } from '../delivery/sinks/status.ts';
import type { IssuerState } from '../issuers/issuer.ts';
import { readersCondition } from '../jwks/readers.ts';
import { type JwksStandings, keysCondition } from '../jwks/standings.ts';
import { deliveryProblem, podCertificateSummary, type SummarySources } from '../podcertificates/summary.ts';
import { type Cluster, hasSidecar, serviceKeyOf } from './cluster.ts';
import type { EdgeOutcomes } from './edge/outcomes.ts';
import type { Outcomes } from './outcomes.ts';
import type { PlaintextSight } from './plaintext.ts';
import { type RuleSight, type RuleSources, type RuleStanding, ruleFaults, unreadBy } from './rules.ts';
import type { GovernedService, StatusInput } from './status.ts';

/** What sidecars reported (operator/control): the members that a status is made from. */
export interface ReportsView {
  ofPod(podUid: string): { readonly report: StatusReport } | undefined;
  plaintextClients(service: { readonly namespace: string; readonly service: string }): readonly PlaintextSight[];
  requests?(service: { readonly namespace: string; readonly service: string }): readonly RequestSight[];
  callers?(service: { readonly namespace: string; readonly service: string }): readonly CallerSight[];
  ruleHits?(service: { readonly namespace: string; readonly service: string }): readonly RuleSight[];
  subscribe(listener: (service: { readonly namespace: string; readonly service: string }) => void): () => void;
}

/** Where it is gathered from. */
export interface GovernedSources {
  readonly cluster: Cluster;
  readonly outcomes: Outcomes;
  readonly edges: Pick<EdgeOutcomes, 'get'>;
  readonly sinkOutcomes?: Pick<SinkOutcomes, 'get'>;
  readonly reports: ReportsView;
  /** How the keys of token issuers stand. */
  readonly tokenKeys?: Pick<JwksStandings, 'get'> | undefined;
  readonly certificates: SummarySources['certificates'];
  readonly issuers: { state(name: string, now: Date): IssuerState };
  /** Lowest lifetime of a leaf, milliseconds. */
  readonly shortestMs: number;
  /** Baselines and roles. */
  readonly rules?: RuleSources | undefined;
}

/** How long the sidecars must have been watched before their silence says that nobody comes without TLS. */
export const watchMs = 3_600_000;

/** Everything that a policy's status follows from. `watchedMs`: for how long reports have been collected. */
export function statusInput(sources: GovernedSources, policy: TLSPolicy, now: Date, watchedMs: number): StatusInput {
  const { cluster, outcomes, edges, reports, certificates, shortestMs } = sources;
  const { delivery } = certificateSettings(policy, shortestMs);
  const namespace = policy.metadata.namespace ?? '';
  const services: GovernedService[] = [];
  const overruled = new Map<string, number>();
  const governed: Pod[] = [];
  for (const key of cluster.servicesIn(namespace)) {
    const { live } = cluster.podsOf(key);
    const ours = live.filter((pod) => governs(cluster, policy, pod, overruled));
    governed.push(...ours);
    if (ours.length === 0) continue;
    const name = key.split('/')[1] ?? '';
    services.push({
      name,
      pods: ours.length,
      outcome: outcomes.get(key),
      edge: ours.some(hasSidecar) ? { outcome: edges.get(key) } : undefined,
      podCertificates: podCertificateSummary(ours, { reports, certificates }, now),
      delivery: deliveryProblem(ours, delivery),
      decidedBy: otherThan(policy, cluster.policyOf(live)),
    });
  }
  const rules = ruleStanding(sources, policy, services, governed);
  const published = publishedBy(sources, policy, services);
  const tokens = compileAuthentication(policy, () => undefined);
  return {
    policy,
    now,
    rules,
    ...(published === undefined ? {} : { published }),
    tokens: tokenConditions(sources, policy, governed),
    requests: services.flatMap(({ name }) =>
      (reports.requests?.({ namespace, service: name }) ?? []).map((request) => ({ ...request, service: name })),
    ),
    callers: services.flatMap(({ name }) =>
      (reports.callers?.({ namespace, service: name }) ?? []).map((caller) => ({ ...caller, service: name })),
    ),
    faults: [
      ...policyFaults(policy, shortestMs),
      ...lifetimeFaults(sources, policy, now),
      ...(rules?.faults ?? []),
      ...tokens.faults,
    ],
    services,
    overruledBy: [...overruled].map(([name, pods]) => ({ name, pods })).sort((a, b) => a.name.localeCompare(b.name)),
    clients: services.flatMap(({ name }) => reports.plaintextClients({ namespace, service: name })),
    watched:
      watchedMs >= watchMs &&
      governed.every((pod) => !hasSidecar(pod) || reports.ofPod(pod.metadata.uid) !== undefined),
  };
}

/** How the certificates stand with the sinks that the policy names: those that it decides about. */
function publishedBy(
  { sinkOutcomes }: GovernedSources,
  { metadata: { namespace = '' }, spec }: TLSPolicy,
  services: readonly GovernedService[],
): StatusInput['published'] {
  if (sinkOutcomes === undefined) return undefined;
  const own = services.flatMap(({ name, decidedBy }) => (decidedBy === undefined ? [name] : []));
  return publishedCondition(spec.certificate?.sinks ?? [], { namespace, services: own }, sinkOutcomes);
}

/** What is known of the policy's rules. A pod that has not reported yet is not judged. */
function ruleStanding(
  { rules, reports, cluster }: GovernedSources,
  policy: TLSPolicy,
  services: readonly GovernedService[],
  governed: readonly Pod[],
): RuleStanding | undefined {
  if (rules === undefined) return undefined;
  const namespace = policy.metadata.namespace ?? '';
  const unenforced = governed.filter((pod) => {
    const report = reports.ofPod(pod.metadata.uid)?.report;
    return hasSidecar(pod) ? report !== undefined && report.authorization === undefined : true;
  });
  const ruled = (policy.spec.authorization?.rules ?? []).length > 0;
  const pods = ruled ? oneOfEach(governed).map((pod) => ({ pod, spoken: cluster.spokenBy(pod) })) : [];
  return {
    ...ruleFaults(policy, rules),
    unenforced: unenforced.map(({ metadata }) => metadata.name).sort(),
    // Looking at every Service in front of every pod is for policies that may need it.
    ...(ruled ? { unread: unreadBy(policy, rules, pods) } : {}),
    sights: services.flatMap(({ name }) => reports.ruleHits?.({ namespace, service: name }) ?? []),
  };
}

/** Pods of one service are alike. */
function oneOfEach(pods: readonly Pod[]): readonly Pod[] {
  return [...new Map(pods.filter(hasSidecar).map((pod) => [serviceKeyOf(pod), pod])).values()];
}

/** How the keys of token issuers stand, and whether every pod looks at tokens. */
function tokenConditions(
  { tokenKeys, reports }: GovernedSources,
  policy: TLSPolicy,
  governed: readonly Pod[],
): readonly WantedCondition[] {
  const unaware = governed.filter((pod) => {
    const report = reports.ofPod(pod.metadata.uid)?.report;
    return hasSidecar(pod) ? report !== undefined && report.authentication === undefined : true;
  });
  const keys = tokenKeys === undefined ? undefined : keysCondition(policy, tokenKeys);
  const names = unaware.map(({ metadata }) => metadata.name).sort();
  return [keys, readersCondition(policy, names)].filter((condition) => condition !== undefined);
}

/** A lifetime that is too long for the CA that signs. */
function lifetimeFaults({ issuers, shortestMs }: GovernedSources, policy: TLSPolicy, now: Date): readonly Fault[] {
  const { issuer, lifetimeMs } = certificateSettings(policy, shortestMs);
  const state = issuers.state(issuer, now);
  const longestMs = state.ready ? (state.longestLifetimeMs ?? lifetimeMs) : lifetimeMs;
  if (lifetimeMs <= longestMs) return [];
  const longest = formatDuration(longestMs);
  const message = `${formatDuration(lifetimeMs)} is over a sixth of the life of the CA of issuer "${issuer}"; ${longest} holds`;
  return [{ field: 'spec.certificate.lifetime', message }];
}

/** Whether the policy governs a pod; where an older one does in its place, that is counted. */
function governs(cluster: Cluster, policy: TLSPolicy, { metadata }: Pod, overruled: Map<string, number>): boolean {
  const selected = cluster.selected(metadata.namespace ?? '', metadata.labels ?? {});
  const winner = selected.policy?.metadata;
  if (winner?.uid === policy.metadata.uid) return true;
  const lost = selected.overruled.some((each) => each.metadata.uid === policy.metadata.uid);
  if (lost && winner !== undefined) overruled.set(winner.name, (overruled.get(winner.name) ?? 0) + 1);
  return false;
}

function otherThan(policy: TLSPolicy, decides: TLSPolicy | undefined): string | undefined {
  return decides?.metadata.uid === policy.metadata.uid ? undefined : decides?.metadata.name;
}

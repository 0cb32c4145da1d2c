// Who may call whom, worked out from the cluster's own objects with the very code by which the operator compiles rules and sidecars judge. Pure.
import type { RuleMatch } from '../lib/api/authorization.ts';
import { isInjectedKind, labels, spiffeId, written } from '../lib/api/contract.ts';
import type { EffectivePolicy } from '../lib/api/control.ts';
import { type Call, type Decision, decide, decideRequest, standing } from '../lib/api/decide.ts';
import { type Judge, prepare } from '../lib/api/judge.ts';
import { asksRequests, readable } from '../lib/api/readable.ts';
import type { RequestFacts } from '../lib/api/request.ts';
import type { TLSBaseline, TLSRole } from '../lib/api/tlsbaseline.ts';
import type { Mode, Protocol, TLSPolicy } from '../lib/api/tlspolicy.ts';
import { conditionLanguage } from '../lib/cel/language.ts';
import type { Pod, Service } from '../lib/kube/object.ts';
import { type AccountHolders, compileAuthorization } from '../lib/policy/authorization.ts';
import { floorOf, raised } from '../lib/policy/baseline.ts';
import { effectivePolicy } from '../lib/policy/effective.ts';
import { type PortProtocol, portProtocols } from '../lib/policy/protocols.ts';
import { governing } from '../lib/policy/select.ts';

/** What the answers are made from. */
export interface AuthzSources {
  readonly policies: readonly TLSPolicy[];
  readonly baselines: readonly TLSBaseline[];
  readonly roles: readonly TLSRole[];
  /** Injected pods that are not finished. */
  readonly pods: readonly Pod[];
  /** Services of Kubernetes, which may say what ports speak. */
  readonly fronts: readonly Service[];
  readonly trustDomain: string;
}

/** A service with injected pods. */
export interface ServicePods {
  readonly namespace: string;
  readonly service: string;
  readonly identity: string;
  readonly pods: readonly Pod[];
}

/** What holds for the pods of a service that one policy governs. */
export interface Guard {
  /** `<namespace>/<name>` of the TLSPolicy, or "defaults". */
  readonly source: string;
  readonly effective: EffectivePolicy;
  readonly rules: readonly RuleMatch[];
  readonly judge: Judge;
  /** Names of the pods. */
  readonly pods: readonly string[];
}

/** One rule as it was asked. */
export interface Asked {
  readonly rule: RuleMatch;
  readonly matches: boolean | 'by request';
}

/** What is asked about: a call, and, where it was said, a request on it. */
export interface Question {
  readonly call: Call;
  readonly request: RequestFacts | undefined;
  readonly now: Date;
}

/** Everything known of who may call whom. */
export class AuthzView {
  readonly services: readonly ServicePods[];
  readonly trustDomain: string;
  readonly #sources: AuthzSources;
  readonly #accounts: AccountHolders;

  constructor(sources: AuthzSources) {
    this.#sources = sources;
    this.trustDomain = sources.trustDomain;
    this.services = servicesOf(sources);
    this.#accounts = accountsOf(this.services);
  }

  /** A service by namespace and name. */
  find(namespace: string, service: string): ServicePods | undefined {
    return this.services.find((each) => each.namespace === namespace && each.service === service);
  }

  /** What guards a service: one entry, or several where different policies govern its pods. */
  guards({ namespace, pods }: ServicePods): readonly Guard[] {
    const { policies, baselines, roles, trustDomain } = this.#sources;
    const own = policies.filter(({ metadata }) => metadata.namespace === namespace);
    const byPolicy = Map.groupBy(pods, ({ metadata }) => governing(own, metadata.labels ?? {}).policy);
    return [...byPolicy].map(([policy, governed]) => {
      const role = (name: string): TLSRole | undefined => roles.find(({ metadata }) => metadata.name === name);
      const sources = { baselines, accounts: this.#accounts, trustDomain, role };
      const { authorization } = compileAuthorization(policy, sources);
      const effective = raised(effectivePolicy(policy, this.#spoken(namespace, governed)), floorOf(baselines));
      return {
        source: effective.source,
        effective,
        rules: authorization?.rules ?? [],
        judge: prepare(authorization, trustDomain, conditionLanguage),
        pods: governed.map(({ metadata }) => metadata.name).sort(),
      };
    });
  }

  /** What Services say of the ports of pods. They are of one service, and alike. */
  #spoken(namespace: string, [pod]: readonly Pod[]): readonly PortProtocol[] {
    if (pod === undefined) return [];
    const of = this.#sources.fronts.filter(
      ({ metadata, spec }) => metadata.namespace === namespace && isSelected(spec?.selector, pod),
    );
    return portProtocols(of, { spec: { containers: [], ...pod.spec } });
  }
}

function isSelected(selector: Readonly<Record<string, string>> | undefined, { metadata }: Pod): boolean {
  const wanted = Object.entries(selector ?? {});
  return wanted.length > 0 && wanted.every(([name, value]) => metadata.labels?.[name] === value);
}

/** Addresses of a service's pods; where none has one, an address that lies in no range. */
export function addressesOf(service: ServicePods | undefined): readonly string[] {
  const found = (service?.pods ?? []).flatMap(({ status }) => status?.podIP ?? []);
  return found.length === 0 ? [''] : found.sort();
}

/** The mode of a port. */
export function modeOf({ effective }: Guard, port: number): Mode {
  return effective.ports.find((each) => each.port === port)?.mode ?? effective.mode;
}

/** What is spoken on a port. */
export function protocolOf({ effective }: Guard, port: number): Protocol {
  return effective.ports.find((each) => each.port === port)?.protocol ?? 'TCP';
}

/** The decision as the sidecar comes to it; undefined = each request is decided, and none was said. */
export function decisionOf(guard: Guard, question: Question, judge: Judge = guard.judge): Decision | undefined {
  const { call, request, now } = question;
  if (!readable.has(protocolOf(guard, call.port))) return decide(judge, call);
  const place = standing(judge, call);
  return request === undefined ? place.decision : decideRequest(place, request, now);
}

/** Each rule with whether it matches, in the order in which they are asked. */
export function askedRules(guard: Guard, question: Question, trustDomain: string): readonly Asked[] {
  return guard.rules.map((rule) => {
    const { audit: _audit, ...enforced } = rule;
    const judge = prepare({ form: 1, rules: [enforced] }, trustDomain, conditionLanguage);
    const decision = decisionOf(guard, question, judge);
    return { rule, matches: decision === undefined ? 'by request' : decision.allowed === (rule.effect === 'Allow') };
  });
}

/** Ports that a caller may use, in words: `all`, `-`, `8080,9090` or `all but 9090`. A star = for some requests. With a request: on which it is let through. */
export function portsFor(
  guard: Guard,
  caller: Pick<Call, 'identity' | 'address'>,
  { request, now }: Pick<Question, 'request' | 'now'>,
): string {
  const inRules = guard.rules.flatMap(({ to }) => (to ?? []).flatMap((target) => target.ports ?? []));
  const read = guard.effective.ports.filter(({ protocol }) => readable.has(protocol)).map(({ port }) => port);
  const ports = [...new Set([...inRules, ...read])].sort((a, b) => a - b);
  // A port that no rule names stands for all of them.
  const other = Array.from({ length: ports.length + 1 }, (_, index) => 65_535 - index).find(
    (each) => !ports.includes(each),
  );
  const may = (port: number): boolean | undefined =>
    decisionOf(guard, { call: { ...caller, port }, request, now })?.allowed;
  const partly = ports.filter((port) => may(port) === undefined);
  const closed = ports.filter((port) => may(port) === false);
  const open = ports
    .filter((port) => may(port) !== false)
    .map((port) => (partly.includes(port) ? `${port}*` : `${port}`));
  if (may(other ?? 0) !== true) return open.length === 0 ? '-' : open.join(',');
  const but = closed.length === 0 ? 'all' : `all but ${closed.join(',')}`;
  return partly.length === 0 ? but : `${but}, ${partly.map((port) => `${port}*`).join(',')}`;
}

/** Whether rules ask for requests on a port where none is read: they then allow nothing, and deny whatever is asked. */
export function isUnread(guard: Guard, port: number): boolean {
  return !readable.has(protocolOf(guard, port)) && guard.rules.some(asksRequests);
}

/** What decided, in a sentence. */
export function why({ allowed, rule }: Decision, { rules }: Guard): string {
  if (rule !== undefined) return `rule ${rule} ${allowed ? 'allows' : 'denies'} it`;
  if (!allowed) return 'there are Allow rules, and none of them matches';
  return rules.some(({ audit }) => audit !== true)
    ? 'no Deny rule matches, and there is no Allow rule'
    : 'no rule is enforced';
}

function servicesOf({ pods, trustDomain }: AuthzSources): readonly ServicePods[] {
  const injected = pods.filter(
    ({ metadata }) =>
      isInjectedKind(metadata.labels?.[labels.injected]) && metadata.annotations?.[written.service] !== undefined,
  );
  const groups = Map.groupBy(
    injected,
    ({ metadata }) => `${metadata.namespace}/${metadata.annotations?.[written.service]}`,
  );
  return [...groups]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([key, members]) => {
      const [namespace = '', service = ''] = key.split('/');
      return { namespace, service, identity: spiffeId(trustDomain, namespace, service), pods: members };
    });
}

function accountsOf(services: readonly ServicePods[]): AccountHolders {
  const runs = (pod: Pod, account: string): boolean => (pod.spec?.serviceAccountName ?? 'default') === account;
  const holders = (namespace: string, test: (pods: readonly Pod[]) => boolean): readonly string[] =>
    services.filter((each) => each.namespace === namespace && test(each.pods)).map(({ identity }) => identity);
  return {
    all: (namespace, account) => holders(namespace, (pods) => pods.every((pod) => runs(pod, account))),
    any: (namespace, account) => holders(namespace, (pods) => pods.some((pod) => runs(pod, account))),
  };
}

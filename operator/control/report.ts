// What the sidecars reported: the last report of each pod, and per service who came with plaintext. In memory and bounded;
// a restarted operator knows again what the sidecars send next. Replicas tell each other (replicas.ts), so that each knows
// all of it. The status of a TLSPolicy is written from it.
import type { StatusReport } from '../../lib/api/control.ts';
import type { Clock } from '../../lib/clock.ts';
import { CallerBook, type CallerSight } from './callerbook.ts';
import { RequestBook, type RequestSight } from './requestbook.ts';

/** The service of a pod, as admission decided it. */
export interface ReportedService {
  readonly namespace: string;
  readonly service: string;
}

/** The last report of one pod. */
export interface PodReport extends ReportedService {
  readonly podUid: string;
  readonly podName: string;
  readonly receivedAt: Date;
  readonly report: StatusReport;
}

/** Someone who sent plaintext to a port of a service. */
export interface PlaintextClient {
  /** Where it came from. */
  readonly address: string;
  /** Tabard service that it spoke to. */
  readonly service: string;
  /** Container port that it spoke to. */
  readonly port: number;
  readonly lastSeen: Date;
  /** Connections since it was first seen. */
  readonly count: number;
  /** Whether the last ones were refused; false = let through (Permissive). */
  readonly refused: boolean;
}

/** What the rest of the operator reads. */
export interface Reports {
  /** The last report of a pod that is alive. */
  ofPod(podUid: string): PodReport | undefined;
  /** The last reports of a service's live pods. */
  ofService(service: ReportedService): readonly PodReport[];
  /** Latest first; at most a hundred, none older than a week. */
  plaintextClients(service: ReportedService): readonly PlaintextClient[];
  /** Authorization rules that matched calls of a service, since this replica runs. */
  ruleHits(service: ReportedService): readonly { readonly name: string; readonly lastHit: Date }[];
  /** Who was let in by the sidecars of a service, since this replica runs. */
  callers(service: ReportedService): readonly CallerSight[];
  /** What they were let ask for, where requests are read. */
  requests(service: ReportedService): readonly RequestSight[];
  /** Told of issuers of tokens of which a sidecar knows not all keys. Returns the function that ends the subscription. */
  onKeysWanted(listener: (of: ReportedService, issuers: readonly string[]) => void): () => void;
  /** Told, synchronously, of the service whose reports changed. Returns the function that ends the subscription. */
  subscribe(listener: (service: ReportedService) => void): () => void;
}

/** Most plaintext clients that are remembered per service; the one seen longest ago goes. */
const maximumClients = 100;
/** Most rules that are remembered per service; the one that matched longest ago goes. A policy has at most 100. */
const maximumRules = 500;
/** How long a plaintext client is remembered, in milliseconds. */
const clientMemoryMs = 7 * 86_400_000;

/** Reports and their write side, for the control API. */
export class ReportStore implements Reports {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #pods = new Map<string, PodReport>();
  readonly #services = new Map<string, Map<string, PodReport>>();
  readonly #plaintext = new Map<string, Map<string, PlaintextClient>>();
  /** By service, and there by the rule's name. */
  readonly #rules = new Map<string, Map<string, Date>>();
  readonly #callers = new CallerBook();
  readonly #requests = new RequestBook();
  readonly #listeners = new Set<(service: ReportedService) => void>();
  readonly #accepted = new Set<(report: PodReport) => void>();
  readonly #wanting = new Set<(of: ReportedService, issuers: readonly string[]) => void>();
  /** Pods whose last report came to this replica itself. */
  readonly #own = new Set<string>();

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  ofPod(podUid: string): PodReport | undefined {
    return this.#pods.get(podUid);
  }

  ofService(service: ReportedService): readonly PodReport[] {
    return [...(this.#services.get(keyOf(service))?.values() ?? [])];
  }

  plaintextClients(service: ReportedService): readonly PlaintextClient[] {
    const clients = this.#plaintext.get(keyOf(service));
    if (clients === undefined) return [];
    this.#forgetOld(keyOf(service), clients);
    return [...clients.values()].reverse();
  }

  ruleHits(service: ReportedService): readonly { readonly name: string; readonly lastHit: Date }[] {
    return [...(this.#rules.get(keyOf(service)) ?? [])].map(([name, lastHit]) => ({ name, lastHit }));
  }

  callers(service: ReportedService): readonly CallerSight[] {
    return this.#callers.of(keyOf(service));
  }

  requests(service: ReportedService): readonly RequestSight[] {
    return this.#requests.of(keyOf(service));
  }

  subscribe(listener: (service: ReportedService) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  onKeysWanted(listener: (of: ReportedService, issuers: readonly string[]) => void): () => void {
    this.#wanting.add(listener);
    return () => this.#wanting.delete(listener);
  }

  /** Takes in a report that a live pod sent to this replica, in place of its last one. */
  accept(of: ReportedService, report: StatusReport): void {
    const { namespace, service } = of;
    const { podUid, podName } = report;
    const entry = { namespace, service, podUid, podName, receivedAt: this.#clock.now(), report };
    this.#own.add(podUid);
    this.#put(entry);
    for (const listener of this.#accepted) listener(entry);
  }

  /** Takes in a report that a live pod sent to another replica, unless what is known is as new. */
  learn(entry: PodReport): void {
    const known = this.#pods.get(entry.podUid);
    if (known !== undefined && known.receivedAt >= entry.receivedAt) return;
    this.#own.delete(entry.podUid);
    this.#put(entry);
  }

  /** The last reports that came to this replica itself. */
  own(): readonly PodReport[] {
    return [...this.#own].flatMap((podUid) => this.#pods.get(podUid) ?? []);
  }

  /** Told of each report that comes to this replica itself. Returns the function that ends the subscription. */
  onAccepted(listener: (report: PodReport) => void): () => void {
    this.#accepted.add(listener);
    return () => this.#accepted.delete(listener);
  }

  /** A pod is gone: its report goes with it. Who sent it plaintext stays known. */
  forget(podUid: string): void {
    const entry = this.#pods.get(podUid);
    if (entry === undefined) return;
    this.#pods.delete(podUid);
    this.#own.delete(podUid);
    const key = keyOf(entry);
    const siblings = this.#services.get(key);
    siblings?.delete(podUid);
    if (siblings?.size === 0) this.#services.delete(key);
    this.#tell(entry);
  }

  #put(entry: PodReport): void {
    this.#pods.set(entry.podUid, entry);
    const key = keyOf(entry);
    const siblings = this.#services.get(key);
    if (siblings === undefined) this.#services.set(key, new Map([[entry.podUid, entry]]));
    else siblings.set(entry.podUid, entry);
    this.#note(entry);
    this.#noteRules(key, entry);
    this.#callers.note(key, entry.report.callers ?? [], entry.receivedAt);
    this.#requests.note(key, entry.report.requests ?? [], entry.receivedAt);
    const { keysWanted = [] } = entry.report;
    if (keysWanted.length > 0) for (const listener of this.#wanting) listener(entry, keysWanted);
    this.#tell(entry);
  }

  #note({ namespace, service, receivedAt, report: { plaintext } }: PodReport): void {
    if (plaintext.length === 0) return;
    const page = keyOf({ namespace, service });
    const clients = this.#plaintext.get(page) ?? new Map<string, PlaintextClient>();
    this.#plaintext.set(page, clients);
    for (const { address, port, count, refused } of plaintext) {
      const key = `${address} ${port}`;
      const before = clients.get(key)?.count ?? 0;
      // Put in anew, so that the order of the map is the order of last sight.
      clients.delete(key);
      clients.set(key, { address, service, port, lastSeen: receivedAt, refused, count: before + count });
    }
    this.#forgetOld(page, clients);
  }

  #noteRules(service: string, { receivedAt, report: { rules = [] } }: PodReport): void {
    if (rules.length === 0) return;
    const hits = this.#rules.get(service) ?? new Map<string, Date>();
    this.#rules.set(service, hits);
    for (const { name } of rules) {
      hits.delete(name);
      hits.set(name, receivedAt);
    }
    for (const name of hits.keys()) {
      if (hits.size <= maximumRules) break;
      hits.delete(name);
    }
  }

  #forgetOld(service: string, clients: Map<string, PlaintextClient>): void {
    const oldest = this.#clock.now().getTime() - clientMemoryMs;
    for (const [key, { lastSeen }] of clients) {
      if (clients.size <= maximumClients && lastSeen.getTime() > oldest) break;
      clients.delete(key);
    }
    if (clients.size === 0) this.#plaintext.delete(service);
  }

  #tell(service: ReportedService): void {
    for (const listener of this.#listeners) listener(service);
  }
}

function keyOf({ namespace, service }: ReportedService): string {
  return `${namespace}/${service}`;
}

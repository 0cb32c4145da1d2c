// The first worker's view of the others: starts them, tells them what it knows, lets them take connections only once they apply it, ends those
// that fall behind, starts again those that have ended, and drains them all. docs/adr/0030-workers.md says why it is so.
import { setMaxListeners } from 'node:events';
import type { Clock } from '../../lib/clock.ts';
import { Backoff } from '../../lib/runtime/backoff.ts';
import type { CertificateSource, Credentials, CredentialTexts } from '../../lib/runtime/credentials.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { CounterMetric, Metrics } from '../../lib/runtime/metrics.ts';
import type { Applied } from '../control/status.ts';
import type { Core } from '../core.ts';
import type { EdgeSource } from '../edge/files.ts';
import { hasCounts, partsOf, stateOf } from './counts.ts';
import type { Hub } from './hub.ts';
import type { DataPorts, EdgeTexts, Said, Told } from './link.ts';
import { Member } from './member.ts';
import type { WorkerMetrics } from './workermetrics.ts';

/** What the crew needs. */
export interface CrewDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly source: CertificateSource;
  readonly edge: EdgeSource;
  /** Workers in all, the first one too. */
  readonly workers: number;
  /** Undefined before there is a core. */
  readonly hub: () => Hub | undefined;
  readonly sum: WorkerMetrics;
  /** Takes a line of another worker's log. */
  readonly line: (text: string) => void;
  /** The environment of a further worker. */
  readonly environment: (index: number) => Readonly<Record<string, string | undefined>>;
  /** Longest time for which others may drain; what is left after it is ended. */
  readonly drainMs: number;
}

/** What the crew needs of the first worker's core. */
export type CoreView = Pick<Core, 'applied' | 'kept'> & {
  readonly status: Pick<Core['status'], 'touch'>;
  readonly inbound: { readonly port: number };
  readonly outbound: { readonly port: number };
};

/** Looks, not a clock, measure how long a worker is behind: what holds the first worker up delays its looks as well. */
const LOOK_MS = 250;
/** 10 s: one that serves has to apply by then what the first one applies. */
const BEHIND_LOOKS = 40;
/** A minute for its start. */
const START_LOOKS = 240;
/** 30 s without a word. */
const SILENT_LOOKS = 120;
const PING_EVERY = 4;
const restart = { initialMs: 500, maxMs: 30_000, jitter: 1 };
/** Whoever served for so long starts again as if it had never failed. */
const STEADY_MS = 60_000;

/** All further workers. */
export class Crew {
  readonly #deps: CrewDeps;
  readonly #members = new Map<number, Member>();
  readonly #backoffs = new Map<number, Backoff>();
  readonly #restarts: CounterMetric;
  #core: CoreView | undefined;
  #changed = Promise.withResolvers<void>();
  #awaySinceMs: number | undefined;
  #edge = '';
  #looks = 0;
  #isStopping = false;

  constructor(deps: CrewDeps) {
    this.#deps = deps;
    const { metrics, clock, source } = deps;
    this.#awaySinceMs = clock.nowMs();
    this.#restarts = metrics.counter({
      name: 'tabard_sidecar_worker_restarts_total',
      help: 'Further workers that were started again, by why: ended by itself, or ended for it was behind, silent or late.',
      labels: ['why'],
    });
    metrics.observedGauge(
      {
        name: 'tabard_sidecar_workers',
        help: 'Workers of this proxy that are wanted and that serve.',
        labels: ['state'],
      },
      (set) => {
        set(deps.workers, { state: 'wanted' });
        set(1 + this.#listening(), { state: 'serving' });
      },
    );
    source.subscribe((credentials) => this.#tellAll({ kind: 'credentials', credentials: textsOf(credentials) }));
  }

  /** The control API's connection stands, or is lost. */
  connection(stands: boolean): void {
    const sinceMs = stands ? undefined : this.#deps.clock.nowMs();
    this.#awaySinceMs = sinceMs;
    this.#tellAll({ kind: 'away', ...(sinceMs === undefined ? {} : { sinceMs }) });
  }

  /** Resolves with what all workers that serve apply, as soon as that is one and the same. Bounded: who is behind for long is ended. */
  async agreed(): Promise<Applied | undefined> {
    for (;;) {
      const applied = this.#core?.applied();
      const state = stateOf(applied);
      if (this.#isStopping || this.#serving().every((member) => member.state === state)) return applied;
      await this.#changed.promise;
    }
  }

  /** Runs the further workers until the signal is aborted, then drains them. */
  async run(core: CoreView, signal: AbortSignal): Promise<void> {
    this.#core = core;
    // Each worker that waits for its restart listens to it.
    setMaxListeners(0, signal);
    for (let index = 1; index < this.#deps.workers; index += 1) this.#start(index, signal);
    while (!signal.aborted) {
      await this.#deps.clock.sleep(LOOK_MS, signal).catch(() => undefined);
      this.#look();
    }
    await this.#drain();
  }

  #start(index: number, signal: AbortSignal): void {
    const member = new Member(index, {
      said: (from, said) => this.#heard(from, said),
      line: (text) => this.#deps.line(text),
      environment: (number) => this.#deps.environment(number),
      gone: (gone, how) => this.#gone(gone, how, signal),
    });
    this.#members.set(index, member);
    this.#deps.logger.info({ worker: index, pid: member.pid }, 'worker started');
  }

  #heard(member: Member, said: Said): void {
    member.silent = 0;
    const { sum } = this.#deps;
    const hub = this.#deps.hub();
    if (hub === undefined) return;
    if (said.kind === 'hello') member.send(this.#startOf());
    else if (said.kind === 'follow') hub.follow(said.path, member);
    else if (said.kind === 'leave') hub.leave(said.path, member);
    else if (said.kind === 'metrics') sum.told(member, said.text);
    else if (said.kind === 'listening') this.#listens(member);
    else if (said.kind === 'report') {
      const { applied, counts } = partsOf(said.report);
      hub.count(counts);
      // A worker tells at once what is new to it, and the rest seldom: so does the first one.
      if (hasCounts(counts)) this.#core?.status.touch();
      member.state = stateOf(applied);
      this.#admit(member, stateOf(this.#core?.applied()));
      this.#wake();
    }
  }

  #startOf(): Told {
    const { source, edge, workers } = this.#deps;
    const credentials = source.current();
    const kept = this.#core?.kept();
    const awaySinceMs = this.#awaySinceMs;
    return {
      kind: 'start',
      ports: portsOf(this.#core),
      workers,
      ...(kept === undefined ? {} : { kept }),
      ...(awaySinceMs === undefined ? {} : { awaySinceMs }),
      ...(credentials === undefined ? {} : { credentials: textsOf(credentials) }),
      ...edgeOf(edge),
    };
  }

  /** Who applies what the first worker applies may take connections; from then on nothing is reported that does not hold for it. */
  #admit(member: Member, state: string): void {
    if (member.isServing || state === '' || member.state !== state || this.#isStopping) return;
    member.isServing = true;
    member.behind = 0;
    member.send({ kind: 'listen' });
  }

  #listens(member: Member): void {
    member.isListening = true;
    member.listensSinceMs = this.#deps.clock.nowMs();
    this.#deps.logger.info({ worker: member.index, pid: member.pid }, 'worker serves');
  }

  #look(): void {
    this.#looks += 1;
    this.#tellEdge();
    const state = stateOf(this.#core?.applied());
    for (const member of this.#members.values()) {
      this.#admit(member, state);
      member.silent += 1;
      member.behind = state === '' || member.state === state ? 0 : member.behind + 1;
      if (this.#looks % PING_EVERY === 0) member.send({ kind: 'ping' });
      if (member.silent > (member.isListening ? SILENT_LOOKS : START_LOOKS)) this.#end(member, 'silent');
      else if (member.isServing && member.behind > BEHIND_LOOKS) this.#end(member, 'behind');
      else if (!member.isServing && member.behind > START_LOOKS) this.#end(member, 'late');
    }
    this.#wake();
  }

  /** The edge certificate's files tell nobody of their changes. */
  #tellEdge(): void {
    const { fingerprint = '' } = this.#deps.edge.current() ?? {};
    if (fingerprint === this.#edge) return;
    this.#edge = fingerprint;
    this.#tellAll({ kind: 'edge', ...edgeOf(this.#deps.edge) });
  }

  /** Its connections are reset, and it is started again: what it does not know it must not decide. */
  #end(member: Member, why: 'behind' | 'silent' | 'late'): void {
    if (member.endedFor !== undefined) return;
    member.endedFor = why;
    this.#deps.logger.warn({ worker: member.index, pid: member.pid, why }, 'worker is ended');
    member.kill();
  }

  #gone(member: Member, how: string, signal: AbortSignal): void {
    const { index, pid, endedFor: why = 'ended', listensSinceMs } = member;
    const { clock, logger, sum } = this.#deps;
    this.#members.delete(index);
    this.#deps.hub()?.forget(member);
    sum.gone(member);
    this.#wake();
    if (this.#isStopping || signal.aborted) return;
    const backoff = this.#backoffs.get(index) ?? new Backoff(restart);
    this.#backoffs.set(index, backoff);
    if (listensSinceMs !== undefined && clock.nowMs() - listensSinceMs > STEADY_MS) backoff.reset();
    const inMs = backoff.next();
    logger.warn({ worker: index, pid, how, why, inMs }, 'worker is gone, and started again');
    this.#restarts.inc({ why });
    const again = () => {
      if (!signal.aborted) this.#start(index, signal);
    };
    clock.sleep(inMs, signal).then(again, () => undefined);
  }

  /** All of them end in order, like the first one, and at the same time. */
  async #drain(): Promise<void> {
    this.#isStopping = true;
    this.#wake();
    for (const member of this.#members.values()) member.stop();
    const { clock, drainMs } = this.#deps;
    const done = new AbortController();
    const late = clock.sleep(drainMs, done.signal).then(
      () => {
        for (const member of this.#members.values()) member.kill();
      },
      () => undefined,
    );
    while (this.#members.size > 0) await this.#changed.promise;
    done.abort();
    await late;
  }

  #serving(): readonly Member[] {
    return [...this.#members.values()].filter(({ isServing }) => isServing);
  }

  #listening(): number {
    return [...this.#members.values()].filter(({ isListening }) => isListening).length;
  }

  #tellAll(told: Told): void {
    for (const member of this.#members.values()) member.send(told);
  }

  /** Whoever waits for the workers looks again. */
  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** All of them, for what asks each. */
  members(): readonly Member[] {
    return [...this.#members.values()];
  }
}

function portsOf(core: CoreView | undefined): DataPorts {
  return { inbound: core?.inbound.port ?? 0, outbound: core?.outbound.port ?? 0 };
}

function textsOf({ certificate, key, trustBundle }: Credentials): CredentialTexts {
  return { certificate, key, trustBundle };
}

function edgeOf(source: EdgeSource): { readonly edge?: EdgeTexts } {
  const edge = source.current();
  return edge === undefined ? {} : { edge: { certificate: edge.certificate, key: edge.key } };
}

// Reports to the control API: what this proxy applies and the plaintext that it saw, at once after a change and every
// thirty seconds. Counts are kept until a report has arrived.
import { AUTHENTICATION_FORM } from '../../lib/api/authentication.ts';
import type { RuleHits } from '../../lib/api/authorization.ts';
import { type CallerSeen, controlPaths, type StatusReport } from '../../lib/api/control.ts';
import type { Call } from '../../lib/api/decide.ts';
import type { RequestFacts } from '../../lib/api/request.ts';
import type { Clock } from '../../lib/clock.ts';
import { RequestNotes } from './requestnotes.ts';

/** What a report says beside what is counted. */
export type Applied = Omit<
  StatusReport,
  'plaintext' | 'rules' | 'callers' | 'keysWanted' | 'requests' | 'authentication'
>;

/** What the reporter needs. */
export interface StatusDeps {
  readonly clock: Clock;
  post(path: string, body: StatusReport): Promise<boolean>;
  /** The state applied now; undefined while there is none to report. */
  applied(): Applied | undefined;
  /** How long changes are gathered before they are told; half a second by default. */
  readonly settleMs?: number | undefined;
}

type Seen = StatusReport['plaintext'][number];
/** A caller that is still being counted. */
type Counted = CallerSeen & { count: number };

const EVERY_MS = 30_000;
/** A first plaintext connection and a change are told soon, a burst of them in one report. */
const SETTLE_MS = 500;
const RETRY_MS = 3_000;
/** Least time between two reports that are sent early for keys of tokens alone: whoever makes tokens up could ask for as many as he likes. */
const KEYS_EVERY_MS = 5_000;
/** Most issuers in one report: as many as a policy may list. */
const MAX_ISSUERS = 8;
/** Different clients and ports in one report (the control API takes 256); more are not told apart. */
const MAX_SEEN = 250;

/** Sends reports. */
export class StatusReporter {
  readonly #deps: StatusDeps;
  #seen = new Map<string, Seen>();
  #rules = new Map<string, RuleHits>();
  #callers = new Map<string, Counted>();
  /** The caller that came last: of a tunnel it is always the same. */
  #lastCaller: Counted | undefined;
  readonly #requests = new RequestNotes();
  /** Rules and callers that were told of once: what is new is told soon, in case that this pod does not live long. */
  readonly #told = new Set<string>();
  #keysWanted = new Set<string>();
  #keysToldMs = -Infinity;
  #news = new AbortController();
  #hurry = new AbortController();

  constructor(deps: StatusDeps) {
    this.#deps = deps;
  }

  /** Something that a report says has changed. */
  touch(): void {
    this.#news.abort();
  }

  /** Something that is waited for has changed: it is reported without gathering what else may come. */
  touchNow(): void {
    this.#hurry.abort();
    this.#news.abort();
  }

  /** Counts a client that was seen without TLS. */
  plaintext({ address, port, refused }: Omit<Seen, 'count'>): void {
    const key = `${address} ${port} ${refused}`;
    const known = this.#seen.get(key);
    if (known === undefined && this.#seen.size >= MAX_SEEN) return;
    this.#seen.set(key, { address, port, refused, count: (known?.count ?? 0) + 1 });
    if (known === undefined) this.touch();
  }

  /** Counts a connection that an authorization rule matched. */
  rule({ name, outcome }: Omit<RuleHits, 'count'>): void {
    const key = `${outcome} ${name}`;
    const known = this.#rules.get(key);
    if (known === undefined && this.#rules.size >= MAX_SEEN) return;
    this.#rules.set(key, { name, outcome, count: (known?.count ?? 0) + 1 });
    if (known === undefined) this.#tellSoon(key);
  }

  /** Counts a connection of a caller that was let in. */
  caller({ identity, port }: Omit<CallerSeen, 'count'>): void {
    const last = this.#lastCaller;
    if (last?.identity === identity && last.port === port) {
      last.count += 1;
      return;
    }
    const key = `${port} ${identity}`;
    let seen = this.#callers.get(key);
    if (seen === undefined) {
      if (this.#callers.size >= MAX_SEEN) return;
      seen = { identity, port, count: 0 };
      this.#callers.set(key, seen);
      this.#tellSoon(key);
    }
    seen.count += 1;
    this.#lastCaller = seen;
  }

  /** Counts a request that was let through. It is told with the next report. */
  request(call: Call, request: RequestFacts): void {
    this.#requests.note(call, request);
  }

  /** An issuer signed a token with a key that is not known: the operator is to look at its keys again. */
  keysWanted(issuer: string): void {
    this.#keysWanted.add(issuer);
    const nowMs = this.#deps.clock.nowMs();
    if (nowMs - this.#keysToldMs < KEYS_EVERY_MS) return;
    this.#keysToldMs = nowMs;
    this.touch();
  }

  /** Reports until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, settleMs = SETTLE_MS } = this.#deps;
    let failed = false;
    while (!signal.aborted) {
      const pause = failed ? RETRY_MS : EVERY_MS;
      await clock.sleep(pause, AbortSignal.any([signal, this.#news.signal])).catch(() => undefined);
      if (signal.aborted) return;
      await clock.sleep(settleMs, AbortSignal.any([signal, this.#hurry.signal])).catch(() => undefined);
      this.#news = new AbortController();
      this.#hurry = new AbortController();
      failed = !(await this.report());
    }
  }

  /** Sends one report; false when it did not arrive. Its counts are then part of the next. */
  async report(): Promise<boolean> {
    const applied = this.#deps.applied();
    if (applied === undefined) return false;
    const [seen, hits, came, issuers] = [this.#seen, this.#rules, this.#callers, this.#keysWanted];
    this.#seen = new Map();
    this.#rules = new Map();
    this.#callers = new Map();
    this.#lastCaller = undefined;
    this.#keysWanted = new Set();
    const rules = hits.size === 0 ? {} : { rules: [...hits.values()] };
    const callers = came.size === 0 ? {} : { callers: [...came.values()] };
    const asked = this.#requests.take();
    const requests = asked.length === 0 ? {} : { requests: asked };
    const counted = { ...rules, ...callers, ...requests, plaintext: [...seen.values()] };
    const keys = issuers.size === 0 ? {} : { keysWanted: [...issuers].slice(0, MAX_ISSUERS) };
    const body: StatusReport = { ...applied, authentication: AUTHENTICATION_FORM, ...keys, ...counted };
    const arrived = await this.#deps.post(controlPaths.status, body);
    if (!arrived) {
      this.#seen = added(seen, this.#seen);
      this.#rules = added(hits, this.#rules);
      this.#callers = added(came, this.#callers);
      this.#lastCaller = undefined;
      this.#keysWanted = new Set([...issuers, ...this.#keysWanted]);
      this.#requests.putBack(asked);
    }
    return arrived;
  }

  #tellSoon(key: string): void {
    if (this.#told.has(key) || this.#told.size >= MAX_SEEN) return;
    this.#told.add(key);
    this.touch();
  }
}

/** The counts of a report that did not arrive, with what was counted since. */
function added<T extends { readonly count: number }>(
  before: ReadonlyMap<string, T>,
  since: ReadonlyMap<string, T>,
): Map<string, T> {
  const sum = new Map(before);
  for (const [key, later] of since) sum.set(key, { ...later, count: later.count + (before.get(key)?.count ?? 0) });
  return sum;
}

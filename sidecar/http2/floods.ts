// How much of what costs its sender nothing one connection may send: each kind has an allowance that fills up with time and with traffic that
// gets somebody somewhere, so that whoever uses HTTP/2 for something is never held up. Pure but for the clock that it is given.
import type { Flood } from './codes.ts';

/** What is counted. */
export type Counted =
  | 'reset_flood'
  | 'settings_flood'
  | 'ping_flood'
  | 'window_update_flood'
  | 'priority_flood'
  | 'empty_frame_flood'
  | 'unknown_frame_flood';

/** The allowances: how many at once, and how many a second more. */
export const allowances: Readonly<Record<Counted, { readonly most: number; readonly perSecond: number }>> = {
  // CVE-2023-44487 and its kin: streams that the client ends, or makes the application end, before their answer, within a second of their beginning.
  reset_flood: { most: 500, perSecond: 50 },
  settings_flood: { most: 100, perSecond: 1 },
  // gRPC measures the path with a PING for each burst of data.
  ping_flood: { most: 1_000, perSecond: 20 },
  window_update_flood: { most: 2_000, perSecond: 100 },
  priority_flood: { most: 1_000, perSecond: 10 },
  empty_frame_flood: { most: 100, perSecond: 10 },
  unknown_frame_flood: { most: 100, perSecond: 10 },
};

/** Of one kind, on one connection. */
class Allowance {
  readonly #most: number;
  readonly #perMs: number;
  readonly #nowMs: () => number;
  #left: number;
  #filledMs: number;

  constructor({ most, perSecond }: { readonly most: number; readonly perSecond: number }, nowMs: () => number) {
    this.#most = most;
    this.#perMs = perSecond / 1_000;
    this.#nowMs = nowMs;
    this.#left = most;
    this.#filledMs = nowMs();
  }

  /** Takes one. False: there is none. */
  take(): boolean {
    if (this.#left < 1) this.#fill();
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }

  give(count: number): void {
    this.#left = Math.min(this.#most, this.#left + count);
  }

  #fill(): void {
    const now = this.#nowMs();
    this.give((now - this.#filledMs) * this.#perMs);
    this.#filledMs = now;
  }
}

/** The allowances of one connection. */
export class Floods {
  readonly #of: Readonly<Record<Counted, Allowance>>;

  /** `share`: how much of what may come at once; less for an address that is known for floods. */
  constructor(nowMs: () => number, share = 1) {
    const made = Object.entries(allowances).map(([kind, { most, perSecond }]) => [
      kind,
      new Allowance({ most: most * share, perSecond }, nowMs),
    ]);
    this.#of = Object.fromEntries(made) as Record<Counted, Allowance>;
  }

  /** One more of a kind. The rule that it breaks, if any. */
  spend(kind: Counted): Flood | undefined {
    return this.#of[kind].take() ? undefined : kind;
  }

  /** The client has asked for something. */
  asked(): void {
    this.#of.ping_flood.give(1);
    this.#of.priority_flood.give(2);
    this.#of.window_update_flood.give(4);
  }

  /** The client has sent some of a body. */
  sent(): void {
    this.#of.ping_flood.give(1);
    this.#of.empty_frame_flood.give(1);
  }

  /** The application has sent some of a body: the client returns credit for it, for the stream and for the connection. */
  answered(): void {
    this.#of.ping_flood.give(1);
    this.#of.window_update_flood.give(10);
  }

  /** An exchange has come to its end. */
  completed(): void {
    this.#of.reset_flood.give(1);
  }
}

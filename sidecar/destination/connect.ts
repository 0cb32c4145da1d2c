// Reaches one endpoint of a destination: a dead one is left out for a while and another is tried, a bounded number of times
// and before any application byte was sent. An endpoint that asks for mTLS is never reached in any other way.
import type { Endpoint, PlainReason } from '../../lib/api/control.ts';
import type { Clock } from '../../lib/clock.ts';
import type { OpenHalf } from '../relay/half.ts';
import { openPlain } from '../transport/plain.ts';
import type { Leg, Opened, OpenLimits, SecureLeg, Target, Transport } from '../transport/transport.ts';
import { type Candidate, eject, restore } from './balance.ts';

/** What the connector needs to know of a destination. */
export interface EndpointChoice {
  readonly serverName: string;
  pick(nowMs: number, tried: ReadonlySet<Candidate>): Candidate | undefined;
}

/** A half that leads to an endpoint. `release` has to be called once when the connection is over. */
export type Reached =
  | { readonly how: 'mutual'; readonly endpoint: Endpoint; readonly leg: SecureLeg; readonly release: () => void }
  | {
      readonly how: 'plain';
      readonly endpoint: Endpoint;
      readonly leg: Leg;
      readonly why: PlainReason | 'own_pod';
      readonly release: () => void;
    };

/** The outcome: a half, or why the last try failed. */
export type ConnectResult =
  | { readonly ok: true; readonly reached: Reached }
  | { readonly ok: false; readonly failure: Failed; readonly endpoint: Endpoint | undefined };

/** Settings of a connector. */
export interface ConnectorDeps {
  readonly clock: Clock;
  readonly transport: Transport;
  readonly openHalf: OpenHalf;
  /** Addresses of this pod: delivered inside the pod, in plaintext that never leaves it. */
  readonly ownAddresses: ReadonlySet<string>;
}

const MAX_ATTEMPTS = 3;

type Failed = Extract<Opened, { ok: false }>;

const nothingThere: Failed = {
  ok: false,
  reason: 'upstream_unreachable',
  detail: 'the destination has no ready endpoint',
  fault: 'endpoint',
};

/** Reaches endpoints. */
export class Connector {
  readonly #deps: ConnectorDeps;

  constructor(deps: ConnectorDeps) {
    this.#deps = deps;
  }

  /** Calls back once. */
  connect(choice: EndpointChoice, limits: OpenLimits, done: (result: ConnectResult) => void): void {
    new Attempt(this.#deps, { choice, limits, done }).next();
  }
}

interface Wanted {
  readonly choice: EndpointChoice;
  readonly limits: OpenLimits;
  readonly done: (result: ConnectResult) => void;
}

const none: ReadonlySet<Candidate> = new Set();

/** One connection on its way: nearly always the first endpoint is the last. */
class Attempt {
  readonly #deps: ConnectorDeps;
  readonly #wanted: Wanted;
  #tried: Set<Candidate> | undefined;
  #failure = nothingThere;
  #candidate: Candidate | undefined;

  constructor(deps: ConnectorDeps, wanted: Wanted) {
    this.#deps = deps;
    this.#wanted = wanted;
  }

  next(): void {
    const { clock, transport, ownAddresses, openHalf } = this.#deps;
    const { choice, limits } = this.#wanted;
    const isLast = (this.#tried?.size ?? 0) >= MAX_ATTEMPTS;
    const candidate = isLast ? undefined : choice.pick(clock.nowMs(), this.#tried ?? none);
    if (candidate === undefined) return this.#giveUp();
    this.#candidate = candidate;
    // Counted from now on, so that a burst of connections spreads before the first one stands.
    candidate.active += 1;
    const { endpoint } = candidate;
    if (endpoint.transport === 'mutual' && !ownAddresses.has(endpoint.address)) {
      transport.open(targetOf(candidate, endpoint, choice.serverName), limits, (opened) =>
        opened.ok
          ? this.#reached({ how: 'mutual', endpoint, leg: opened.leg, release: releaseOf(candidate) })
          : this.#failed(opened, candidate),
      );
    } else {
      const why = endpoint.transport === 'plain' ? endpoint.why : 'own_pod';
      openPlain(endpoint, limits.connectTimeoutMs, openHalf, (opened) =>
        opened.ok
          ? this.#reached({ how: 'plain', endpoint, leg: opened.leg, why, release: releaseOf(candidate) })
          : this.#failed(opened, candidate),
      );
    }
    return undefined;
  }

  #reached(reached: Reached): void {
    if (this.#candidate !== undefined) restore(this.#candidate);
    this.#wanted.done({ ok: true, reached });
  }

  #failed(failure: Failed, candidate: Candidate): void {
    candidate.active -= 1;
    this.#failure = failure;
    if (failure.fault === 'own') return this.#giveUp();
    eject(candidate, this.#deps.clock.nowMs());
    this.#tried ??= new Set();
    this.#tried.add(candidate);
    return this.next();
  }

  #giveUp(): void {
    this.#wanted.done({ ok: false, failure: this.#failure, endpoint: this.#candidate?.endpoint });
  }
}

function targetOf(
  candidate: Candidate,
  endpoint: Extract<Endpoint, { transport: 'mutual' }>,
  serverName: string,
): Target {
  if (candidate.target?.serverName !== serverName) candidate.target = { ...endpoint, serverName };
  return candidate.target;
}

function releaseOf(candidate: Candidate): () => void {
  return () => void (candidate.active -= 1);
}

// Reaches one endpoint of a destination: a dead one is left out for a while and another is tried, a bounded number of times
// and before any application byte was sent. An endpoint that asks for mTLS is never reached in any other way.
import type { Endpoint, PlainReason } from '../../lib/api/control.ts';
import type { Clock } from '../../lib/clock.ts';
import type { OpenHalf } from '../relay/half.ts';
import { openPlain } from '../transport/plain.ts';
import type { Leg, Opened, OpenLimits, SecureLeg, Transport } from '../transport/transport.ts';
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
  | { readonly ok: false; readonly failure: Extract<Opened, { ok: false }>; readonly endpoint: Endpoint | undefined };

/** Settings of a connector. */
export interface ConnectorDeps {
  readonly clock: Clock;
  readonly transport: Transport;
  readonly openHalf: OpenHalf;
  /** Addresses of this pod: delivered inside the pod, in plaintext that never leaves it. */
  readonly ownAddresses: ReadonlySet<string>;
}

const MAX_ATTEMPTS = 3;

const nothingThere: Extract<Opened, { ok: false }> = {
  ok: false,
  reason: 'upstream_unreachable',
  detail: 'the destination has no ready endpoint',
  fault: 'endpoint',
  ms: 0,
};

/** Reaches endpoints. */
export class Connector {
  readonly #deps: ConnectorDeps;

  constructor(deps: ConnectorDeps) {
    this.#deps = deps;
  }

  /** Never rejects. */
  async connect(choice: EndpointChoice, limits: OpenLimits): Promise<ConnectResult> {
    const tried = new Set<Candidate>();
    let failure = nothingThere;
    let endpoint: Endpoint | undefined;
    while (tried.size < MAX_ATTEMPTS) {
      const candidate = choice.pick(this.#deps.clock.nowMs(), tried);
      if (candidate === undefined) break;
      tried.add(candidate);
      endpoint = candidate.endpoint;
      // Counted from now on, so that a burst of connections spreads before the first one stands.
      candidate.active += 1;
      const release = (): void => void (candidate.active -= 1);
      const { transport, ownAddresses, openHalf } = this.#deps;
      if (endpoint.transport === 'mutual' && !ownAddresses.has(endpoint.address)) {
        const opened = await transport.open({ ...endpoint, serverName: choice.serverName }, limits);
        if (opened.ok) {
          restore(candidate);
          return { ok: true, reached: { how: 'mutual', endpoint, leg: opened.leg, release } };
        }
        failure = opened;
      } else {
        const opened = await openPlain(endpoint, limits.connectTimeoutMs, openHalf);
        if (opened.ok) {
          restore(candidate);
          const why = endpoint.transport === 'plain' ? endpoint.why : 'own_pod';
          return { ok: true, reached: { how: 'plain', endpoint, leg: opened.leg, why, release } };
        }
        failure = opened;
      }
      release();
      if (failure.fault === 'own') break;
      eject(candidate, this.#deps.clock.nowMs());
    }
    return { ok: false, failure, endpoint };
  }
}

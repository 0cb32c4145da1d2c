// Outbound connections: the original destination is looked up, an endpoint is reached over mTLS as discovery says, or the bytes pass
// untouched because the destination is not in the mesh. Nothing is read from the application before that is decided, and
// nothing that is known to be in the mesh is ever sent in plaintext.
import type { EffectivePolicy, PlainReason } from '../lib/api/control.ts';
import type { Reason } from '../lib/api/reasons.ts';
import type { Conveyor, Passage } from './convey.ts';
import type { Connector, ConnectResult, Reached } from './destination/connect.ts';
import type { Discovery, Lookup } from './destination/discovery.ts';
import type { NearHalf } from './incoming.ts';
import type { Captured as CapturedAs } from './listener.ts';
import type { OpenHalf } from './relay/half.ts';
import { openPlain } from './transport/plain.ts';

/** What outbound needs from the rest. */
export interface OutboundDeps {
  readonly conveyor: Conveyor;
  readonly discovery: Pick<Discovery, 'known' | 'lookup'>;
  readonly connector: Connector;
  readonly openHalf: OpenHalf;
  limits(): EffectivePolicy['connections'];
}

/** A dead endpoint is found out in this time, and another is tried. */
const CONNECT_TIMEOUT_MS = 2_000;
/** An address outside the mesh gets longer: there is no other to try. */
const PASS_TIMEOUT_MS = 20_000;

type Captured = CapturedAs<NearHalf>;
type Endpoints = Extract<Lookup, { kind: 'endpoints' }>;

/** Handles connections that the pod's containers open. */
export class Outbound {
  readonly #deps: OutboundDeps;

  constructor(deps: OutboundDeps) {
    this.#deps = deps;
  }

  /** Takes a connection to its end; without a promise where its destination is known. */
  handle(captured: Captured): Promise<void> | void {
    captured.admitted();
    const { address, port } = captured.destination;
    const { discovery } = this.#deps;
    const known = discovery.known(address, port);
    if (known !== undefined) return this.#go(captured, known);
    return discovery.lookup(address, port).then((lookup) => this.#go(captured, lookup));
  }

  #go(captured: Captured, lookup: Lookup): void {
    switch (lookup.kind) {
      case 'refused':
        return this.#refuse(captured, { reason: lookup.reason, detail: 'no answer about this address' });
      case 'pass':
        return this.#pass(captured, lookup.why);
      case 'endpoints':
        return this.#reach(captured, lookup);
    }
  }

  #reach(captured: Captured, { choice, hold }: Endpoints): void {
    const { handshakeTimeoutMs } = this.#deps.limits();
    const limits = { connectTimeoutMs: CONNECT_TIMEOUT_MS, handshakeTimeoutMs, source: captured.source };
    const done = hold();
    this.#deps.connector.connect(choice, limits, (result) => {
      try {
        this.#reached(captured, result, done);
      } catch (error) {
        captured.failed(error);
      }
    });
  }

  #reached(captured: Captured, result: ConnectResult, done: () => void): void {
    if (!result.ok) {
      const { reason, detail } = result.failure;
      const endpoint = result.endpoint === undefined ? {} : { endpoint: result.endpoint };
      done();
      return this.#refuse(captured, { reason, detail, ...endpoint });
    }
    const { reached } = result;
    const { conveyor } = this.#deps;
    if (reached.how === 'plain') conveyor.metrics.passthrough(reached.why);
    return conveyor.convey(captured.near.half, reached.leg.half, passageOf(captured, reached), () => {
      reached.release();
      done();
    });
  }

  #pass(captured: Captured, why: PlainReason): void {
    const { source, destination, near } = captured;
    const { conveyor, openHalf } = this.#deps;
    const { port } = destination;
    openPlain(destination, PASS_TIMEOUT_MS, openHalf, (opened) => {
      if (!opened.ok) return this.#refuse(captured, opened);
      conveyor.metrics.passthrough(why);
      const passage = { direction: 'outbound', source, destination, port, transport: 'untouched', plain: why } as const;
      return conveyor.convey(near.half, opened.leg.half, passage);
    });
  }

  /** The application sees a reset: for it the connection stands already, so it cannot be told "refused". */
  #refuse(
    captured: Captured,
    refusal: {
      readonly reason: Reason;
      readonly detail: string;
      readonly endpoint?: { address: string; port: number };
    },
  ): void {
    const { source, destination, near } = captured;
    const { reason, detail, endpoint } = refusal;
    const tried = endpoint === undefined ? {} : { endpoint: { address: endpoint.address, port: endpoint.port } };
    this.#deps.conveyor.refused({ direction: 'outbound', source, destination, reason, detail, ...tried });
    near.half.reset();
  }
}

function passageOf({ source, destination }: Captured, reached: Reached): Passage {
  const { endpoint } = reached;
  const { port } = endpoint;
  const direction = 'outbound';
  if (reached.how === 'plain') {
    return { direction, source, destination, endpoint, port, transport: 'untouched', plain: reached.why };
  }
  const { tls, peer, ownNotAfter, tunnel } = reached.leg;
  return { direction, source, destination, endpoint, port, transport: 'mutual', tls, peer, ownNotAfter, tunnel };
}

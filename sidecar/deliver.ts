// The last step of what arrives, whether as a connection of its own or as a stream of a tunnel: authorization, a connection to the
// application at the pod's own address and port, and then bytes.
import type { Reason } from '../lib/api/reasons.ts';
import type { Place, TunnelFacts } from './accesslog.ts';
import type { Authorizer, RequestJudge } from './authorize.ts';
import type { Conveyor, Passage } from './convey.ts';
import type { HttpFront } from './http1/front.ts';
import type { Half, OpenHalf } from './relay/half.ts';
import type { TlsFacts } from './tls/facts.ts';
import type { PeerFacts } from './tls/peer.ts';
import { openPlain } from './transport/plain.ts';
import type { Leg, Opened } from './transport/transport.ts';

/** What delivering needs. */
export interface DeliveryDeps {
  readonly conveyor: Conveyor;
  readonly openHalf: OpenHalf;
  /** Authorization rules. */
  readonly authorizer: Pick<Authorizer, 'admit'>;
  /** Reads HTTP where the policy wants something of it. */
  readonly http: HttpFront;
}

/** What arrived. Its peer was judged. */
export interface Arrival extends Pick<Passage, 'transport'> {
  readonly half: Half;
  readonly source: Place;
  readonly destination: Place;
  readonly tls?: TlsFacts;
  readonly peer?: PeerFacts;
  readonly ownNotAfter?: Date;
  readonly tunnel?: TunnelFacts;
  /** The application has accepted. False: whoever wanted to be let in has gone meanwhile. */
  accepted(): boolean;
  /** It is not let in: tells the other side as it can be told. */
  refuse(reason: Reason, detail: string): void;
  /** What may only come of a fault of this proxy. */
  failed(error: unknown): void;
}

/** The application is in this pod: it answers at once or not at all. */
const APPLICATION_CONNECT_MS = 5_000;

/** Leads arrivals to the application, until they are over. */
export class Delivery {
  readonly #deps: DeliveryDeps;

  constructor(deps: DeliveryDeps) {
    this.#deps = deps;
  }

  /** Takes an arrival to its end. */
  deliver(arrival: Arrival): void {
    const { source, destination, peer } = arrival;
    const { openHalf, authorizer, http } = this.#deps;
    const { port } = destination;
    const call = { identity: peer?.identity, address: source.address, port };
    const admission = authorizer.admit(call, http.reads(port));
    if (!admission.ok) return arrival.refuse(admission.denial.reason, admission.denial.detail);
    openPlain(destination, APPLICATION_CONNECT_MS, openHalf, (application) => {
      try {
        this.#answered(arrival, application, admission.requests);
      } catch (error) {
        arrival.failed(error);
      }
    });
    return undefined;
  }

  #answered(arrival: Arrival, application: Opened<Leg>, requests: RequestJudge | undefined): void {
    if (!application.ok) {
      return arrival.refuse('upstream_unreachable', `the application does not accept: ${application.detail}`);
    }
    if (!arrival.accepted()) return application.leg.half.reset();
    const { half, source, destination, transport, tls, peer, ownNotAfter, tunnel } = arrival;
    const far = this.#deps.http.before(application.leg.half, arrival, requests);
    this.#deps.conveyor.convey(half, far.half, {
      direction: 'inbound',
      source,
      destination,
      port: destination.port,
      transport,
      tls,
      peer,
      ownNotAfter,
      tunnel,
      ...(far.recheck === undefined ? {} : { recheck: far.recheck }),
      requests: far.requests,
    });
    return undefined;
  }
}

// What the log says of connections: one line for each refusal or failed handshake, with the closed reason and a hint, and, where the policy
// asks for it, one line for each connection that ended. Refusals are limited per reason and peer; what was left out is counted.
import type { Call, Decision } from '../lib/api/decide.ts';
import { type Reason, reasonHints } from '../lib/api/reasons.ts';
import type { RequestFacts } from '../lib/api/request.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/runtime/logger.ts';
import type { Exchange } from './exchange.ts';
import { Lru } from './lru.ts';
import type { Direction } from './relay/live.ts';
import type { RelayEnd } from './relay/relay.ts';
import type { TlsFacts } from './tls/facts.ts';
import type { PeerFacts } from './tls/peer.ts';

/** An address and port. */
export interface Place {
  readonly address: string;
  readonly port: number;
}

/** A connection that was not carried. */
export interface Refusal {
  readonly direction: Direction;
  readonly reason: Reason;
  /** A fact beside the reason: an OpenSSL code, an identity, a system error. */
  readonly detail?: string;
  /** True when it is the peer that refused us. */
  readonly told?: boolean;
  readonly source: Place;
  readonly destination: Place;
  /** Outbound: the endpoint that was tried last. */
  readonly endpoint?: Place;
  /** Inbound: the stream that was refused. */
  readonly tunnel?: TunnelFacts;
}

/** The place of a connection in a tunnel. */
export interface TunnelFacts {
  /** The same in the logs of both sides. */
  readonly id: string;
  readonly stream: number;
  /** Inbound: where the caller's application is. A claim of the caller's proxy; `source` is the proxy itself. */
  readonly application?: Place;
}

/** A connection that was carried and is over. */
export interface Carried {
  readonly direction: Direction;
  readonly source: Place;
  readonly destination: Place;
  readonly endpoint?: Place;
  /** Why it went without TLS. */
  readonly plain?: string;
  readonly tls?: TlsFacts;
  readonly peer?: PeerFacts;
  /** Which stream of which tunnel it was, and where the far application is as its proxy says. */
  readonly tunnel?: TunnelFacts;
  readonly end: RelayEnd;
  readonly ms: number;
}

/** An HTTP request and its answer. */
export interface Requested {
  readonly source: Place;
  readonly destination: Place;
  readonly peer?: PeerFacts;
  readonly exchange: Exchange;
}

interface Limit {
  untilMs: number;
  suppressed: number;
}

const EVERY_MS = 10_000;
const MAX_LIMITS = 1_000;

/** Writes the lines. */
export class AccessLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #all: () => boolean;
  readonly #limits = new Lru<Limit>(MAX_LIMITS);

  /** `all` tells whether the policy in force asks for a line per connection. */
  constructor(deps: { readonly logger: Logger; readonly clock: Clock; readonly all: () => boolean }) {
    this.#logger = deps.logger;
    this.#clock = deps.clock;
    this.#all = deps.all;
  }

  /** One line, unless one of the same reason about the same peer was written in the last ten seconds. */
  refused(refusal: Refusal): void {
    const { direction, reason } = refusal;
    const peer = direction === 'inbound' ? refusal.source.address : placeText(refusal.endpoint ?? refusal.destination);
    const turn = this.#turn(`${direction} ${reason} ${peer}`);
    if (turn === undefined) return;
    this.#logger.warn(
      {
        direction,
        reason,
        detail: refusal.detail,
        told: refusal.told === true ? true : undefined,
        source: placeText(refusal.source),
        destination: placeText(refusal.destination),
        endpoint: refusal.endpoint === undefined ? undefined : placeText(refusal.endpoint),
        tunnel: refusal.tunnel?.id,
        stream: refusal.tunnel?.stream,
        hint: reasonHints[reason],
        suppressed: turn.suppressed,
      },
      'connection refused',
    );
  }

  /** What rules in audit mode would do: one line per caller, port and outcome in ten seconds. */
  audited({ identity, address, port }: Call, { allowed, audited, wouldBe }: Decision, request?: RequestFacts): void {
    const verdict = wouldBe === undefined ? undefined : wouldBe ? 'allowed' : 'denied';
    const turn = this.#turn(`audit ${identity ?? address} ${port} ${audited.join()} ${verdict}`);
    if (turn === undefined) return;
    const asked = request === undefined ? {} : { 'http.request.method': request.method, 'url.path': request.path };
    const facts = { peer: identity, address, port, ...asked, rules: audited, allowed, wouldBe: verdict };
    this.#logger.info({ ...facts, suppressed: turn.suppressed }, 'audited by authorization rules');
  }

  /** Undefined while lines of this key are held back; else how many were since the last. */
  #turn(key: string): { readonly suppressed: number | undefined } | undefined {
    const nowMs = this.#clock.now().getTime();
    const limit = this.#limits.get(key);
    if (limit !== undefined && nowMs < limit.untilMs) {
      limit.suppressed += 1;
      return undefined;
    }
    this.#limits.set(key, { untilMs: nowMs + EVERY_MS, suppressed: 0 });
    return { suppressed: limit === undefined || limit.suppressed === 0 ? undefined : limit.suppressed };
  }

  /** One line if the policy asks for it. */
  carried({ direction, source, destination, endpoint, plain, tls, peer, tunnel, end, ms }: Carried): void {
    if (!this.#all()) return;
    this.#logger.info(
      {
        direction,
        source: placeText(source),
        destination: placeText(destination),
        endpoint: endpoint === undefined ? undefined : placeText(endpoint),
        plain,
        peer: peer?.identity,
        peerSerial: peer?.serial,
        tls,
        tunnel: tunnel?.id,
        stream: tunnel?.stream,
        application: tunnel?.application === undefined ? undefined : placeText(tunnel.application),
        bytesIn: end.bytesIn,
        bytesOut: end.bytesOut,
        ms: Math.round(ms),
        ending: end.ending,
        reason: end.reason,
      },
      'connection',
    );
  }

  /** One line per request if the policy asks for it, with the names of OpenTelemetry's semantic conventions for HTTP. Never the query. */
  request({ source, destination, peer, exchange }: Requested): void {
    if (!this.#all()) return;
    const { method, target, host, status, ms } = exchange;
    this.#logger.info(
      {
        peer: peer?.identity,
        'client.address': source.address,
        'client.port': source.port,
        'server.address': host,
        'server.port': destination.port,
        'http.request.method': method,
        'url.path': withoutQuery(target),
        'http.response.status_code': status,
        ms: Math.round(ms),
      },
      'request',
    );
  }
}

/** A query may hold what is nobody's business. */
function withoutQuery(target: string): string {
  return target.split('?', 1)[0] ?? target;
}

/** `address:port`, IPv6 in brackets. */
export function placeText({ address, port }: Place): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

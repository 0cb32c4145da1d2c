// What the log says of connections, handshakes and requests: one line for each refusal or failure, with the closed reason and a hint, and, where
// the policy asks for it, one for what went well, or for one in so many of it. Failures are limited per reason and peer; what was left out is
// counted. docs/logs.md describes the lines.
import type { LogFormat } from '../lib/api/contract.ts';
import type { EffectivePolicy } from '../lib/api/control.ts';
import type { Call, Decision } from '../lib/api/decide.ts';
import type { Reason } from '../lib/api/reasons.ts';
import type { RequestFacts } from '../lib/api/request.ts';
import type { Clock } from '../lib/clock.ts';
import { type Logger, type RawLine, rawLines } from '../lib/runtime/logger.ts';
import type { Exchange } from './exchange.ts';
import { ecsNames } from './log/ecs.ts';
import type { Entry, Names, Place, TunnelFacts } from './log/entry.ts';
import { Limiter } from './log/limiter.ts';
import { otelNames } from './log/otel.ts';
import { Sampler } from './log/sampler.ts';
import type { SidecarMetrics } from './metrics.ts';
import type { Direction } from './relay/live.ts';
import type { RelayEnd } from './relay/relay.ts';
import type { TlsFacts } from './tls/facts.ts';
import type { PeerFacts } from './tls/peer.ts';

export type { Place, TunnelFacts };

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
  /** Inbound: who the caller has proved to be. */
  readonly peer?: Entry['peer'];
  /** Inbound: the stream that was refused. */
  readonly tunnel?: TunnelFacts;
}

/** A TLS handshake that is over. */
export interface Handshake extends Pick<Entry, 'direction' | 'endpoint' | 'peer' | 'tls' | 'tunnel' | 'ms'> {
  readonly source?: Place;
  readonly destination?: Place;
  /** Why it failed. */
  readonly reason?: Reason;
  readonly detail?: string;
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
  readonly tls?: TlsFacts;
  readonly peer?: PeerFacts;
  readonly tunnel?: TunnelFacts;
  readonly exchange: Exchange;
}

/** What the log needs. */
export interface AccessLogDeps {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly format?: LogFormat | undefined;
  /** What the policy in force asks for; undefined until it is known. */
  policy(): Pick<EffectivePolicy, 'accessLog' | 'accessLogOneIn'> | undefined;
  /** Counts lines that were left out. Asked for with each: it is made later than the log. */
  metrics?(): Pick<SidecarMetrics, 'logLeftOut'>;
}

/** What policy refuses, of which a policy may want no line. */
const byPolicy: ReadonlySet<Reason> = new Set<Reason>(['denied', 'plaintext', 'token_invalid', 'token_required']);
/** Applications fail by themselves, too: that is their own log's. */
const serverError = 500;

/** Writes the lines. */
export class AccessLog {
  readonly #deps: AccessLogDeps;
  readonly #limiter: Limiter;
  readonly #sampler = new Sampler();
  readonly #names: Names;
  readonly #line: RawLine;
  /** What each request of a connection has in common, as JSON: by what is made once for each connection or stream. */
  readonly #standing = new WeakMap<object, string>();

  constructor(deps: AccessLogDeps) {
    this.#deps = deps;
    this.#limiter = new Limiter(deps.clock, () => deps.metrics?.().logLeftOut('repeated'));
    this.#names = deps.format === 'ECS' ? ecsNames : otelNames;
    this.#line = rawLines(deps.logger);
  }

  /** One line, unless one of the same reason about the same peer was written in the last ten seconds. */
  refused(refusal: Refusal): void {
    const { direction, reason, source, endpoint, destination, peer } = refusal;
    if (this.#mode() === 'None' && byPolicy.has(reason)) return;
    const who = direction === 'inbound' ? (peer?.identity ?? source.address) : placeText(endpoint ?? destination);
    this.#limited(`${direction} ${reason} ${who}`, refusal, 'connection refused');
  }

  /** One line for a handshake that failed, limited as refusals are; for others if the policy asks for it. */
  handshake(handshake: Handshake): void {
    const { direction, reason, source, endpoint } = handshake;
    if (reason !== undefined) {
      const peer = direction === 'inbound' ? source?.address : endpoint && placeText(endpoint);
      return this.#limited(
        `handshake ${direction} ${reason} ${peer}`,
        { ...handshake, established: false },
        'handshake failed',
      );
    }
    if (this.#mode() === 'All' && this.#sampled(handshake))
      this.#info({ ...handshake, established: true }, 'handshake');
  }

  /** What rules in audit mode would do: one line per caller, port and outcome in ten seconds. */
  audited({ identity, address, port }: Call, { allowed, audited, wouldBe }: Decision, request?: RequestFacts): void {
    const verdict = wouldBe === undefined ? undefined : wouldBe ? 'allowed' : 'denied';
    const asked = request === undefined ? {} : { 'http.request.method': request.method, 'url.path': request.path };
    const facts = { peer: identity, address, port, ...asked, rules: audited, allowed, wouldBe: verdict };
    this.#limiter.turn(`audit ${identity ?? address} ${port} ${audited.join()} ${verdict}`, (suppressed) =>
      this.#deps.logger.info({ ...facts, suppressed }, 'audited by authorization rules'),
    );
  }

  /** Whether a connection that ended so may have a line: `carried` need not be asked about the others. */
  tells(reason: Reason | undefined): boolean {
    const mode = this.#mode();
    return mode === 'All' || (mode === 'Denied' && reason !== undefined && reason !== 'reset');
  }

  /** One line if the policy asks for it. One that did not end in order has one wherever refusals have. */
  carried({ end, ...connection }: Carried): void {
    const { reason } = end;
    if (!this.tells(reason)) return;
    const entry = { ...connection, ...end };
    if (this.#mode() === 'All') {
      if (reason !== undefined || this.#sampled(connection)) this.#info(entry, 'connection');
    } else {
      const peer = connection.peer?.identity ?? connection.source.address;
      this.#limited(`cut ${connection.direction} ${reason} ${peer}`, entry, 'connection');
    }
  }

  /** One line per request if the policy asks for it; for one that was refused or failed also where it asks for refusals alone. */
  request(requested: Requested): void {
    const mode = this.#mode();
    const { exchange, peer, source } = requested;
    const { reason, status, trace, ms } = exchange;
    if (mode === 'None' || (mode !== 'All' && reason === undefined)) return;
    const entry = { ...requested, direction: 'inbound' as const, reason, ms };
    if (reason !== undefined) this.#limited(`request ${reason} ${peer?.identity ?? source.address}`, entry, 'request');
    else if (status >= serverError || this.#sampled({ trace })) this.#info(entry, 'request');
  }

  /** Tells what was held back when it is due, until the signal is aborted. */
  run(signal: AbortSignal): Promise<void> {
    return this.#limiter.run(signal);
  }

  #mode(): EffectivePolicy['accessLog'] | undefined {
    return this.#deps.policy()?.accessLog;
  }

  #sampled(of: Parameters<Sampler['keeps']>[1]): boolean {
    const keeps = this.#sampler.keeps(this.#deps.policy()?.accessLogOneIn ?? 1, of);
    if (!keeps) this.#deps.metrics?.().logLeftOut('sampled');
    return keeps;
  }

  #info(entry: Entry, message: 'connection' | 'handshake' | 'request'): void {
    this.#write('info', entry, message);
  }

  #limited(
    key: string,
    entry: Entry,
    message: 'connection' | 'connection refused' | 'handshake failed' | 'request',
  ): void {
    this.#limiter.turn(key, (suppressed) => this.#write('warn', { ...entry, suppressed }, message));
  }

  #write(level: 'info' | 'warn', entry: Entry, message: string): void {
    const standing = entry.exchange === undefined ? membersOf(this.#names.standing(entry)) : this.#standingOf(entry);
    const passing = membersOf(this.#names.passing(entry));
    this.#line(level, passing === '' ? standing : `${standing},${passing}`, message);
  }

  #standingOf(entry: Entry): string {
    const key = entry.tunnel ?? entry.source ?? entry;
    const known = this.#standing.get(key);
    if (known !== undefined) return known;
    const members = membersOf(this.#names.standing(entry));
    this.#standing.set(key, members);
    return members;
  }
}

/** `address:port`, IPv6 in brackets. */
export function placeText({ address, port }: Place): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** As JSON, without the braces. */
function membersOf(members: object): string {
  return JSON.stringify(members).slice(1, -1);
}

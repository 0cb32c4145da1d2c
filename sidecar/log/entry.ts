// What a line of the log says, before its fields have names: those of OpenTelemetry (otel.ts) or of the Elastic Common Schema (ecs.ts).
import type { Reason } from '../../lib/api/reasons.ts';
import type { Exchange } from '../exchange.ts';
import type { Direction } from '../relay/live.ts';
import type { Ending } from '../relay/relay.ts';
import type { TlsFacts } from '../tls/facts.ts';
import type { PeerFacts } from '../tls/peer.ts';

/** An address and port. */
export interface Place {
  readonly address: string;
  readonly port: number;
}

/** The place of a connection in a tunnel. */
export interface TunnelFacts {
  /** The same in the logs of both sides. */
  readonly id: string;
  /** Absent: the tunnel itself is meant. */
  readonly stream?: number;
  /** Inbound: where the caller's application is. A claim of the caller's proxy; `source` is the proxy itself. */
  readonly application?: Place;
}

/** One line. */
export interface Entry {
  readonly direction: Direction;
  readonly source?: Place | undefined;
  readonly destination?: Place | undefined;
  /** Outbound: the endpoint that was dialled. */
  readonly endpoint?: Place | undefined;
  readonly peer?: Pick<PeerFacts, 'identity' | 'serial'> | undefined;
  readonly tls?: TlsFacts | undefined;
  /** False: a handshake that failed. */
  readonly established?: boolean;
  readonly tunnel?: TunnelFacts | undefined;
  /** Why it went without TLS. */
  readonly plain?: string | undefined;
  readonly exchange?: Exchange | undefined;
  readonly bytesIn?: number;
  readonly bytesOut?: number;
  readonly ms?: number | undefined;
  readonly ending?: Ending;
  readonly reason?: Reason | undefined;
  /** A fact beside the reason: an OpenSSL code, an identity, a system error. */
  readonly detail?: string | undefined;
  /** It is the peer that refused us. */
  readonly told?: boolean | undefined;
  /** Lines of this reason and peer that were left out since the last one. */
  readonly suppressed?: number | undefined;
}

/** Longest path in a line: a target may have 32 KiB. */
const MOST_PATH = 1_024;

/** Methods by their names (RFC 9110 section 9, RFC 5789, and QUERY); others are as many as clients can think of. */
const known: ReadonlySet<string> = new Set('GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY'.split(' '));

/** The method, or `_OTHER` with what it was. */
export function methodOf(method: string): { readonly method: string; readonly original: string | undefined } {
  return known.has(method) ? { method, original: undefined } : { method: '_OTHER', original: method };
}

/**
 * The path of a target, never its query: that may hold what is nobody's business (tokens, names). Undefined for a target without a path
 * (`CONNECT`). No target that is read holds user information.
 */
export function pathOf(target: string): string | undefined {
  const end = target.indexOf('?');
  const whole = end === -1 ? target : target.slice(0, end);
  const path =
    whole.startsWith('/') || whole === '*' ? whole : /^[a-z][a-z0-9+.-]*:\/\/[^/]*(\/.*)?$/i.exec(whole)?.[1];
  return path !== undefined && path.length > MOST_PATH ? `${path.slice(0, MOST_PATH)}…` : path;
}

/** The host that was asked for and its port, where it was named. */
export function hostOf(host: string): { readonly address: string | undefined; readonly port: number | undefined } {
  const [, name = '', port] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(host) ?? [];
  return {
    address: name === '' ? undefined : name.replace(/^\[|\]$/g, ''),
    port: port === undefined ? undefined : Number(port),
  };
}

/** The names of one vocabulary. Members that are undefined are not written. */
export interface Names {
  /** What is the same for all that goes over a connection. */
  standing(entry: Entry): object;
  /** What came of it, or of one request. */
  passing(entry: Entry): object;
}

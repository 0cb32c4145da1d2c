// Which header fields a sidecar puts into the messages of a connection and takes out of them, by the policy and by who the client is; the same for
// every version of HTTP. Pure.
import type { EffectivePolicy } from '../../lib/api/control.ts';
import type { LiveFacts } from '../relay/live.ts';
import type { PeerFacts } from '../tls/peer.ts';
import { certificateFields } from './clientcert.ts';

/** A header field. */
export interface Field {
  /** As HTTP/1.1 shows it; HTTP/2 wants lower case. */
  readonly name: string;
  readonly value: string;
}

/** What is done to the messages of one connection. */
export interface HeaderPlan {
  /** Names in lower case of fields that are taken out of every request, however often they are there. */
  readonly removed: readonly string[];
  /** Put into every request, behind what is left: what the client has proved. */
  readonly proved: readonly Field[];
  /** Put into every final answer, our own included, unless it has a field of that name. */
  readonly answers: readonly Field[];
}

/** Fields by which a proxy tells the next one whose certificate it has seen (RFC 9440; Envoy). Never the word of somebody unknown. */
export const forwardedNames: readonly string[] = ['client-cert', 'client-cert-chain', 'x-forwarded-client-cert'];

const disguised: ReadonlySet<string> = new Set(
  [...forwardedNames, 'content-length', 'transfer-encoding'].map((name) => name.replaceAll('-', '_')),
);

/** A name with underscores that CGI and its heirs take for a field which says whose certificate was seen, or where a message ends. */
export function isDisguised(name: string): boolean {
  return disguised.has(name.toLowerCase().replaceAll('-', '_'));
}

/** What is known of the connection. */
export interface Connection {
  readonly transport: LiveFacts['transport'];
  readonly peer?: PeerFacts | undefined;
  /** SPIFFE ID of this pod. */
  readonly identity: string;
}

/** Plan for a connection that goes to the application. */
export function headerPlan(policy: EffectivePolicy, connection: Connection): HeaderPlan {
  const { transport, peer, identity } = connection;
  const { http, securityHeaders = [], clientCertificate } = policy;
  // RFC 6797 section 7.2: never over a connection that is not secure. The others keep it company.
  const secure = transport === 'mutual' || transport === 'anonymous';
  const hsts = http?.hsts === undefined ? [] : [{ name: 'Strict-Transport-Security', value: http.hsts }];
  const trusted = peer !== undefined && clientCertificate?.trustedForwarders.includes(peer.identity) === true;
  const headers = clientCertificate?.headers ?? [];
  return {
    removed: trusted ? [] : forwardedNames,
    proved: peer === undefined ? [] : certificateFields({ headers, peer, by: identity, forwards: trusted }),
    answers: secure ? [...hsts, ...securityHeaders] : [],
  };
}

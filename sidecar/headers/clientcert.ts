// The certificate that a client has proved, for the application: Client-Cert (RFC 9440) and X-Forwarded-Client-Cert (Envoy's). The values are
// made from the verified certificate alone. Pure.
import type { X509Certificate } from 'node:crypto';
import type { ForwardedHeader } from '../../lib/api/control.ts';
import type { PeerFacts } from '../tls/peer.ts';
import type { Field } from './plan.ts';

/** What is told to whom. */
export interface Proved {
  readonly headers: readonly ForwardedHeader[];
  readonly peer: PeerFacts;
  /** SPIFFE ID of this pod. */
  readonly by: string;
  /** The client is a proxy whose own word about its clients passes: of it only X-Forwarded-Client-Cert is said, as one more element. */
  readonly forwards: boolean;
}

/** Made once for each certificate that is live, however many connections it has. */
const values = new WeakMap<X509Certificate, Map<string, string>>();

/** The fields that the policy asks for. None without a certificate. */
export function certificateFields({ headers, peer, by, forwards }: Proved): readonly Field[] {
  const { certificate } = peer;
  if (certificate === undefined) return [];
  return headers
    .filter((name) => !forwards || name === 'X-Forwarded-Client-Cert')
    .map((name) => {
      const make = name === 'Client-Cert' ? clientCert : () => forwardedElement(certificate, peer, by);
      return { name, value: remembered(certificate, `${name} ${by}`, () => make(certificate)) };
    });
}

function remembered(certificate: X509Certificate, key: string, make: () => string): string {
  const known = values.get(certificate) ?? new Map<string, string>();
  values.set(certificate, known);
  const value = known.get(key) ?? make();
  known.set(key, value);
  return value;
}

/** RFC 9440 section 2.2: the DER as a structured field byte sequence (RFC 8941 section 3.3.5). */
export function clientCert({ raw }: X509Certificate): string {
  return `:${raw.toString('base64')}:`;
}

/** One element as Envoy writes it: who says so, SHA-256 of the certificate in lower-case hex, its subject, URI and DNS names. */
export function forwardedElement(
  certificate: X509Certificate,
  { identity, fingerprint }: PeerFacts,
  by: string,
): string {
  const pairs = [
    ['By', quoted(by)],
    ['Hash', fingerprint.replaceAll(':', '').toLowerCase()],
    ['Subject', `"${escaped(subjectOf(certificate))}"`],
    ['URI', quoted(identity)],
    ...dnsNamesOf(certificate).map((name) => ['DNS', quoted(name)]),
  ];
  return pairs.map(([key, value]) => `${key}=${value}`).join(';');
}

/** RFC 2253: the last first. Node has a line for each. */
function subjectOf({ subject }: X509Certificate): string {
  // A certificate whose names are all in its subjectAltName has none.
  if (typeof subject !== 'string') return '';
  return subject.split('\n').reverse().join(',');
}

/** `DNS:a, URI:b`. Names with odd characters come as JSON strings, in which anything may stand: then none is told. */
function dnsNamesOf({ subjectAltName = '' }: X509Certificate): readonly string[] {
  if (subjectAltName.includes('"')) return [];
  return [...subjectAltName.matchAll(/(?:^|, )DNS:([A-Za-z0-9.*_-]+)(?=,|$)/g)].map(([, name = '']) => name);
}

/** In quotes where it holds what separates elements and pairs. */
function quoted(value: string): string {
  return /[,;="\\\s]/.test(value) ? `"${escaped(value)}"` : escaped(value);
}

/** Nothing but visible ASCII and blanks gets into a field. */
function escaped(value: string): string {
  return value.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&');
}

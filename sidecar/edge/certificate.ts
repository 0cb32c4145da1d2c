// The edge certificate of this pod's service: a second one, of a CA that the world trusts, for callers from outside of the mesh.
// Judged before it is used, as the mesh's own is: both texts parse strictly, the key is its own, its chain is in order, it is in its time.
// Whether a CA that anybody trusts signed it is for those who meet it. Pure but for the parsing, which node:crypto does.
import { createHash } from 'node:crypto';
import { parseAlternativeNames } from '../../lib/pki/identity.ts';
import { judgePair } from '../../lib/runtime/credentials.ts';

/** A certificate that may be shown. */
export interface EdgeCertificate {
  /** PEM, leaf first. */
  readonly certificate: string;
  readonly key: string;
  /** Upper-case hex. */
  readonly serial: string;
  readonly notAfter: Date;
  /** DNS names, lower case; a wildcard stands for one label. */
  readonly names: readonly string[];
  /** SHA-256 over both texts: equal means that nothing changed. */
  readonly fingerprint: string;
}

/** The outcome; `detail` never holds key material. */
export type EdgeVerdict =
  | { readonly good: true; readonly edge: EdgeCertificate }
  | { readonly good: false; readonly detail: string };

/** Judges the two texts of the mounted files. */
export function judgeEdge(certificate: string, key: string, now: Date): EdgeVerdict {
  const pair = judgePair({ certificate, key });
  if (!pair.good) return pair;
  const { serialNumber: serial, validFromDate, validToDate: notAfter, subjectAltName } = pair.chain.leaf;
  if (now < validFromDate) return bad(`it is valid only from ${validFromDate.toISOString()}`);
  if (now >= notAfter) return bad(`it expired at ${notAfter.toISOString()}`);
  const names = (parseAlternativeNames(subjectAltName ?? '') ?? [])
    .filter(({ kind }) => kind === 'DNS')
    .map(({ value }) => value.toLowerCase());
  if (names.length === 0) return bad('it names no DNS name');
  const fingerprint = createHash('sha256')
    .update(`${certificate.length}\n`)
    .update(certificate)
    .update(key)
    .digest('hex');
  return { good: true, edge: { certificate, key, serial, notAfter, names, fingerprint } };
}

/** Whether a certificate is for a name (RFC 9525 section 6.3: a wildcard is a whole first label, and stands for one). */
export function isFor({ names }: Pick<EdgeCertificate, 'names'>, serverName: string): boolean {
  const rest = serverName.slice(serverName.indexOf('.') + 1);
  return names.includes(serverName) || (serverName.includes('.') && names.includes(`*.${rest}`));
}

function bad(detail: string): EdgeVerdict {
  return { good: false, detail };
}

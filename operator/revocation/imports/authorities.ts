// The CAs of an issuer whose list may be imported: those that its peers trust, those between them and its leaves as the issuer's own Secret
// or a certificate that it signed tells of them. What does not read is passed over. No I/O.
import type { X509Certificate } from 'node:crypto';
import { secretKeys, written } from '../../../lib/api/contract.ts';
import type { TLSIssuer } from '../../../lib/api/tlsissuer.ts';
import type { Secret } from '../../../lib/kube/object.ts';
import type { Store } from '../../../lib/kube/store.ts';
import { parseCertificates } from '../../../lib/pki/bundle.ts';
import type { Authorities } from '../../authority/authority.ts';
import { dataOf } from '../../certificates/secret.ts';

export interface AuthoritySources {
  /** Certificate Secrets. */
  readonly secrets: Store<Secret>;
  readonly authorities: Pick<Authorities, 'of'>;
}

/** All of them, each once. */
export function listAuthorities(
  issuer: TLSIssuer,
  { secrets, authorities }: AuthoritySources,
): readonly X509Certificate[] {
  const { name } = issuer.metadata;
  const ring = authorities.of(name).ring;
  const own = [ring?.active, ring?.next, ring?.previous].flatMap((each) => each?.path ?? []);
  const leaf = secrets.list().find(({ metadata }) => metadata.annotations?.[written.issuer] === name);
  const chain = leaf === undefined ? [] : read(dataOf(leaf, secretKeys.certificate)).slice(1);
  const all = [...read(issuer.status?.trustBundle ?? ''), ...own, ...chain];
  return [...new Map(all.map((each) => [each.fingerprint256, each])).values()];
}

function read(pem: string): readonly X509Certificate[] {
  try {
    return parseCertificates(pem);
  } catch {
    return [];
  }
}

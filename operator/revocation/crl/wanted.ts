// What of the certificates of one CA is revoked now, from the book and the Secrets. A serial of which nobody knows the CA is on the lists
// of all: with 128 random bits it means nothing on the wrong one. No I/O.
import { certificateSecretName } from '../../../lib/api/contract.ts';
import { plainSerial } from '../../../lib/api/revocations.ts';
import type { Secret } from '../../../lib/kube/object.ts';
import type { Store } from '../../../lib/kube/store.ts';
import { parseIdentity } from '../../../lib/pki/identity.ts';
import type { BookEntry } from '../book.ts';
import { certificatesIn, type KnownCertificate } from '../known.ts';
import { findSerials } from '../view.ts';
import type { ListedSerial } from './next.ts';

/** An entry with its CA's key id, upper-case hex; undefined where it is not known. */
export interface WantedEntry extends ListedSerial {
  readonly authority: string | undefined;
}

/** All entries that are to be on lists, of all CAs. */
export function wantedEntries(book: readonly BookEntry[], secrets: Store<Secret>, now: Date): readonly WantedEntry[] {
  const holding = book.filter(({ standing }) => standing === 'holds');
  const serials = new Set(holding.flatMap(({ resolution }) => resolution.serials.map(plainSerial)));
  const known = findSerials({ secrets }, serials);
  return holding.flatMap((entry) => {
    const { identity, serials: listed } = entry.resolution;
    const certificates: readonly Partial<KnownCertificate>[] =
      identity === undefined
        ? listed.map((serial) => known.get(plainSerial(serial)) ?? { serial })
        : ofIdentity(identity, secrets).filter(({ notAfter }) => notAfter > now);
    return certificates.map((certificate) => wanted(entry, certificate));
  });
}

/** Those of one CA. */
export function ofAuthority(entries: readonly WantedEntry[], keyId: string): readonly ListedSerial[] {
  return entries
    .filter(({ authority }) => authority === undefined || authority === keyId)
    .map(({ authority: _authority, ...entry }) => entry);
}

function ofIdentity(identity: string, secrets: Store<Secret>): readonly KnownCertificate[] {
  const named = parseIdentity(identity);
  const key = named === undefined ? '' : `${named.namespace}/${certificateSecretName(named.service)}`;
  const secret = secrets.get(key);
  return secret === undefined ? [] : certificatesIn(secret);
}

function wanted({ object }: BookEntry, { serial = '', notAfter, authority }: Partial<KnownCertificate>): WantedEntry {
  const { metadata, spec } = object;
  return {
    serial: plainSerial(serial),
    reason: spec.reason ?? 'unspecified',
    revokedAt: new Date(metadata.creationTimestamp),
    notAfter,
    by: metadata.name,
    authority,
  };
}

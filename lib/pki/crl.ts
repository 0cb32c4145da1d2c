// Writes certificate revocation lists (RFC 5280 section 5): version 2, one issuer, complete, with number, nextUpdate and the key id of
// the CA; entries sorted by serial, each with its reason unless that is `unspecified` (section 5.3.1 says to leave it out).
import type { KeyObject } from 'node:crypto';
import { type RevocationReason, revocationReasons } from '../api/tlsrevocation.ts';
import { extension, positive, primitive, read, sequence, Type, tagged, time } from './asn1.ts';
import { extensionIds } from './names.ts';
import { signed } from './signature.ts';

/** A certificate that is revoked. */
export interface CrlEntry {
  /** Hex. */
  readonly serial: string;
  readonly revokedAt: Date;
  readonly reason: RevocationReason;
}

/** The content of one list. Times are cut to whole seconds. */
export interface CrlRequest {
  /** DER of the CA's subject name. */
  readonly issuerName: Buffer;
  readonly authorityKeyId: Buffer;
  /** From 1, and higher with every list of the CA. */
  readonly number: number;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly entries: readonly CrlEntry[];
}

/** CRLReason codes (RFC 5280 section 5.3.1); 7 is not used, 8 is for delta lists. */
export const reasonCodes: Readonly<Record<RevocationReason, number>> = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  certificateHold: 6,
  privilegeWithdrawn: 9,
  aACompromise: 10,
};

/** The reason of a code; unspecified for one that says nothing. */
export function reasonOfCode(code: number): RevocationReason {
  return revocationReasons.find((reason) => reasonCodes[reason] === code) ?? 'unspecified';
}

/** A signed list in DER. Throws AppError `pki_invalid` when the key of `signer` is none of the supported kinds. */
export function signCrl(request: CrlRequest, signer: KeyObject): Buffer {
  const { issuerName, authorityKeyId, number, thisUpdate, nextUpdate, entries } = request;
  const sorted = [...entries].sort((a, b) => (BigInt(`0x${a.serial}`) < BigInt(`0x${b.serial}`) ? -1 : 1));
  const extensions = sequence(
    extension(extensionIds.authorityKeyId, false, sequence(tagged(0, authorityKeyId.toString('latin1')))),
    extension(extensionIds.crlNumber, false, positive(bytesOfNumber(number))),
  );
  return signed(
    (algorithm) =>
      sequence(
        primitive(Type.INTEGER, Buffer.of(1)),
        algorithm,
        read(issuerName),
        time(thisUpdate),
        time(nextUpdate),
        // An empty list must be absent (RFC 5280 section 5.1.2.6).
        ...(sorted.length === 0 ? [] : [sequence(...sorted.map(entryOf))]),
        tagged(0, [extensions]),
      ),
    signer,
  );
}

function entryOf({ serial, revokedAt, reason }: CrlEntry) {
  const bytes = Buffer.from(serial.length % 2 === 0 ? serial : `0${serial}`, 'hex');
  const code = primitive(Type.ENUMERATED, Buffer.of(reasonCodes[reason]));
  const stated = reason === 'unspecified' ? [] : [sequence(extension(extensionIds.crlReason, false, code))];
  return sequence(positive(bytes), time(revokedAt), ...stated);
}

function bytesOfNumber(number: number): Buffer {
  const hex = number.toString(16);
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
}

/** The list as PEM (RFC 7468 section 6). */
export function crlPem(bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN X509 CRL-----\n${lines.join('\n')}\n-----END X509 CRL-----\n`;
}

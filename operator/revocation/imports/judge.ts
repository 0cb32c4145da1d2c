// Whether a revocation list that somebody else signed is taken in: of the right CA, with its signature, in its time, newer than the last one
// and of a size that every sidecar can hold. What is refused leaves the last good list in force, also beyond its own end: its serials
// stay refused, and the condition says what is wrong. Pure.
import type { X509Certificate } from 'node:crypto';
import { messageOf } from '../../../lib/errors.ts';
import { crlFault, maximumCrlBytes, type ReadCrl, readCrl } from '../../../lib/pki/crlread.ts';

/** Why a list was not taken in. Closed: a reason of a condition and an audit record. */
export type ImportFault =
  | 'CrlMissing' // nothing is there, or it cannot be fetched
  | 'CrlEmpty' // it has no bytes; a list without entries is a list
  | 'CrlTooLarge'
  | 'CrlUnreadable'
  | 'CrlForeignIssuer'
  | 'CrlSignatureInvalid'
  | 'CrlNotYetValid'
  | 'CrlExpired'
  | 'CrlNumberWentBack';

/** A list that was taken in. */
export interface ImportedList {
  /** Name of the CA as node:crypto prints it. */
  readonly issuer: string;
  /** CRL number as decimal text; absent where the CA states none. */
  readonly number?: string;
  readonly thisUpdate: string;
  /** Absent where the CA states none. */
  readonly nextUpdate?: string;
  /** SHA-256 of the DER. */
  readonly fingerprint: string;
  /** Upper-case hex without leading zeros, sorted. */
  readonly serials: readonly string[];
}

/** The outcome. */
export type ImportVerdict =
  | { readonly ok: true; readonly list: ImportedList }
  | { readonly ok: false; readonly fault: ImportFault; readonly message: string };

/** What is judged. */
export interface ImportRequest {
  /** What was found; a sentence where nothing could be had. */
  readonly found: Buffer | { readonly missing: string };
  /** CAs of the issuer: the one that signs its leaves, and those above. */
  readonly authorities: readonly X509Certificate[];
  readonly last: ImportedList | undefined;
  readonly now: Date;
}

/** A list may be this much from the future: clocks differ. Milliseconds. */
const clockSlackMs = 300_000;

/** Judges a list. */
export function judgeImport({ found, authorities, last, now }: ImportRequest): ImportVerdict {
  if (!Buffer.isBuffer(found)) return refuse('CrlMissing', found.missing);
  if (found.length === 0)
    return refuse('CrlEmpty', 'the list has no bytes; a CA without revoked certificates still signs one');
  // PEM takes a third more than the DER that it holds.
  if (found.length > maximumCrlBytes * 1.5) return refuse('CrlTooLarge', `it has ${found.length} bytes; ${limit}`);
  let crl: ReadCrl;
  try {
    crl = readCrl(found);
  } catch (error) {
    const message = messageOf(error);
    return refuse(message.includes('are taken') ? 'CrlTooLarge' : 'CrlUnreadable', message);
  }
  return judgeRead(crl, { authorities, last, now });
}

const limit = 'a list of at most 1 MiB is taken, since every sidecar has to hold it; let the CA drop what has expired';

function judgeRead(crl: ReadCrl, { authorities, last, now }: Omit<ImportRequest, 'found'>): ImportVerdict {
  const faults = authorities.map((authority) => ({ authority, fault: crlFault(crl, authority) }));
  const signer = faults.find(({ fault }) => fault === undefined)?.authority;
  if (signer === undefined) {
    const isSigned = faults.some(({ fault }) => fault === 'signature');
    return isSigned
      ? refuse('CrlSignatureInvalid', 'it names a CA of this issuer, but the signature does not verify with its key')
      : refuse('CrlForeignIssuer', 'it is not of a CA of this issuer; import the list of the CA that signs its leaves');
  }
  if (crl.thisUpdate.getTime() > now.getTime() + clockSlackMs) {
    return refuse('CrlNotYetValid', `it is of ${crl.thisUpdate.toISOString()}; check the clocks`);
  }
  if (crl.nextUpdate !== undefined && now >= crl.nextUpdate) {
    return refuse(
      'CrlExpired',
      `it was to be replaced by ${crl.nextUpdate.toISOString()}; publish the CA's newest list`,
    );
  }
  const back = wentBack(crl, last, signer.subject);
  if (back !== undefined) return refuse('CrlNumberWentBack', back);
  return { ok: true, list: listOf(crl, signer.subject) };
}

/** Compared with the last list of the same CA: with the next CA numbers may begin anew. */
function wentBack(crl: ReadCrl, last: ImportedList | undefined, issuer: string): string | undefined {
  if (last === undefined || last.issuer !== issuer || last.fingerprint === crl.fingerprint) return undefined;
  if (crl.number !== undefined && last.number !== undefined && crl.number < BigInt(last.number)) {
    return `its number ${crl.number} is below ${last.number}, which was taken in before; it may be an old list played back`;
  }
  const before = new Date(last.thisUpdate);
  if (crl.thisUpdate < before)
    return `it is of ${crl.thisUpdate.toISOString()}, and one of ${last.thisUpdate} was taken in before`;
  return undefined;
}

function listOf(crl: ReadCrl, issuer: string): ImportedList {
  return {
    issuer,
    ...(crl.number === undefined ? {} : { number: String(crl.number) }),
    thisUpdate: crl.thisUpdate.toISOString(),
    ...(crl.nextUpdate === undefined ? {} : { nextUpdate: crl.nextUpdate.toISOString() }),
    fingerprint: crl.fingerprint,
    serials: [...new Set(crl.entries.map(({ serial }) => serial))].sort(),
  };
}

function refuse(fault: ImportFault, message: string): ImportVerdict {
  return { ok: false, fault, message };
}

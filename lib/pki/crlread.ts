// Reads a certificate revocation list of somebody else (RFC 5280 section 5) and checks its signature: DER or PEM in, entries out.
// Strict: only complete lists of one issuer are understood, since an entry taken for another CA's would refuse the wrong certificate.
import { createHash, verify, type X509Certificate } from 'node:crypto';
import { plainSerial } from '../api/revocations.ts';
import type { RevocationReason } from '../api/tlsrevocation.ts';
import { AppError } from '../errors.ts';
import { reasonOfCode } from './crl.ts';
import { type DerElement, derElements, derMembers, derTags } from './der.ts';
import { pathFacts } from './facts.ts';
import { labelsOf } from './pem.ts';

/** A revoked certificate as a list names it. */
export interface ReadEntry {
  /** Upper-case hex without leading zeros. */
  readonly serial: string;
  readonly revokedAt: Date;
  readonly reason: RevocationReason;
}

/** What a list says. */
export interface ReadCrl {
  /** DER of the issuer's name. */
  readonly issuerName: Buffer;
  /** Upper-case hex; undefined when not stated. */
  readonly authorityKeyId: string | undefined;
  /** Undefined when not stated, which RFC 5280 does not allow but older CAs do. */
  readonly number: bigint | undefined;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date | undefined;
  readonly entries: readonly ReadEntry[];
  /** SHA-256 of the DER, lower-case hex. */
  readonly fingerprint: string;
  /** What was signed, and how. */
  readonly proof: { readonly signed: Buffer; readonly algorithm: string; readonly signature: Buffer };
}

/** Lists above this size are not read: a sidecar would have to hold them. */
export const maximumCrlBytes = 1_048_576;

const arc = '551d';
const ids = {
  number: `${arc}14`,
  reason: `${arc}15`,
  delta: `${arc}1b`,
  issuingPoint: `${arc}1c`,
  entryIssuer: `${arc}1d`,
  authorityKeyId: `${arc}23`,
};
const tags = { utcTime: 0x17, generalizedTime: 0x18, enumerated: 0x0a, keyId: 0x80, extensions: 0xa0 } as const;

/** Digests by the content of the signature algorithm's identifier (hex). SHA-1 and older are not trusted. */
const digests: Readonly<Record<string, string | null>> = {
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
  '2a864886f70d01010b': 'sha256',
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  '2b6570': null,
};

/** Reads a list. Throws AppError `pki_invalid` that says what is wrong with it. */
export function readCrl(input: Buffer): ReadCrl {
  if (input.length > 2 * maximumCrlBytes) tooLarge(input.length);
  const bytes = derOf(input);
  if (bytes.length > maximumCrlBytes) tooLarge(bytes.length);
  const [body, algorithm, signature] = derMembers(bytes);
  const fields = [...members(body, derTags.sequence)];
  // version OPTIONAL, signature, issuer, thisUpdate, nextUpdate OPTIONAL, revokedCertificates OPTIONAL, [0] extensions OPTIONAL
  if (fields[0]?.tag === derTags.integer) fields.shift();
  const [inner, issuer, thisUpdate] = fields.splice(0, 3);
  const outerId = oidOf(members(algorithm, derTags.sequence)[0]);
  // RFC 5280 section 5.1.1.2; the outer one is not signed.
  if (inner?.whole.equals(expect(algorithm, derTags.sequence).whole) !== true)
    fail('it states two signature algorithms');
  const nextUpdate = isTime(fields[0]) ? timeOf(fields.shift()) : undefined;
  const listed = fields[0]?.tag === derTags.sequence ? derElements(fields.shift()?.content ?? Buffer.alloc(0)) : [];
  const extensions = extensionsOf(fields.find(({ tag }) => tag === tags.extensions));
  refuseOthers(extensions);
  const [keyId] = members(extensions.get(ids.authorityKeyId)?.element, derTags.sequence, true);
  const number = extensions.get(ids.number)?.element;
  return {
    issuerName: expect(issuer, derTags.sequence).whole,
    authorityKeyId: keyId?.tag === tags.keyId ? keyId.content.toString('hex').toUpperCase() : undefined,
    number: number === undefined ? undefined : numberOf(number),
    thisUpdate: timeOf(thisUpdate),
    nextUpdate,
    entries: listed.map(entryOf),
    fingerprint: createHash('sha256').update(bytes).digest('hex'),
    proof: {
      signed: expect(body, derTags.sequence).whole,
      algorithm: outerId,
      signature: bitsOf(signature),
    },
  };
}

/** Why a list is not one of this CA; undefined when it is. The CA's own time is not the question here. */
export function crlFault(crl: ReadCrl, issuer: X509Certificate): 'foreign' | 'signature' | undefined {
  const facts = pathFacts(issuer);
  if (!issuer.ca || !facts.subject.equals(crl.issuerName)) return 'foreign';
  const digest = digests[crl.proof.algorithm];
  // A CA that states key usages must have the one for lists (bit 6 of the first byte).
  if (digest === undefined || (facts.keyUsage !== undefined && (facts.keyUsage & 0x02) === 0)) return 'signature';
  try {
    return verify(digest, crl.proof.signed, issuer.publicKey, crl.proof.signature) ? undefined : 'signature';
  } catch {
    return 'signature';
  }
}

function derOf(input: Buffer): Buffer {
  if (input.length === 0) return fail('it is empty');
  if (input[0] === 0x30) return input;
  const text = input.toString('latin1');
  const found = /-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]+)-----END X509 CRL-----/.exec(text);
  if (found === null) return fail('it is neither DER nor PEM of a revocation list');
  // Who reads the first alone would let pass what the second refuses (nodejs/node#65576).
  const labels = labelsOf(text);
  if (labels.length > 1)
    return fail(`it holds ${labels.length} PEM blocks (${[...new Set(labels)].join(', ')}); leave the one list`);
  return Buffer.from(found[1] ?? '', 'base64');
}

interface Extension {
  readonly critical: boolean;
  readonly element: DerElement | undefined;
}

function extensionsOf(field: DerElement | undefined): ReadonlyMap<string, Extension> {
  if (field === undefined) return new Map();
  return new Map(derMembers(field.content).map(extensionOf));
}

function extensionOf(each: DerElement): readonly [string, Extension] {
  const [id, second, third] = members(each, derTags.sequence);
  const critical = second?.tag === derTags.boolean && second.content[0] !== 0;
  const value = expect(third ?? second, derTags.octetString).content;
  return [oidOf(id), { critical, element: derElements(value)[0] }];
}

function refuseOthers(extensions: ReadonlyMap<string, Extension>): void {
  if (extensions.has(ids.delta)) fail('it is a delta list; give the complete one');
  const point = extensions.get(ids.issuingPoint)?.element;
  for (const { tag } of members(point, derTags.sequence, true)) {
    // [0] where it is published, [1] only certificates of users. Anything else leaves part of them out, or is of several CAs.
    if (tag !== 0xa0 && tag !== 0x81) fail('it covers only some of the certificates, or those of several CAs');
  }
  for (const [id, { critical }] of extensions) {
    if (critical && id !== ids.issuingPoint && id !== ids.number && id !== ids.authorityKeyId) {
      fail(`it has a critical extension that is not understood (${id})`);
    }
  }
}

function entryOf(each: DerElement): ReadEntry {
  const [serial, revokedAt, extra] = members(each, derTags.sequence);
  const extensions = new Map(extra === undefined ? [] : members(extra, derTags.sequence).map(extensionOf));
  if (extensions.has(ids.entryIssuer)) fail('it names certificates of other CAs');
  const reason = extensions.get(ids.reason)?.element;
  const { content } = expect(serial, derTags.integer);
  if (content.length === 0 || content.length > 32) fail('a serial number has no length of one');
  return {
    serial: plainSerial(content.toString('hex')),
    revokedAt: timeOf(revokedAt),
    reason: reason?.tag === tags.enumerated ? reasonOfCode(reason.content[0] ?? 0) : 'unspecified',
  };
}

function isTime(element: DerElement | undefined): boolean {
  return element?.tag === tags.utcTime || element?.tag === tags.generalizedTime;
}

/** RFC 5280 section 5.1.2.4: whole seconds of UTC; a UTCTime's year is of 1950 to 2049. */
function timeOf(element: DerElement | undefined): Date {
  const text = element?.content.toString('latin1') ?? '';
  const form = /^(\d{2}|\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  const long = element?.tag === tags.generalizedTime;
  if (!isTime(element) || form === null || (form[1]?.length === 4) !== long) return fail('a time in it does not read');
  const [, year = '', month, day, hour, minute, second] = form;
  const full = long ? year : `${Number(year) < 50 ? '20' : '19'}${year}`;
  const at = new Date(`${full}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(at.getTime()) ? fail('a time in it does not exist') : at;
}

function numberOf(element: DerElement): bigint {
  const { content } = expect(element, derTags.integer);
  if (content.length === 0 || content.length > 21 || (content[0] ?? 0) >= 0x80) return fail('its number is none');
  return BigInt(`0x${content.toString('hex')}`);
}

function bitsOf(element: DerElement | undefined): Buffer {
  const { content } = expect(element, derTags.bitString);
  return content[0] === 0 ? content.subarray(1) : fail('its signature has no whole bytes');
}

function oidOf(element: DerElement | undefined): string {
  return expect(element, derTags.oid).content.toString('hex');
}

function members(element: DerElement | undefined, tag: number, isOptional: boolean = false): readonly DerElement[] {
  if (element === undefined && isOptional) return [];
  return derElements(expect(element, tag).content);
}

function expect(element: DerElement | undefined, tag: number): DerElement {
  return element?.tag === tag ? element : fail('it is no revocation list');
}

function tooLarge(bytes: number): never {
  throw new AppError('pki_invalid', `it has ${bytes} bytes; at most ${maximumCrlBytes} are taken`);
}

function fail(why: string): never {
  throw new AppError('pki_invalid', why);
}

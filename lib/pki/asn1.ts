// Writes and strictly reads ASN.1 in DER (X.690), as far as certificates, certificate requests and revocation lists need it.
// node-forge's asn1 does the encoding; what is written here is judged by OpenSSL before anybody trusts it. Pure.
import forge from 'node-forge';
import { AppError, messageOf } from '../errors.ts';

// The published types know only the older, boolean form of this call.
declare module 'node-forge' {
  namespace asn1 {
    function fromDer(
      bytes: string,
      options: { readonly strict: boolean; readonly parseAllBytes: boolean; readonly decodeBitStrings: boolean },
    ): Asn1;
  }
}

const { asn1 } = forge;
const { Class } = asn1;

/** Universal types by name (`Type.UTF8`, …). */
export const { Type } = asn1;

/** One element of DER, read or to be written. */
export type Node = forge.asn1.Asn1;

/** Context-specific tag numbers as forge wants them: named like the universal type of the same number. */
const contextTags = {
  0: Type.NONE,
  1: Type.BOOLEAN,
  2: Type.INTEGER,
  3: Type.BITSTRING,
  6: Type.OID,
  7: Type.ODESC,
} as const;

/** The context-specific tags that can be written. */
export type Tag = keyof typeof contextTags;

/** The bytes of an element. */
export const der = (node: Node): Buffer => Buffer.from(asn1.toDer(node).getBytes(), 'latin1');

/** A universal element that holds a value. */
export const primitive = (type: forge.asn1.Type, value: string | Buffer): Node =>
  asn1.create(Class.UNIVERSAL, type, false, typeof value === 'string' ? value : value.toString('latin1'));

/** A SEQUENCE of these members. */
export const sequence = (...members: readonly Node[]): Node =>
  asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, [...members]);

/** A SET. Members are written in the order given: with more than one the caller sorts (X.690 section 11.6). */
export const set = (...members: readonly Node[]): Node => asn1.create(Class.UNIVERSAL, Type.SET, true, [...members]);

/** A context-specific element, constructed from members or around a value. */
export const tagged = (tag: Tag, value: Node[] | string): Node =>
  asn1.create(Class.CONTEXT_SPECIFIC, contextTags[tag], Array.isArray(value), value);

/** An object identifier from its dotted form. */
export const oid = (dotted: string): Node => primitive(Type.OID, asn1.oidToDer(dotted).getBytes());

/** An OCTET STRING. */
export const octets = (content: Buffer): Node => primitive(Type.OCTETSTRING, content);

/** A BIT STRING; `unused` bits at its end do not count. */
export const bits = (content: Buffer, unused = 0): Node =>
  primitive(Type.BITSTRING, Buffer.concat([Buffer.of(unused), content]));

/** A positive INTEGER from its big-endian bytes, in the shortest form. Throws AppError `pki_invalid` for zero. */
export function positive(value: Buffer): Node {
  const start = value.findIndex((byte) => byte !== 0);
  if (start < 0) throw new AppError('pki_invalid', 'a serial number must be positive');
  const short = value.subarray(start);
  // A zero in front where the first bit would mean a minus sign.
  return primitive(Type.INTEGER, (short[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), short]) : short);
}

/**
 * UTCTime up to 2049, GeneralizedTime from then on, both in whole seconds (RFC 5280 section 4.1.2.5). Throws AppError `pki_invalid` for a year
 * that neither can state without meaning another: only a broken clock comes there.
 */
export function time(at: Date): Node {
  const year = at.getUTCFullYear();
  if (!(year >= 1950 && year <= 9999))
    throw new AppError('pki_invalid', `the year ${year} cannot stand in a certificate`);
  const digits = `${at
    .toISOString()
    .replace(/\.\d+Z$/, '')
    .replaceAll(/[-T:]/g, '')}Z`;
  return year < 2050 ? primitive(Type.UTCTIME, digits.slice(2)) : primitive(Type.GENERALIZEDTIME, digits);
}

/** One X.509 extension (RFC 5280 section 4.1). */
export function extension(id: string, critical: boolean, content: Node): Node {
  const mark = critical ? [primitive(Type.BOOLEAN, Buffer.of(0xff))] : [];
  return sequence(oid(id), ...mark, octets(der(content)));
}

/**
 * Reads DER strictly, to its last byte; bit strings stay bytes, so that what is written again is what was read.
 * Throws AppError `pki_invalid` for anything else.
 */
export function read(bytes: Buffer): Node {
  try {
    return asn1.fromDer(bytes.toString('latin1'), { strict: true, parseAllBytes: true, decodeBitStrings: false });
  } catch (cause) {
    throw new AppError('pki_invalid', `not DER: ${messageOf(cause)}`, { cause });
  }
}

/** Whether an element has this context-specific tag. */
export function isTagged(node: Node, tag: Tag): boolean {
  return node.tagClass === Class.CONTEXT_SPECIFIC && node.type === contextTags[tag];
}

/** The members of a constructed element; none for any other. */
export function children(node: Node | undefined): readonly Node[] {
  return node !== undefined && Array.isArray(node.value) ? node.value : [];
}

/** The value of a primitive element; empty for a constructed one. */
export function bytesOf(node: Node): Buffer {
  return Array.isArray(node.value) ? Buffer.alloc(0) : Buffer.from(node.value, 'latin1');
}

/** The value of one member; empty when there is no such member. */
export function childBytes(node: Node, index: number): Buffer {
  const child = children(node)[index];
  return child === undefined ? Buffer.alloc(0) : bytesOf(child);
}

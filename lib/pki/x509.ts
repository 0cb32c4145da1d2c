// Writes certificates in DER (RFC 5280) in exactly the profile of docs/certificates.md, and reads from a CA certificate what an
// issuer must copy byte for byte. node-forge's asn1 does the encoding, node:crypto the signing: forge knows no elliptic
// curves and never decides trust. What can be said in DER but not in this profile cannot be built here.
import { createHash, type KeyObject, sign } from 'node:crypto';
import forge from 'node-forge';
import { AppError } from '../errors.ts';
import { addressBytes } from './address.ts';
import { keyAlgorithmOf } from './keys.ts';

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
const { Class, Type } = asn1;
type Node = forge.asn1.Asn1;

/** Context-specific tag numbers as forge wants them: named like the universal type of the same number. */
const contextTags = { 0: Type.NONE, 2: Type.INTEGER, 3: Type.BITSTRING, 6: Type.OID, 7: Type.ODESC } as const;
type Tag = keyof typeof contextTags;

/** What a leaf may be used for (RFC 5280 section 4.2.1.12). */
export type Usage = 'serverAuth' | 'clientAuth';

/** What differs between a CA and a leaf. */
export type Role =
  | { readonly kind: 'ca' /** Host that every URI name below this CA must have. */; readonly permittedUriHost: string }
  | {
      readonly kind: 'leaf';
      readonly uris: readonly string[];
      readonly dnsNames: readonly string[];
      readonly ipAddresses: readonly string[];
      readonly usages: readonly Usage[];
    };

/** The content of one certificate. Times are cut to whole seconds; `serial` is big-endian and positive. */
export interface CertificateRequest {
  readonly serial: Buffer;
  /** DER of the issuer's subject name, copied as it is (RFC 5280 section 4.1.2.4 compares names). */
  readonly issuerName: Buffer;
  /** DER of the subject name; `emptyName` for a leaf. */
  readonly subjectName: Buffer;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly publicKey: KeyObject;
  readonly subjectKeyId: Buffer;
  readonly authorityKeyId: Buffer;
  readonly role: Role;
}

const der = (node: Node): Buffer => Buffer.from(asn1.toDer(node).getBytes(), 'latin1');
const primitive = (type: forge.asn1.Type, value: string | Buffer): Node =>
  asn1.create(Class.UNIVERSAL, type, false, typeof value === 'string' ? value : value.toString('latin1'));
const sequence = (...members: readonly Node[]): Node => asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, [...members]);
const tagged = (tag: Tag, value: Node[] | string): Node =>
  asn1.create(Class.CONTEXT_SPECIFIC, contextTags[tag], Array.isArray(value), value);
const oid = (dotted: string): Node => primitive(Type.OID, asn1.oidToDer(dotted).getBytes());
const octets = (content: Buffer): Node => primitive(Type.OCTETSTRING, content);
const bits = (content: Buffer, unused = 0): Node =>
  primitive(Type.BITSTRING, Buffer.concat([Buffer.of(unused), content]));

/** Reads DER strictly; bit strings stay bytes, so that what is written again is what was read. */
function read(bytes: Buffer): Node {
  return asn1.fromDer(bytes.toString('latin1'), { strict: true, parseAllBytes: true, decodeBitStrings: false });
}

/** The empty distinguished name of a leaf, whose names are all in its critical SAN. */
export const emptyName: Buffer = der(sequence());

/** DER of the name `O=<organization>, CN=<common name>`; each at most 64 characters (RFC 5280 appendix A.1). */
export function distinguishedName(organization: string, commonName: string): Buffer {
  const part = (type: string, value: string): Node =>
    asn1.create(Class.UNIVERSAL, Type.SET, true, [
      sequence(oid(type), primitive(Type.UTF8, Buffer.from(value, 'utf8'))),
    ]);
  return der(sequence(part('2.5.4.10', organization), part('2.5.4.3', commonName)));
}

/** Key identifier of a public key: the first 160 bits of SHA-256 of the key's bits (RFC 7093 section 2, method 1). */
export function keyIdOf(publicKey: KeyObject): Buffer {
  const info = read(publicKey.export({ type: 'spki', format: 'der' }));
  return createHash('sha256').update(childBytes(info, 1).subarray(1)).digest().subarray(0, 20);
}

/** A signed certificate in DER. Throws AppError `pki_invalid` when the key of `signer` is none of the supported kinds. */
export function signCertificate(request: CertificateRequest, signer: KeyObject): Buffer {
  const { algorithm, digest } = signatureOf(signer);
  const body = sequence(
    tagged(0, [primitive(Type.INTEGER, Buffer.of(2))]),
    primitive(Type.INTEGER, positive(request.serial)),
    algorithm,
    read(request.issuerName),
    sequence(time(request.notBefore), time(request.notAfter)),
    read(request.subjectName),
    read(request.publicKey.export({ type: 'spki', format: 'der' })),
    tagged(3, [sequence(...extensionsOf(request))]),
  );
  return der(sequence(body, algorithm, bits(sign(digest, der(body), signer))));
}

/** Signature algorithm by the signer's key: the digest follows the curve (RFC 5758 3.2, RFC 8410 section 3, RFC 4055 section 5). */
function signatureOf(signer: KeyObject): { readonly algorithm: Node; readonly digest: string | null } {
  const kind = keyAlgorithmOf(signer);
  switch (kind) {
    case 'ECDSA-P256':
      return { algorithm: sequence(oid('1.2.840.10045.4.3.2')), digest: 'sha256' };
    case 'ECDSA-P384':
      return { algorithm: sequence(oid('1.2.840.10045.4.3.3')), digest: 'sha384' };
    case 'RSA-2048':
    case 'RSA-3072':
    case 'RSA-4096':
      return { algorithm: sequence(oid('1.2.840.113549.1.1.11'), primitive(Type.NULL, '')), digest: 'sha256' };
    case 'Ed25519':
      return { algorithm: sequence(oid('1.3.101.112')), digest: null };
    case undefined:
      throw new AppError(
        'pki_invalid',
        `a CA key of type ${signer.asymmetricKeyType} cannot sign; use ECDSA, RSA or Ed25519`,
      );
  }
}

/** The bytes of a DER integer: the shortest form, with a zero in front where the first bit would mean a minus sign. */
function positive(value: Buffer): Buffer {
  const start = value.findIndex((byte) => byte !== 0);
  if (start < 0) throw new AppError('pki_invalid', 'a serial number must be positive');
  const short = value.subarray(start);
  return (short[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), short]) : short;
}

/** UTCTime up to 2049, GeneralizedTime from then on, both in whole seconds (RFC 5280 section 4.1.2.5). */
function time(at: Date): Node {
  const digits = `${at
    .toISOString()
    .replace(/\.\d+Z$/, '')
    .replaceAll(/[-T:]/g, '')}Z`;
  return at.getUTCFullYear() < 2050
    ? primitive(Type.UTCTIME, digits.slice(2))
    : primitive(Type.GENERALIZEDTIME, digits);
}

function extension(id: string, critical: boolean, content: Node): Node {
  const mark = critical ? [primitive(Type.BOOLEAN, Buffer.of(0xff))] : [];
  return sequence(oid(id), ...mark, octets(der(content)));
}

const ids = {
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  alternativeNames: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
} as const;

const usageIds: Readonly<Record<Usage, string>> = {
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
};

function extensionsOf({ role, publicKey, subjectKeyId, authorityKeyId }: CertificateRequest): readonly Node[] {
  const keyIds = [
    extension(ids.subjectKeyId, false, octets(subjectKeyId)),
    // The key id alone: an issuer and serial in here would tie leaves to one certificate of a cross-signed CA.
    extension(ids.authorityKeyId, false, sequence(tagged(0, authorityKeyId.toString('latin1')))),
  ];
  if (role.kind === 'ca') {
    const pathLength = primitive(Type.INTEGER, Buffer.of(0));
    const permitted = tagged(0, [sequence(tagged(6, role.permittedUriHost))]);
    return [
      extension(ids.basicConstraints, true, sequence(primitive(Type.BOOLEAN, Buffer.of(0xff)), pathLength)),
      extension(ids.keyUsage, true, bits(Buffer.of(0x06), 1)), // keyCertSign, cRLSign
      extension(ids.nameConstraints, true, sequence(permitted)),
      ...keyIds,
    ];
  }
  // digitalSignature; keyEncipherment on an elliptic curve key would break RFC 8813 section 3.
  const usage = publicKey.asymmetricKeyType === 'rsa' ? bits(Buffer.of(0xa0), 5) : bits(Buffer.of(0x80), 7);
  return [
    extension(ids.alternativeNames, true, sequence(...alternativeNames(role))),
    extension(ids.keyUsage, true, usage),
    extension(ids.extendedKeyUsage, false, sequence(...role.usages.map((name) => oid(usageIds[name])))),
    extension(ids.basicConstraints, true, sequence()),
    ...keyIds,
  ];
}

function alternativeNames({ uris, dnsNames, ipAddresses }: Extract<Role, { kind: 'leaf' }>): readonly Node[] {
  const names = [
    ...uris.map((uri) => tagged(6, uri)),
    ...dnsNames.map((name) => tagged(2, name)),
    ...ipAddresses.map((address) => tagged(7, addressBytes(address).toString('latin1'))),
  ];
  if (names.length === 0) throw new AppError('pki_invalid', 'a leaf certificate needs at least one name');
  return names;
}

/** What a leaf copies from its CA's certificate, and the hosts that the CA may name. */
export interface IssuerFacts {
  readonly subjectName: Buffer;
  /** Undefined when the CA carries none; then nothing may be issued from it. */
  readonly subjectKeyId: Buffer | undefined;
  /** Permitted URI hosts of the name constraints; empty when URIs are not constrained. */
  readonly permittedUriHosts: readonly string[];
}

/** Reads those facts from a certificate's DER. Throws AppError `pki_invalid` when the DER has another shape. */
export function issuerFacts(certificate: Buffer): IssuerFacts {
  // TBSCertificate: [0] version, serial, signature, issuer, validity, subject, key, [3] extensions (RFC 5280 section 4.1).
  const subject = children(children(read(certificate))[0])[5];
  if (subject === undefined) throw new AppError('pki_invalid', 'the CA certificate is not an X.509 v3 certificate');
  const keyId = extensionContent(certificate, ids.subjectKeyId);
  const constraints = extensionContent(certificate, ids.nameConstraints);
  const permitted = children(constraints).find((node) => isTagged(node, 0));
  return {
    subjectName: der(subject),
    subjectKeyId: keyId === undefined ? undefined : bytesOf(keyId),
    permittedUriHosts: children(permitted).flatMap((subtree) =>
      children(subtree)
        .filter((name) => isTagged(name, 6))
        .map((base) => bytesOf(base).toString('latin1')),
    ),
  };
}

/** The key id of the CA that signed a certificate, upper-case hex, from its AKI; undefined when it states none. */
export function authorityKeyIdOf(certificate: Buffer): string | undefined {
  const keyId = children(extensionContent(certificate, ids.authorityKeyId)).find((node) => isTagged(node, 0));
  return keyId === undefined ? undefined : bytesOf(keyId).toString('hex').toUpperCase();
}

function extensionContent(certificate: Buffer, id: string): Node | undefined {
  const fields = children(children(read(certificate))[0]);
  const extensions = children(children(fields.find((field) => isTagged(field, 3)))[0]);
  const found = extensions.find((each) => der(oid(id)).equals(der(children(each)[0] ?? sequence())));
  const value = found === undefined ? undefined : children(found).at(-1);
  return value === undefined ? undefined : read(bytesOf(value));
}

function isTagged(node: Node, tag: Tag): boolean {
  return node.tagClass === Class.CONTEXT_SPECIFIC && node.type === contextTags[tag];
}

function children(node: Node | undefined): readonly Node[] {
  return node !== undefined && Array.isArray(node.value) ? node.value : [];
}

function bytesOf(node: Node): Buffer {
  return Array.isArray(node.value) ? Buffer.alloc(0) : Buffer.from(node.value, 'latin1');
}

function childBytes(node: Node, index: number): Buffer {
  const child = children(node)[index];
  return child === undefined ? Buffer.alloc(0) : bytesOf(child);
}

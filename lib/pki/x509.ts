// Writes certificates in exactly the profile of docs/certificates.md (RFC 5280), and reads from a CA certificate what an issuer must
// copy byte for byte. What can be said in DER but not in this profile cannot be built here.
import { createHash, type KeyObject } from 'node:crypto';
import { AppError } from '../errors.ts';
import {
  bits,
  bytesOf,
  childBytes,
  children,
  der,
  extension,
  isTagged,
  type Node,
  octets,
  oid,
  positive,
  primitive,
  read,
  sequence,
  Type,
  tagged,
  time,
} from './asn1.ts';
import { publicKeyInfo } from './keys.ts';
import { type AlternativeNames, alternativeNames, extensionIds } from './names.ts';
import { signed } from './signature.ts';

/** What a leaf may be used for (RFC 5280 section 4.2.1.12). */
export type Usage = 'serverAuth' | 'clientAuth';

/** What differs between a CA and a leaf. */
export type Role =
  | { readonly kind: 'ca' /** Host that every URI name below this CA must have. */; readonly permittedUriHost: string }
  | (AlternativeNames & {
      readonly kind: 'leaf';
      readonly usages: readonly Usage[];
      /** Where the CA's revocation list is published (RFC 5280 section 4.2.1.13). */
      readonly crlUrl?: string;
    });

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
  /** Default: that of the public key. */
  readonly subjectKeyId?: Buffer;
  readonly authorityKeyId: Buffer;
  readonly role: Role;
}

/** Key identifier of a public key: the first 160 bits of SHA-256 of the key's bits (RFC 7093 section 2, method 1). */
export function keyIdOf(publicKey: KeyObject): Buffer {
  return keyIdIn(read(publicKeyInfo(publicKey)));
}

/** The same, of a SubjectPublicKeyInfo. */
function keyIdIn(info: Node): Buffer {
  return createHash('sha256').update(childBytes(info, 1).subarray(1)).digest().subarray(0, 20);
}

/** A signed certificate in DER. For `prover` and what is thrown see `signed`. */
export function signCertificate(request: CertificateRequest, signer: KeyObject, prover?: KeyObject): Buffer {
  const info = read(publicKeyInfo(request.publicKey));
  const body = (algorithm: Node): Node =>
    sequence(
      tagged(0, [primitive(Type.INTEGER, Buffer.of(2))]),
      positive(request.serial),
      algorithm,
      read(request.issuerName),
      sequence(time(request.notBefore), time(request.notAfter)),
      read(request.subjectName),
      info,
      tagged(3, [sequence(...extensionsOf(request, request.subjectKeyId ?? keyIdIn(info)))]),
    );
  return signed(body, signer, prover);
}

const usageIds: Readonly<Record<Usage, string>> = {
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
};

function extensionsOf({ role, publicKey, authorityKeyId }: CertificateRequest, subjectKeyId: Buffer): readonly Node[] {
  const keyIds = [
    extension(extensionIds.subjectKeyId, false, octets(subjectKeyId)),
    // The key id alone: an issuer and serial in here would tie leaves to one certificate of a cross-signed CA.
    extension(extensionIds.authorityKeyId, false, sequence(tagged(0, authorityKeyId.toString('latin1')))),
  ];
  if (role.kind === 'ca') {
    const pathLength = primitive(Type.INTEGER, Buffer.of(0));
    const permitted = tagged(0, [sequence(tagged(6, role.permittedUriHost))]);
    return [
      extension(extensionIds.basicConstraints, true, sequence(primitive(Type.BOOLEAN, Buffer.of(0xff)), pathLength)),
      extension(extensionIds.keyUsage, true, bits(Buffer.of(0x06), 1)), // keyCertSign, cRLSign
      extension(extensionIds.nameConstraints, true, sequence(permitted)),
      ...keyIds,
    ];
  }
  // digitalSignature; keyEncipherment on an elliptic curve key would break RFC 8813 section 3.
  const usage = publicKey.asymmetricKeyType === 'rsa' ? bits(Buffer.of(0xa0), 5) : bits(Buffer.of(0x80), 7);
  return [
    extension(extensionIds.alternativeNames, true, alternativeNames(role)),
    extension(extensionIds.keyUsage, true, usage),
    extension(extensionIds.extendedKeyUsage, false, sequence(...role.usages.map((name) => oid(usageIds[name])))),
    extension(extensionIds.basicConstraints, true, sequence()),
    ...(role.crlUrl === undefined ? [] : [distributionPoint(role.crlUrl)]),
    ...keyIds,
  ];
}

/** One point with one full name: distributionPoint [0] { fullName [0] { URI [6] } }. */
function distributionPoint(url: string): Node {
  const point = sequence(tagged(0, [tagged(0, [tagged(6, url)])]));
  return extension(extensionIds.crlDistributionPoints, false, sequence(point));
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
  const keyId = extensionContent(certificate, extensionIds.subjectKeyId);
  const constraints = extensionContent(certificate, extensionIds.nameConstraints);
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
  const keyId = children(extensionContent(certificate, extensionIds.authorityKeyId)).find((node) => isTagged(node, 0));
  return keyId === undefined ? undefined : bytesOf(keyId).toString('hex').toUpperCase();
}

function extensionContent(certificate: Buffer, id: string): Node | undefined {
  const fields = children(children(read(certificate))[0]);
  const extensions = children(children(fields.find((field) => isTagged(field, 3)))[0]);
  const found = extensions.find((each) => der(oid(id)).equals(der(children(each)[0] ?? sequence())));
  const value = found === undefined ? undefined : children(found).at(-1);
  return value === undefined ? undefined : read(bytesOf(value));
}

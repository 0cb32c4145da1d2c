// Writes PKCS#12 files (RFC 7292) for applications that read keystores: key and chain in one, trusted CAs in another. node-forge
// writes such files for RSA keys alone and in profiles that OpenSSL 3 and Java refuse, so the bags are made here, around the key's own
// PKCS#8; protection is in pbe.ts. Read by OpenSSL 3, Java 17 and .NET (docs/interop.md shows which).
import { createHash, type KeyObject, timingSafeEqual, type X509Certificate } from 'node:crypto';
import { AppError } from '../errors.ts';
import {
  bytesOf,
  children,
  der,
  type Node,
  octets,
  oid,
  primitive,
  read,
  sequence,
  set,
  Type,
  tagged,
} from './asn1.ts';
import { fingerprint } from './bundle.ts';
import { encrypt, macData, number } from './pbe.ts';

const ids = {
  data: '1.2.840.113549.1.7.1',
  encryptedData: '1.2.840.113549.1.7.6',
  shroudedKeyBag: '1.2.840.113549.1.12.10.1.2',
  certificateBag: '1.2.840.113549.1.12.10.1.3',
  x509Certificate: '1.2.840.113549.1.9.22.1',
  friendlyName: '1.2.840.113549.1.9.20',
  localKeyId: '1.2.840.113549.1.9.21',
  /** Java takes a certificate for a trusted one only with this attribute (JDK-8044445); its value says for what: everything. */
  trustedKeyUsage: '2.16.840.1.113894.746875.1.1',
  anyExtendedKeyUsage: '2.5.29.37.0',
} as const;

/** A key with its certificates. */
export interface KeyStoreContent {
  readonly privateKey: KeyObject;
  /** The leaf, then its intermediates. */
  readonly chain: readonly X509Certificate[];
  /** Name of the entry. */
  readonly alias: string;
}

/** A PKCS#12 file with one entry: a key and its chain. Rejects with AppError `pki_invalid` for a chain without a leaf. */
export async function keyStore({ privateKey, chain, alias }: KeyStoreContent, password: string): Promise<Buffer> {
  const [leaf, ...intermediates] = chain;
  if (leaf === undefined) throw new AppError('pki_invalid', 'a keystore needs a certificate');
  const id = createHash('sha1').update(leaf.raw).digest();
  const names = [attribute(ids.friendlyName, bmpString(alias)), attribute(ids.localKeyId, octets(id))];
  const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' });
  const { algorithm, encrypted } = await encrypt(pkcs8, password);
  const key = bag(ids.shroudedKeyBag, sequence(algorithm, octets(encrypted)), names);
  const bags = [certificateBag(leaf, names), ...intermediates.map((each) => certificateBag(each, []))];
  return file([plainSafe([key]), await encryptedSafe(bags, password)], password);
}

/** A PKCS#12 file of trusted CAs, each named after its fingerprint. */
export async function trustStore(authorities: readonly X509Certificate[], password: string): Promise<Buffer> {
  const bags = authorities.map((each) =>
    certificateBag(each, [
      attribute(ids.friendlyName, bmpString(`tabard-ca-${fingerprint(each).slice(0, 8)}`)),
      attribute(ids.trustedKeyUsage, oid(ids.anyExtendedKeyUsage)),
    ]),
  );
  return file([await encryptedSafe(bags, password)], password);
}

/** Whether a file is one of ours in shape and opens with this password: its MAC is right. */
export function opensWith(pkcs12: Buffer, password: string): boolean {
  try {
    const [, safe, data] = children(read(pkcs12));
    const [, wrapped] = children(safe);
    const [content] = children(wrapped);
    const [, salt, count] = children(data);
    if (content === undefined || data === undefined || salt === undefined || count === undefined) return false;
    const iterations = Number(`0x${bytesOf(count).toString('hex')}`);
    // A bound on the work that a file of somebody else could cause.
    if (!(iterations > 0 && iterations <= 100_000)) return false;
    const [expected, found] = [macData(bytesOf(content), password, { salt: bytesOf(salt), iterations }), data].map(der);
    return expected !== undefined && found?.length === expected.length && timingSafeEqual(expected, found);
  } catch {
    return false;
  }
}

/** PFX: the safes, and the MAC over them. */
function file(safes: readonly Node[], password: string): Buffer {
  const content = der(sequence(...safes));
  return der(sequence(number(3), contentInfo(ids.data, octets(content)), macData(content, password)));
}

function contentInfo(type: string, content: Node): Node {
  return sequence(oid(type), tagged(0, [content]));
}

function plainSafe(bags: readonly Node[]): Node {
  return contentInfo(ids.data, octets(der(sequence(...bags))));
}

async function encryptedSafe(bags: readonly Node[], password: string): Promise<Node> {
  const { algorithm, encrypted } = await encrypt(der(sequence(...bags)), password);
  const info = sequence(oid(ids.data), algorithm, tagged(0, encrypted.toString('latin1')));
  return contentInfo(ids.encryptedData, sequence(primitive(Type.INTEGER, Buffer.of(0)), info));
}

function certificateBag(certificate: X509Certificate, attributes: readonly Node[]): Node {
  return bag(ids.certificateBag, sequence(oid(ids.x509Certificate), tagged(0, [octets(certificate.raw)])), attributes);
}

function bag(type: string, value: Node, attributes: readonly Node[]): Node {
  const sorted = [...attributes].sort((a, b) => Buffer.compare(der(a), der(b)));
  return sequence(oid(type), tagged(0, [value]), ...(sorted.length > 0 ? [set(...sorted)] : []));
}

function attribute(type: string, value: Node): Node {
  return sequence(oid(type), set(value));
}

/** node-forge itself writes two bytes for each character of this type. */
function bmpString(text: string): Node {
  return primitive(Type.BMPSTRING, text);
}

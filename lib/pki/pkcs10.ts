// Reads a certification request (PKCS#10, RFC 2986) for a signer that takes the public key from it and nothing else: names,
// attributes and extensions are not looked at, so that no requester can put a name into a certificate.
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { AppError } from '../errors.ts';
import { type DerElement, derElements, derMembers, derTags } from './der.ts';

/** Signature algorithms (RFC 5758, RFC 4055, RFC 8410) by the hex of their OID's content; null = the algorithm hashes itself. */
const digests: Readonly<Record<string, string | null>> = {
  '2a8648ce3d040302': 'sha256', // ecdsa-with-SHA256
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
  '2a864886f70d01010b': 'sha256', // sha256WithRSAEncryption
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  '2b6570': null, // Ed25519
};

/**
 * The public key of a request, after its signature has proved that the requester holds the private one. Throws AppError
 * `pki_invalid` for anything else than a request whose signature verifies.
 */
export function keyOfRequest(der: Buffer): KeyObject {
  const [body, algorithm, signature, ...rest] = derMembers(der);
  if (body === undefined || algorithm === undefined || signature === undefined || rest.length > 0) return fail();
  if (algorithm.tag !== derTags.sequence) return fail();
  const key = publicKeyOf(body);
  const [oid] = derElements(algorithm.content);
  const digest = oid?.tag === derTags.oid ? digests[oid.content.toString('hex')] : undefined;
  if (digest === undefined)
    throw new AppError('pki_invalid', 'the request is signed with an algorithm that is not known');
  // The first byte of a bit string says how many bits of the last one are not used: none, in a signature.
  if (signature.tag !== derTags.bitString || signature.content[0] !== 0) return fail();
  if (!isProved(body.whole, signature.content.subarray(1), { key, digest })) {
    throw new AppError('pki_invalid', 'the signature of the request does not prove possession of its key');
  }
  return key;
}

function publicKeyOf(body: DerElement): KeyObject {
  const [version, subject, info] = derElements(body.content);
  if (version?.tag !== derTags.integer || subject?.tag !== derTags.sequence || info === undefined) return fail();
  try {
    return createPublicKey({ key: info.whole, format: 'der', type: 'spki' });
  } catch (cause) {
    throw new AppError('pki_invalid', 'the public key in the request does not parse', { cause });
  }
}

function isProved(
  signed: Buffer,
  signature: Buffer,
  { key, digest }: { readonly key: KeyObject; readonly digest: string | null },
): boolean {
  try {
    return verify(digest, signed, key, signature);
  } catch {
    // OpenSSL throws where the algorithm does not fit the key.
    return false;
  }
}

function fail(): never {
  throw new AppError('pki_invalid', 'it is no certification request');
}

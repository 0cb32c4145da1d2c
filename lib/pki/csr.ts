// Writes certificate requests (PKCS#10, RFC 2986) that ask for exactly what a leaf of Tabard states: no subject, one critical SAN.
// The request proves possession of the key; the key itself goes nowhere.
import { createPublicKey, type KeyObject } from 'node:crypto';
import { AppError } from '../errors.ts';
import { extension, oid, primitive, read, sequence, set, Type, tagged } from './asn1.ts';
import { type AlternativeNames, alternativeNames, emptyName, extensionIds } from './names.ts';
import { signed } from './signature.ts';

/** Attribute `extensionRequest` (RFC 2985 section 5.4.2). */
const extensionRequest = '1.2.840.113549.1.9.14';

/**
 * A request for these names in DER, signed by `key`. A CN is deliberately not asked for: it means nothing beside a SAN, and signers that
 * copy it would have to be checked for it. Throws AppError `pki_invalid` without a name or with a key of another kind than ECDSA, RSA or Ed25519.
 */
export function createRequest(names: AlternativeNames, key: KeyObject): Buffer {
  if (key.type !== 'private') throw new AppError('pki_invalid', 'a certificate request is signed by a private key');
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const wanted = extension(extensionIds.alternativeNames, true, alternativeNames(names));
  const attributes = [sequence(oid(extensionRequest), set(sequence(wanted)))];
  const version = primitive(Type.INTEGER, Buffer.of(0));
  const body = sequence(version, read(emptyName), read(publicKey), tagged(0, attributes));
  return signed(() => body, key);
}

/** PEM of a request (RFC 7468 section 7). */
export function requestPem(request: Buffer): string {
  const lines = request.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE REQUEST-----', ...lines, '-----END CERTIFICATE REQUEST-----', ''].join('\n');
}

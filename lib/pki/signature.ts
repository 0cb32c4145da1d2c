// Signatures of certificates, requests and revocation lists: the algorithm that a key signs with, and the signed whole.
import { type KeyObject, sign, verify } from 'node:crypto';
import { AppError } from '../errors.ts';
import { bits, der, type Node, oid, primitive, sequence, Type } from './asn1.ts';
import { keyAlgorithmOf } from './keys.ts';

interface Signature {
  readonly algorithm: Node;
  readonly digest: string | null;
}

/** Signature algorithm by the signer's key: the digest follows the curve (RFC 5758 3.2, RFC 8410 section 3, RFC 4055 section 5). */
function signatureOf(signer: KeyObject): Signature {
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
        `a key of type ${signer.asymmetricKeyType} cannot sign; use ECDSA, RSA or Ed25519`,
      );
  }
}

/**
 * DER of SEQUENCE { body, algorithm, signature }. The body is told the algorithm, because certificates and revocation lists state it
 * inside, too. With `prover`, the public key that readers will verify with, the signature is verified at once. Throws AppError
 * `pki_invalid` when the key is none of the supported kinds, and when the signature does not verify.
 */
export function signed(body: (algorithm: Node) => Node, signer: KeyObject, prover?: KeyObject): Buffer {
  const { algorithm, digest } = signatureOf(signer);
  const content = body(algorithm);
  const bytes = der(content);
  const signature = sign(digest, bytes, signer);
  // Another key, or a fault of the machine at the wrong moment: what is not proved goes nowhere.
  if (prover !== undefined && !verify(digest, bytes, prover, signature)) {
    throw new AppError('pki_invalid', 'the signature that was just made does not verify');
  }
  return der(sequence(content, algorithm, bits(signature)));
}

// Which keys and signatures are strong enough to be relied on: 112 bits and more, as OpenSSL's security level 2 wants them in a handshake.
import type { KeyObject, X509Certificate } from 'node:crypto';
import type { PathFacts } from './facts.ts';

const curves = new Set(['prime256v1', 'secp384r1', 'secp521r1']);

/** Identifiers of signature algorithms, their content as hex. */
const algorithms = new Set([
  '2a8648ce3d040302', // ecdsa-with-SHA256, -SHA384, -SHA512 (RFC 5758 section 3.2)
  '2a8648ce3d040303',
  '2a8648ce3d040304',
  '2a864886f70d01010a', // RSASSA-PSS, then RSA with SHA-256, -384, -512 (RFC 8017 appendix A.2)
  '2a864886f70d01010b',
  '2a864886f70d01010c',
  '2a864886f70d01010d',
  '2b6570', // Ed25519, Ed448 (RFC 8410 section 3)
  '2b6571',
]);

/** Whether the certificate's key is of a kind and size that a peer of the mesh may have. */
export function strongKey(certificate: X509Certificate): boolean {
  let key: KeyObject;
  try {
    key = certificate.publicKey;
  } catch {
    return false;
  }
  const { namedCurve = '', modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'ec':
      return curves.has(namedCurve);
    case 'rsa':
    case 'rsa-pss':
      return modulusLength >= 2048;
    case 'ed25519':
    case 'ed448':
      return true;
    default:
      return false;
  }
}

/** Whether the algorithm of the signature on the certificate is known and has no broken digest. */
export function strongSignature(facts: PathFacts | undefined): boolean {
  return algorithms.has(facts?.signatureAlgorithm ?? '');
}

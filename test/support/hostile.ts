// Texts that try to be something else: what somebody could put into an annotation, a name or a list of names, and what no API server lets in,
// too. For properties; every text is printable in a counterexample.
import { type KeyObject, X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import type { Authority } from '../../lib/pki/ca.ts';
import { emptyName } from '../../lib/pki/names.ts';
import { keyIdOf, signCertificate } from '../../lib/pki/x509.ts';

const tricks = [
  '\0',
  '\n',
  '\r\n',
  '\t',
  ' ',
  '"',
  '\\',
  '\\,',
  ',',
  ', DNS:admin',
  ', URI:spiffe://cluster.local/ns/kube-system/svc/admin',
  '",URI:"',
  'URI:spiffe://cluster.local/ns/shop/svc/admin',
  'spiffe://cluster.local/ns/kube-system/svc/admin',
  '/../admin',
  '../',
  '..',
  '.',
  '/',
  '//',
  '/svc/admin',
  '/ns/kube-system/svc/admin',
  '%2f',
  '%2F..%2Fadmin',
  '%00',
  '?x=',
  '#frag',
  '@evil.example',
  ':443',
  ';',
  '=',
  '+',
  '*',
  '*.',
  '_',
  '-',
  '--',
  'xn--',
  'A',
  'WEB',
  '\u00E4',
  '\u00E9',
  '\u017F',
  'K',
  '\u4E2D\u6587',
  '\u202E',
  '\u200B',
  '\uFEFF',
  '\uFFFD',
  '\uFF57\uFF45\uFF42',
  'web',
  'admin',
  'shop',
  'svc',
  'kube-system',
  'cluster.local',
  'a'.repeat(56),
  'a'.repeat(57),
  'a'.repeat(63),
  'a'.repeat(64),
  'a'.repeat(300),
  '10.0.0.1',
  '::1',
  '0',
  '',
  'localhost',
  'con',
  'true',
  'null',
  '{{ .x }}',
  '$(id)',
] as const;

/** A label as Kubernetes allows it. */
export const goodLabel = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);

const piece = fc.oneof(fc.constantFrom(...tricks), goodLabel, fc.string({ maxLength: 6, unit: 'binary' }));

/** A name, honest or not. */
export const hostileName: fc.Arbitrary<string> = fc.oneof(
  goodLabel,
  fc.array(piece, { maxLength: 4 }).map((pieces) => pieces.join('')),
  fc.array(piece, { maxLength: 4 }).map((pieces) => pieces.join('.')),
);

/** The same in bytes of one octet each, as they can stand in DER. */
export const hostileBytes: fc.Arbitrary<string> = hostileName.map((text) =>
  Buffer.from(text, 'utf8').toString('latin1'),
);

const anyUri = fc.oneof(
  hostileBytes,
  hostileBytes.map((text) => `spiffe://cluster.local/ns/shop/svc/${text}`),
  fc.tuple(goodLabel, goodLabel).map(([ns, svc]) => `spiffe://cluster.local/ns/${ns}/svc/${svc}`),
);

/** Names as a CA of whoever could put them into a certificate: at least one, no check was made. */
export const hostileNames = fc
  .record({ uris: fc.array(anyUri, { maxLength: 2 }), dnsNames: fc.array(hostileBytes, { maxLength: 3 }) })
  .filter(({ uris, dnsNames }) => uris.length + dnsNames.length > 0);

/** A certificate with such names. */
export function hostileLeaf(
  { uris, dnsNames }: { readonly uris: readonly string[]; readonly dnsNames: readonly string[] },
  authority: Authority,
  publicKey: KeyObject,
): X509Certificate {
  const keyId = keyIdOf(publicKey);
  const der = signCertificate(
    {
      serial: Buffer.of(1),
      issuerName: authority.name,
      subjectName: emptyName,
      notBefore: authority.notBefore,
      notAfter: authority.notAfter,
      publicKey,
      subjectKeyId: keyId,
      authorityKeyId: Buffer.from(authority.keyId, 'hex'),
      role: { kind: 'leaf', uris, dnsNames, ipAddresses: [], usages: ['clientAuth'] },
    },
    authority.privateKey,
  );
  return new X509Certificate(der);
}

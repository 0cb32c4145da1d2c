// Secrets as the operator writes them, made by its own code: the leaf, the bundle, the keystores, in the object that goes to the API server.

import type { KeyAlgorithm } from '../../../lib/api/tlspolicy.ts';
import { bundleFingerprint, parseCertificates } from '../../../lib/pki/bundle.ts';
import type { Authority } from '../../../lib/pki/ca.ts';
import { secretInput } from '../../../operator/certificates/secret.ts';
import { contentOf, keystoreParts } from '../../../operator/delivery/keystores.ts';
import { DAY_MS, testLeaf } from '../pki.ts';
import type { Files } from './projected.ts';

/** Password of all keystores. */
export const keystorePassword = 'interop';

/** A service's Secret as files, and what a test checks. */
export interface Issued {
  readonly files: Files;
  /** Upper-case hex without leading zeros, as most programs print it. */
  readonly serial: string;
  readonly certificate: string;
  readonly key: string;
}

/** A new certificate of a service of namespace `shop`, signed by one CA, beside a bundle. */
export async function issued(
  service: string,
  authority: Authority,
  bundle: readonly Authority[],
  key: KeyAlgorithm = 'ECDSA-P256',
): Promise<Issued> {
  const leaf = await testLeaf(authority, { service, key });
  return withBundle(service, leaf, bundle);
}

/** The same certificate beside another bundle. */
export async function withBundle(
  service: string,
  leaf: { readonly certificate: string; readonly key: string },
  bundle: readonly Authority[],
): Promise<Issued> {
  const [certificate] = parseCertificates(leaf.certificate);
  if (certificate === undefined) throw new TypeError('there is no certificate');
  const trustBundle = bundle.map((each) => each.certificate).join('');
  const content = contentOf(certificate.serialNumber, bundleFingerprint(parseCertificates(trustBundle)));
  const source = { service, chain: leaf.certificate, key: leaf.key, trustBundle, content };
  const ref = { name: 'keystore', key: 'password' };
  const secret = secretInput({
    namespace: 'shop',
    service,
    leaf: {
      chain: leaf.certificate,
      serial: certificate.serialNumber,
      notBefore: certificate.validFromDate,
      notAfter: certificate.validToDate,
    },
    keyPem: leaf.key,
    trustBundle,
    wanted: {
      issuer: 'cluster',
      uri: '',
      dnsNames: [],
      key: 'ECDSA-P256',
      lifetimeMs: DAY_MS,
      renewAt: 66,
      owners: [],
    },
    renewAt: certificate.validToDate,
    owners: [],
    keystores: await keystoreParts({ kind: 'wanted', ref, password: keystorePassword }, undefined, source),
  });
  const data = Object.entries(secret['data']);
  return {
    files: Object.fromEntries(data.map(([name, value]) => [name, Buffer.from(value, 'base64')])),
    serial: certificate.serialNumber.replace(/^0+/, ''),
    certificate: leaf.certificate,
    key: leaf.key,
  };
}

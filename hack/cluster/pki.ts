// The certificates of the cluster's own parts (not Tabard's): one RSA authority, a key and a certificate per part.
// Kept with the cluster's state and made again only when an address changes or the end is near.

import { generateKeyPair, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import forge from 'node-forge';

/** A certificate to make: whose it is and what it is good for. */
export interface Leaf {
  /** File name without ending, in the folder of certificates. */
  readonly file: string;
  readonly commonName: string;
  /** Kubernetes reads organizations as groups. */
  readonly organization?: string | undefined;
  /** Names and addresses of a server; a certificate without them is for clients only. */
  readonly names?: readonly string[] | undefined;
  readonly addresses?: readonly string[] | undefined;
}

const generate = promisify(generateKeyPair);
const DAY_MS = 86_400_000;
const LIFE_DAYS = 365;
const RENEW_DAYS = 30;

/** Makes `ca`, the given leaves (`FILE.crt`, `FILE.key`) and the service account key pair `sa` unless they are there. */
export async function ensurePki(folder: string, leaves: readonly Leaf[]): Promise<void> {
  const stamp = join(folder, 'made-for.json');
  const wanted = JSON.stringify(leaves);
  if (existsSync(stamp)) {
    const made = JSON.parse(readFileSync(stamp, 'utf8')) as { readonly wanted: string; readonly renewAt: number };
    if (made.wanted === wanted && made.renewAt > Date.now()) return;
  }
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const [authority, account, ...keys] = await Promise.all([newKey(), newKey(), ...leaves.map(newKey)]);
  const write = (name: string, content: string): void => writeFileSync(join(folder, name), content, { mode: 0o600 });
  const ca = certify({ file: 'ca', commonName: 'embedded-cluster-ca' }, authority, {
    key: authority.privateKey,
    isAuthority: true,
  });
  write('ca.crt', ca);
  write('ca.key', authority.privateKey);
  write('sa.key', account.privateKey);
  write('sa.pub', account.publicKey);
  for (const [index, leaf] of leaves.entries()) {
    const key = keys[index];
    if (!key) continue;
    write(`${leaf.file}.crt`, certify(leaf, key, { key: authority.privateKey, isAuthority: false }));
    write(`${leaf.file}.key`, key.privateKey);
  }
  write('made-for.json', JSON.stringify({ wanted, renewAt: Date.now() + (LIFE_DAYS - RENEW_DAYS) * DAY_MS }));
}

interface KeyPem {
  readonly publicKey: string;
  readonly privateKey: string;
}

function newKey(): Promise<KeyPem> {
  return generate('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
}

function certify(leaf: Leaf, key: KeyPem, issuer: { readonly key: string; readonly isAuthority: boolean }): string {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(key.publicKey);
  // A leading zero byte would be dropped and a leading one bit would make the number negative (RFC 5280, 4.1.2.2).
  certificate.serialNumber = `4${randomBytes(16).toString('hex').slice(1)}`;
  certificate.validity.notBefore = new Date(Date.now() - DAY_MS);
  certificate.validity.notAfter = new Date(Date.now() + LIFE_DAYS * DAY_MS);
  const organization = leaf.organization === undefined ? [] : [{ name: 'organizationName', value: leaf.organization }];
  certificate.setSubject([...organization, { name: 'commonName', value: leaf.commonName }]);
  certificate.setIssuer([{ name: 'commonName', value: 'embedded-cluster-ca' }]);
  certificate.setExtensions(issuer.isAuthority ? authorityExtensions() : leafExtensions(leaf));
  certificate.sign(forge.pki.privateKeyFromPem(issuer.key), forge.md.sha256.create());
  return forge.pki.certificateToPem(certificate);
}

function authorityExtensions(): object[] {
  return [
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, digitalSignature: true, critical: true },
    { name: 'subjectKeyIdentifier' },
  ];
}

function leafExtensions(leaf: Leaf): object[] {
  // GeneralName choices of RFC 5280, 4.2.1.6: 2 is dNSName, 7 is iPAddress.
  const altNames = [
    ...(leaf.names ?? []).map((value) => ({ type: 2, value })),
    ...(leaf.addresses ?? []).map((ip) => ({ type: 7, ip })),
  ];
  return [
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
    { name: 'extKeyUsage', clientAuth: true, serverAuth: altNames.length > 0 },
    ...(altNames.length > 0 ? [{ name: 'subjectAltName', altNames }] : []),
  ];
}

// A certificate authority held in memory: made once, read back from PEM, and signing leaves. Everything that a leaf must
// keep to (never past the CA, names inside the CA's constraints, a fresh serial) is seen to here, before signing; and no
// signature leaves that does not verify with the key of the CA's certificate.
import { type KeyObject, randomBytes, X509Certificate } from 'node:crypto';
import type { KeyAlgorithm } from '../api/tlspolicy.ts';
import { AppError } from '../errors.ts';
import { fingerprint, parseCertificates } from './bundle.ts';
import { formatIdentity, type Identity, isDnsName, isTrustDomain, parseIdentity } from './identity.ts';
import { generateKey, keyAlgorithmOf, parsePrivateKey } from './keys.ts';
import { distinguishedName, emptyName } from './names.ts';
import { certificatePem } from './pem.ts';
import { issuerFacts, keyIdOf, signCertificate, type Usage } from './x509.ts';

/** A CA with its key. `privateKey` never leaves the process but into the CA's own Secret. */
export interface Authority {
  readonly trustDomain: string;
  /** PEM of the CA certificate. */
  readonly certificate: string;
  readonly privateKey: KeyObject;
  /** Of the certificate, to prove each signature with. */
  readonly publicKey: KeyObject;
  /** Subject key identifier, upper-case hex: the AKI of every leaf that this CA signed. */
  readonly keyId: string;
  /** DER of the subject, as leaves must state their issuer. */
  readonly name: Buffer;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SHA-256 of the certificate, lower-case hex. */
  readonly fingerprint: string;
}

/** Settings of a new CA. `now` is the moment of making; `lifetimeMs` counts from it. */
export interface AuthorityRequest {
  readonly trustDomain: string;
  readonly lifetimeMs: number;
  readonly now: Date;
  /** Default ECDSA-P256: the fastest to verify, once per handshake on both sides. */
  readonly key?: KeyAlgorithm;
}

/** What a leaf states. At least an identity or a DNS name or an address; `lifetimeMs` counts from `now`. */
export interface LeafRequest {
  readonly authority: Authority;
  readonly publicKey: KeyObject;
  readonly identity: Identity;
  readonly dnsNames: readonly string[];
  readonly ipAddresses?: readonly string[];
  readonly now: Date;
  readonly lifetimeMs: number;
  /** Default both. */
  readonly usages?: readonly Usage[];
  /** Where the CA's revocation list is published; not stated otherwise. */
  readonly crlUrl?: string;
}

/** A signed leaf. `serial` is upper-case hex, as node:crypto prints it; times are what the certificate states. */
export interface IssuedLeaf {
  readonly certificate: string;
  readonly serial: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** How far notBefore lies back, so that a node with a slow clock accepts a certificate at once. */
export const BACKDATE_MS = 120_000;

const wholeSecond = (ms: number): Date => new Date(Math.floor(ms / 1_000) * 1_000);

/** 128 random bits (RFC 5280 asks for at least 64); the first byte is not zero, so its hex has one length everywhere. */
function newSerial(): Buffer {
  for (;;) {
    const serial = randomBytes(16);
    if (serial[0] !== 0) return serial;
  }
}

/**
 * A new self-signed CA with a subject of its own: two generations with equal names cannot be told apart by OpenSSL when
 * both are in a bundle. Throws AppError `input_invalid` for a trust domain that no certificate could name.
 */
export async function createAuthority(request: AuthorityRequest): Promise<Authority> {
  const { trustDomain, lifetimeMs, now, key = 'ECDSA-P256' } = request;
  if (!isTrustDomain(trustDomain)) {
    throw new AppError('input_invalid', `"${trustDomain}" is not a trust domain; use a lower-case DNS name`);
  }
  const { privateKey, publicKey } = await generateKey(key);
  const keyId = keyIdOf(publicKey);
  const name = distinguishedName('Tabard', `Tabard CA ${keyId.toString('hex').slice(0, 16)}`);
  const der = signCertificate(
    {
      serial: newSerial(),
      issuerName: name,
      subjectName: name,
      notBefore: wholeSecond(now.getTime() - BACKDATE_MS),
      notAfter: wholeSecond(now.getTime() + lifetimeMs),
      publicKey,
      subjectKeyId: keyId,
      authorityKeyId: keyId,
      role: { kind: 'ca', permittedUriHost: trustDomain },
    },
    privateKey,
    publicKey,
  );
  return authorityOf(new X509Certificate(der), privateKey, trustDomain);
}

/**
 * The CA in a certificate and key, as they lie in a Secret. Throws AppError `pki_invalid` unless it is a CA certificate,
 * the key belongs to it, leaves can refer to it, and it may sign for `trustDomain`. Its time is not checked: see `notAfter`.
 */
export function loadAuthority(certificatePem: string, keyPem: string, trustDomain: string): Authority {
  const [certificate] = parseCertificates(certificatePem);
  if (certificate === undefined) throw new AppError('pki_invalid', 'there is no CA certificate in the text');
  return authorityOf(certificate, parsePrivateKey(keyPem), trustDomain);
}

function authorityOf(certificate: X509Certificate, privateKey: KeyObject, trustDomain: string): Authority {
  if (!certificate.ca)
    throw new AppError('pki_invalid', 'the certificate is not one of a CA that may sign certificates');
  if (!certificate.checkPrivateKey(privateKey))
    throw new AppError('pki_invalid', "the CA's key is not the key of its certificate");
  if (keyAlgorithmOf(privateKey) === undefined)
    throw new AppError('pki_invalid', "the CA's key is of a kind that is not supported");
  const { subjectName, subjectKeyId, permittedUriHosts } = issuerFacts(certificate.raw);
  if (subjectKeyId === undefined) throw new AppError('pki_invalid', 'the CA certificate has no subject key identifier');
  if (permittedUriHosts.length > 0 && !permittedUriHosts.includes(trustDomain)) {
    const permitted = permittedUriHosts.join(', ');
    throw new AppError('pki_invalid', `the CA may only name identities of ${permitted}, not of ${trustDomain}`);
  }
  return {
    trustDomain,
    certificate: certificate.toString(),
    privateKey,
    publicKey: certificate.publicKey,
    keyId: subjectKeyId.toString('hex').toUpperCase(),
    name: subjectName,
    notBefore: certificate.validFromDate,
    notAfter: certificate.validToDate,
    fingerprint: fingerprint(certificate),
  };
}

/**
 * Signs a leaf; its notAfter is the CA's where the lifetime would go past it. Throws AppError `pki_invalid` when the CA is not in
 * its time, the identity is of another trust domain, or a name cannot stand in a certificate.
 */
export function issueLeaf(request: LeafRequest): IssuedLeaf {
  const { authority, publicKey, identity, dnsNames, ipAddresses = [], now } = request;
  checkNames(request);
  const notBefore = wholeSecond(Math.max(now.getTime() - BACKDATE_MS, authority.notBefore.getTime()));
  const notAfter = wholeSecond(Math.min(now.getTime() + request.lifetimeMs, authority.notAfter.getTime()));
  if (now < authority.notBefore || notAfter <= now) {
    throw new AppError(
      'pki_invalid',
      `the CA is valid from ${authority.notBefore.toISOString()} to ${authority.notAfter.toISOString()}`,
    );
  }
  const serial = newSerial();
  const der = signCertificate(
    {
      serial,
      issuerName: authority.name,
      subjectName: emptyName,
      notBefore,
      notAfter,
      publicKey,
      authorityKeyId: Buffer.from(authority.keyId, 'hex'),
      role: {
        kind: 'leaf',
        uris: [formatIdentity(identity)],
        dnsNames,
        ipAddresses,
        usages: request.usages ?? ['serverAuth', 'clientAuth'],
        ...(request.crlUrl === undefined ? {} : { crlUrl: request.crlUrl }),
      },
    },
    authority.privateKey,
    authority.publicKey,
  );
  return { certificate: certificatePem(der), serial: serial.toString('hex').toUpperCase(), notBefore, notAfter };
}

function checkNames({ authority, identity, dnsNames }: LeafRequest): void {
  const uri = formatIdentity(identity);
  if (parseIdentity(uri) === undefined) throw new AppError('pki_invalid', `"${uri}" is not an identity`);
  if (identity.trustDomain !== authority.trustDomain) {
    throw new AppError('pki_invalid', `${uri} is not in the CA's trust domain ${authority.trustDomain}`);
  }
  const bad = dnsNames.find((name) => !isDnsName(name));
  if (bad !== undefined) throw new AppError('pki_invalid', `"${bad}" is not a DNS name that a certificate can hold`);
}

// The webhook's CA and serving certificate as they lie in Secret tabard-webhook-tls, and how each step of rotation.ts changes
// them. Keys leave this process into that Secret alone.
import { X509Certificate } from 'node:crypto';
import { names } from '../lib/api/contract.ts';
import { AppError } from '../lib/errors.ts';
import { fingerprint, formatCertificates, parseCertificates } from '../lib/pki/bundle.ts';
import { type Authority, BACKDATE_MS, createAuthority, issueLeaf, loadAuthority } from '../lib/pki/ca.ts';
import { generateKey, parsePrivateKey, privateKeyPem } from '../lib/pki/keys.ts';
import { keyMismatch, parseChain } from '../lib/pki/pair.ts';
import type { CaFacts, RotationTiming, ServingFacts, ServingStep } from './rotation.ts';

/** Settings of the serving certificate. Times are milliseconds. */
export interface ServingSettings extends RotationTiming {
  /** Tabard's own namespace. */
  readonly namespace: string;
  readonly trustDomain: string;
  readonly clusterDomain: string;
  /** DNS names beside the Service's, for a webhook that is called by URL. */
  readonly extraNames: readonly string[];
  readonly caLifetimeMs: number;
  readonly certificateLifetimeMs: number;
}

/** All that the Secret holds. */
export interface ServingMaterial {
  readonly authority: Authority;
  readonly next: Authority | undefined;
  /** Every CA to trust, the signing one first. */
  readonly trusted: readonly X509Certificate[];
  /** The serving certificate and its key, PEM. */
  readonly certificate: string;
  readonly key: string;
}

/** Keys of the Secret. */
const keys = {
  trusted: 'ca.crt',
  authorityKey: 'ca.key',
  nextKey: 'next.key',
  certificate: 'tls.crt',
  key: 'tls.key',
} as const;

/** The name by which the API server calls the webhook's Service. */
export function servingName(namespace: string): string {
  return `${names.webhook}.${namespace}.svc`;
}

function servingNames({ namespace, clusterDomain, extraNames }: ServingSettings): readonly string[] {
  const name = servingName(namespace);
  return [name, `${name}.${clusterDomain}`, ...extraNames];
}

/** Reads the Secret's data (base64). Throws AppError `pki_invalid` unless everything in it is whole and fits together. */
export function readMaterial(
  data: Readonly<Record<string, string>>,
  { trustDomain }: Pick<ServingSettings, 'trustDomain'>,
): ServingMaterial {
  const text = (key: string) => Buffer.from(data[key] ?? '', 'base64').toString('utf8');
  const trusted = parseCertificates(text(keys.trusted));
  const authorityOf = (keyPem: string): Authority => {
    for (const certificate of trusted) {
      if (certificate.checkPrivateKey(parsePrivateKey(keyPem)))
        return loadAuthority(certificate.toString(), keyPem, trustDomain);
    }
    throw new AppError('pki_invalid', 'no certificate in ca.crt belongs to the CA key');
  };
  const certificate = text(keys.certificate);
  const key = text(keys.key);
  try {
    // As strictly as what a sidecar shows: a text that one reader repairs another misreads.
    const mismatch = keyMismatch(parseChain(certificate), parsePrivateKey(key));
    if (mismatch !== undefined) throw new AppError('pki_invalid', mismatch);
    const next = text(keys.nextKey) === '' ? undefined : authorityOf(text(keys.nextKey));
    return { authority: authorityOf(text(keys.authorityKey)), next, trusted, certificate, key };
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw new AppError('pki_invalid', 'a key or certificate of the webhook does not parse', { cause });
  }
}

/** The Secret's data, base64. */
export function writeMaterial({ authority, next, trusted, certificate, key }: ServingMaterial): Record<string, string> {
  const texts = {
    [keys.trusted]: formatCertificates(trusted),
    [keys.authorityKey]: privateKeyPem(authority.privateKey),
    ...(next === undefined ? {} : { [keys.nextKey]: privateKeyPem(next.privateKey) }),
    [keys.certificate]: certificate,
    [keys.key]: key,
  };
  return Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, Buffer.from(text).toString('base64')]));
}

/** The facts that rotation.ts decides on. */
export function factsOf(material: ServingMaterial, settings: ServingSettings): ServingFacts {
  const { authority, next, trusted } = material;
  const leaf = new X509Certificate(material.certificate);
  const inUse = [authority.fingerprint, next?.fingerprint];
  const isRight =
    leaf.checkIssued(new X509Certificate(authority.certificate)) &&
    servingNames(settings).every((name) => leaf.checkHost(name, { subject: 'never' }) !== undefined);
  return {
    current: caFacts(new X509Certificate(authority.certificate)),
    next: next === undefined ? undefined : caFacts(new X509Certificate(next.certificate)),
    previous: trusted.map(caFacts).filter((ca) => !inUse.includes(ca.fingerprint)),
    leaf: { madeAt: madeAt(leaf), notAfter: leaf.validToDate, isRight },
  };
}

/** The material after a step. `before` is needed by every step but `create`. */
export async function afterStep(
  step: Exclude<ServingStep, 'keep'>,
  before: ServingMaterial | undefined,
  settings: ServingSettings,
  now: Date,
): Promise<ServingMaterial> {
  if (step === 'create' || before === undefined) {
    const authority = await newAuthority(settings, now);
    return signed({ authority, next: undefined, trusted: [new X509Certificate(authority.certificate)] }, settings, now);
  }
  switch (step) {
    case 'renew':
      return signed(before, settings, now);
    case 'prepare': {
      const next = await newAuthority(settings, now);
      return { ...before, next, trusted: [...before.trusted, new X509Certificate(next.certificate)] };
    }
    case 'promote': {
      const authority = before.next ?? before.authority;
      const first = before.trusted.filter((each) => fingerprint(each) === authority.fingerprint);
      const rest = before.trusted.filter((each) => fingerprint(each) !== authority.fingerprint);
      return signed({ authority, next: undefined, trusted: [...first, ...rest] }, settings, now);
    }
    case 'drop': {
      const inUse = [before.authority.fingerprint, before.next?.fingerprint];
      return { ...before, trusted: before.trusted.filter((each) => inUse.includes(fingerprint(each))) };
    }
  }
}

async function newAuthority({ trustDomain, caLifetimeMs }: ServingSettings, now: Date): Promise<Authority> {
  return createAuthority({ trustDomain, lifetimeMs: caLifetimeMs, now });
}

async function signed(
  base: Pick<ServingMaterial, 'authority' | 'next' | 'trusted'>,
  settings: ServingSettings,
  now: Date,
): Promise<ServingMaterial> {
  const { privateKey, publicKey } = await generateKey('ECDSA-P256');
  const { namespace, trustDomain } = settings;
  const leaf = issueLeaf({
    authority: base.authority,
    publicKey,
    identity: { trustDomain, namespace, service: names.webhook },
    dnsNames: servingNames(settings),
    usages: ['serverAuth'],
    lifetimeMs: settings.certificateLifetimeMs,
    now,
  });
  const { authority, next, trusted } = base;
  return { authority, next, trusted, certificate: leaf.certificate, key: privateKeyPem(privateKey) };
}

function caFacts(certificate: X509Certificate): CaFacts {
  return { fingerprint: fingerprint(certificate), madeAt: madeAt(certificate), notAfter: certificate.validToDate };
}

/** Certificates are dated back a little when they are made (lib/pki/ca.ts). */
function madeAt(certificate: X509Certificate): Date {
  return new Date(certificate.validFromDate.getTime() + BACKDATE_MS);
}

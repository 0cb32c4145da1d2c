// The checks that a service's certificate must pass, one function each: what is wrong, or undefined. Pure.
import type { KeystoreState } from '../delivery/keystores.ts';
import type { IssuerState } from '../issuers/issuer.ts';
import { issuedAt } from './schedule.ts';
import type { CertificateFacts, CurrentSecret, Wanted } from './snapshot.ts';

/** Why a new certificate is made. */
export const issueReasons = [
  'Missing', // there is no Secret
  'Broken', // the Secret holds no certificate with its key, or one that no CA of the bundle signed
  'Revoked', // a TLSRevocation names its serial, or a pod that showed it: the service goes on with a new key
  'Expired',
  'NotYetValid', // the clock was set back by more than certificates are backdated
  'IssuerChanged', // the policy names another issuer, or the issuer signs with another CA
  'KeyAlgorithmChanged',
  'SansChanged', // Services came or went, or the policy's dnsNames changed
  'LifetimeChanged',
  'NearingExpiry',
] as const;
export type IssueReason = (typeof issueReasons)[number];

/** Why a Secret is written again around the same certificate. */
export type RewriteReason = 'OwnerChanged' | 'BundleChanged' | 'KeystoresChanged';

/** A Secret of ours with a certificate and its key. */
export type Held = Extract<CurrentSecret, { kind: 'held' }>;

/** Something that is wrong: why, and a sentence about it. */
export interface Need<Reason> {
  readonly reason: Reason;
  readonly message: string;
}

/** Certificates state whole seconds at both ends. */
const roundingMs = 2_000;

/** Why there is no certificate to begin with. */
export function absenceNeed(current: Extract<CurrentSecret, { kind: 'absent' | 'broken' }>): Need<IssueReason> {
  return current.kind === 'absent'
    ? { reason: 'Missing', message: 'there is no Secret yet' }
    : { reason: 'Broken', message: current.detail };
}

/** The first thing in which a certificate is not as wanted. */
export function changeNeed(
  current: Held,
  wanted: Wanted,
  issuer: IssuerState,
  now: Date,
): Need<IssueReason> | undefined {
  return (
    timeNeed(current.facts, now) ??
    issuerNeed(current, wanted.issuer, issuer) ??
    keyNeed(current.facts, wanted) ??
    namesNeed(current.facts, wanted) ??
    lifetimeNeed(current, wanted, issuer)
  );
}

/** Revoked. `by`: name of the TLSRevocation. */
export function revokedNeed(by: string | undefined): Need<IssueReason> | undefined {
  return by === undefined ? undefined : { reason: 'Revoked', message: `it is revoked by TLSRevocation "${by}"` };
}

/** Not in its time. */
export function timeNeed({ notBefore, notAfter }: CertificateFacts, now: Date): Need<IssueReason> | undefined {
  if (now >= notAfter) return { reason: 'Expired', message: `it expired at ${notAfter.toISOString()}` };
  if (now < notBefore) return { reason: 'NotYetValid', message: `it is valid only from ${notBefore.toISOString()}` };
  return undefined;
}

/** Not of the issuer's present CA. An issuer that cannot sign now is no reason to replace what it signed. */
export function issuerNeed(current: Held, name: string, issuer: IssuerState): Need<IssueReason> | undefined {
  if (current.issuer !== name) {
    return { reason: 'IssuerChanged', message: `it is of issuer "${current.issuer}", not of "${name}"` };
  }
  if (!issuer.ready) return undefined;
  if (issuer.keyId !== undefined && current.facts.authorityKeyId !== issuer.keyId) {
    return { reason: 'IssuerChanged', message: `issuer "${name}" signs with another CA now` };
  }
  if (current.trusted) return undefined;
  return { reason: 'Broken', message: "its signature does not verify with the CA's key" };
}

function keyNeed({ key }: CertificateFacts, wanted: Wanted): Need<IssueReason> | undefined {
  if (key === wanted.key) return undefined;
  return { reason: 'KeyAlgorithmChanged', message: `its key is ${key ?? 'of an unknown kind'}, not ${wanted.key}` };
}

function namesNeed(facts: CertificateFacts, wanted: Wanted): Need<IssueReason> | undefined {
  const [uri, ...moreUris] = facts.uris;
  if ((uri ?? '') !== wanted.uri || moreUris.length > 0 || facts.otherNames > 0) {
    return { reason: 'SansChanged', message: `it does not name exactly ${wanted.uri || 'DNS names'}` };
  }
  const missing = wanted.dnsNames.filter((name) => !facts.dnsNames.includes(name));
  const superfluous = facts.dnsNames.filter((name) => !wanted.dnsNames.includes(name));
  if (missing.length === 0 && superfluous.length === 0) return undefined;
  const changes = [...missing.map((name) => `+${name}`), ...superfluous.map((name) => `-${name}`)];
  const more = changes.length > 6 ? ` and ${changes.length - 6} more` : '';
  return { reason: 'SansChanged', message: `its DNS names change: ${changes.slice(0, 6).join(', ')}${more}` };
}

/**
 * Compares with what was asked for; a life that the CA's end cut short is no reason to ask again. While the issuer cannot sign it is not
 * known how long a life it gives.
 */
function lifetimeNeed(current: Held, wanted: Wanted, issuer: IssuerState): Need<IssueReason> | undefined {
  if (!issuer.ready) return undefined;
  if (current.lifetimeMs !== undefined) {
    if (current.lifetimeMs === wanted.lifetimeMs) return undefined;
  } else {
    const ceilingMs = issuer.notAfter.getTime() - issuedAt(current.facts).getTime();
    const expectedMs = Math.min(wanted.lifetimeMs, ceilingMs);
    if (Math.abs(lifeMs(current.facts) - expectedMs) <= roundingMs) return undefined;
  }
  return { reason: 'LifetimeChanged', message: 'the lifetime that the policy asks for changed' };
}

/** Due for renewal. */
export function dueNeed(renewAt: Date, now: Date): Need<IssueReason> | undefined {
  if (now < renewAt) return undefined;
  return { reason: 'NearingExpiry', message: `it was to be renewed at ${renewAt.toISOString()}` };
}

/** What is wrong around a certificate that is as it should be. */
export function rewriteNeed(
  current: Held,
  { owners = [] }: Wanted,
  issuer: IssuerState,
): Need<RewriteReason> | undefined {
  if (issuer.ready && current.bundleFingerprint !== issuer.bundleFingerprint) {
    return { reason: 'BundleChanged', message: 'the trust bundle changed' };
  }
  const known = new Set(current.owners.map(({ uid }) => uid));
  const missing = owners.find(({ uid }) => !known.has(uid));
  if (missing === undefined) return undefined;
  return { reason: 'OwnerChanged', message: `${missing.kind} "${missing.name}" owns it, too` };
}

/** What is wrong with the keystores beside it. Without a password nothing can be done about them. */
export function keystoreNeed(keystores: KeystoreState): Need<RewriteReason> | undefined {
  return keystores.kind === 'stale' ? { reason: 'KeystoresChanged', message: keystores.message } : undefined;
}

/** From issue to notAfter. */
export function lifeMs(facts: CertificateFacts): number {
  return facts.notAfter.getTime() - issuedAt(facts).getTime();
}

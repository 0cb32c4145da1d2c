// Does a certificate chain to a CA of the trust bundle, at this moment? RFC 5280 section 6 for what a mesh needs: signatures, time, CA bits, path
// length, name constraints, critical extensions, usages, strength. It stands beside OpenSSL's own check in a full handshake (both must
// agree), and alone where OpenSSL is not asked: on resumed sessions, and when the bundle changes under live connections.
import type { X509Certificate } from 'node:crypto';
import { messageOf } from '../errors.ts';
import { forbiddenName } from './constraints.ts';
import { type PathFacts, pathFacts } from './facts.ts';
import { strongKey, strongSignature } from './strength.ts';

/** What a leaf is shown for: a client judges a `server`, a server a `client`. */
export type Purpose = 'server' | 'client';

/**
 * What to check. `intermediates` are as the peer sent them, untrusted. Trusted are the self-signed CAs of `bundle`; other CAs in it lead on to
 * those, as OpenSSL has it in a handshake (Node cannot tell a TLS server to stop at them).
 */
export interface ChainRequest {
  readonly leaf: X509Certificate;
  readonly intermediates?: readonly X509Certificate[];
  readonly bundle: readonly X509Certificate[];
  readonly now: Date;
  /** Not stated: usages are not looked at. */
  readonly purpose?: Purpose | undefined;
}

/** The outcome. Reasons are words of the closed vocabulary (lib/api/reasons.ts). */
export type ChainVerdict =
  | { readonly ok: true /** Leaf first, the trusted CA last. */; readonly chain: readonly X509Certificate[] }
  | { readonly ok: false; readonly reason: 'expired' | 'not_yet_valid' | 'unknown_ca'; readonly detail: string };

type Refusal = Extract<ChainVerdict, { ok: false }>;

/** Longest path including leaf and trusted CA; bounds the search through what a peer may send. */
const maximumLength = 6;
/** Most untrusted certificates that are looked at. */
const maximumIntermediates = 8;
/** Most signatures that are verified for one verdict: a hostile set of equal names costs some milliseconds, not seconds. */
const maximumSignatures = 100;

/**
 * Whether `leaf` is signed by a CA of `bundle`, directly or through `intermediates`, and everything on the path is as RFC 5280 wants
 * it. Any good path is enough, so a bundle may hold old and new roots with equal names. A path that exists but is out of
 * its time says so; no path at all, or none that may be followed, is `unknown_ca`.
 */
export function chainVerdict({ leaf, intermediates = [], bundle, now, purpose }: ChainRequest): ChainVerdict {
  const roots = bundle.filter(isRoot);
  const between = bundle.filter((each) => !roots.includes(each));
  const untrusted = [...between, ...intermediates.slice(0, maximumIntermediates)];
  const search: Search = { untrusted, roots, signatures: 0 };
  let failure: Refusal | undefined;
  for (const chain of paths([leaf], search)) {
    const fault = outOfTime(chain, now) ?? outOfRule(chain, purpose);
    if (fault === undefined) return { ok: true, chain };
    failure ??= fault;
  }
  const hint = roots.length === 0 && between.length > 0 ? ': the bundle holds no root, only CAs below one' : '';
  return failure ?? refuse('unknown_ca', `no trusted CA signed ${named(leaf)}${hint}`);
}

/** Its own issuer. That it signed itself is not verified: it is trusted, or nothing in the bundle is. */
const isRoot = (certificate: X509Certificate): boolean => certificate.checkIssued(certificate);

/** The certificates that a peer sent with its own in the handshake of `leaf`, as far as they lead on from it. */
export function sentWith(leaf: X509Certificate): readonly X509Certificate[] {
  const chain: X509Certificate[] = [];
  for (let next = leaf.issuerCertificate; next !== undefined; next = next.issuerCertificate) {
    const { fingerprint256 } = next;
    if (chain.length >= maximumIntermediates || chain.some((each) => each.fingerprint256 === fingerprint256)) break;
    chain.push(next);
  }
  return chain;
}

interface Search {
  readonly untrusted: readonly X509Certificate[];
  readonly roots: readonly X509Certificate[];
  signatures: number;
}

/** Every path from the leaf to a trusted CA. A candidate that is in the path already is not followed again. */
function* paths(chain: readonly X509Certificate[], search: Search): Generator<readonly X509Certificate[]> {
  const last = chain.at(-1);
  if (last === undefined || chain.length >= maximumLength) return;
  for (const root of search.roots) if (signed(root, last, search)) yield [...chain, root];
  for (const next of search.untrusted) {
    if (!chain.includes(next) && signed(next, last, search)) yield* paths([...chain, next], search);
  }
}

/** `ca` is true only for a CA certificate that may sign certificates; checkIssued compares names, key ids and key usage. */
function signed(issuer: X509Certificate, subject: X509Certificate, search: Search): boolean {
  if (!issuer.ca || !subject.checkIssued(issuer)) return false;
  search.signatures += 1;
  if (search.signatures > maximumSignatures) return false;
  try {
    return subject.verify(issuer.publicKey);
  } catch {
    // OpenSSL cannot read the key, or the two algorithms do not go together.
    return false;
  }
}

function outOfTime(chain: readonly X509Certificate[], now: Date): Refusal | undefined {
  for (const certificate of chain) {
    if (now < certificate.validFromDate) {
      const from = certificate.validFromDate.toISOString();
      return refuse('not_yet_valid', `${named(certificate)} is valid from ${from}`);
    }
    // RFC 5280 counts the last second in, OpenSSL does not.
    if (now >= certificate.validToDate) {
      const to = certificate.validToDate.toISOString();
      return refuse('expired', `${named(certificate)} expired at ${to}`);
    }
  }
  return undefined;
}

/** The first rule of RFC 5280 section 6.1 that the path breaks, beside signatures and time. */
function outOfRule(chain: readonly X509Certificate[], purpose: Purpose | undefined): Refusal | undefined {
  const facts: PathFacts[] = [];
  for (const [depth, certificate] of chain.entries()) {
    try {
      facts.push(pathFacts(certificate));
    } catch (error) {
      return refuse('unknown_ca', `${named(certificate)}: ${messageOf(error)}`);
    }
    const fault =
      faultOf(facts, depth, purpose) ??
      (strongKey(certificate) ? undefined : 'its key is too weak or of a kind that is not known') ??
      // The trusted CA is trusted for what it is; nobody relies on the signature on it.
      (depth === chain.length - 1 || strongSignature(facts[depth]) ? undefined : 'its signature algorithm is too weak');
    if (fault !== undefined) return refuse('unknown_ca', `${named(certificate)}: ${fault}`);
  }
  return undefined;
}

const usageIds: Readonly<Record<Purpose, string>> = { server: '2b06010505070301', client: '2b06010505070302' };
const digitalSignature = 0x80;
/** keyCertSign and cRLSign. */
const signsOthers = 0x06;

/** What is wrong with the certificate at `depth`, the leaf being 0, given the facts of all below it. */
function faultOf(facts: readonly PathFacts[], depth: number, purpose: Purpose | undefined): string | undefined {
  const own = facts[depth];
  if (own === undefined || own.version !== 3) return 'it is not of version 3';
  if (own.unknownCritical.length > 0) return 'a critical extension is not known';
  const misused = purpose === undefined ? undefined : misuse(own, depth, purpose);
  if (misused !== undefined) return misused;
  if (depth > 0) return limitBroken(own, facts.slice(0, depth));
  return own.constraints === undefined || own.ca ? undefined : 'it has name constraints and is no CA';
}

function misuse(own: PathFacts, depth: number, purpose: Purpose): string | undefined {
  const { ca, extendedKeyUsage, keyUsage = digitalSignature } = own;
  if (extendedKeyUsage?.includes(usageIds[purpose]) === false) return `it may not be used by a ${purpose}`;
  if (depth > 0) return undefined;
  if ((keyUsage & digitalSignature) === 0) return 'it may not sign a handshake';
  // X509-SVID section 5.2: what signs certificates or lists is no leaf.
  return ca || (keyUsage & signsOthers) !== 0 ? 'it is a CA, not a leaf' : undefined;
}

/** Which limit a CA puts on what is below it and is not kept, the leaf of `below` being the first. */
function limitBroken({ pathLength, constraints }: PathFacts, below: readonly PathFacts[]): string | undefined {
  const counted = below.filter((each, at) => at > 0 && !selfIssued(each)).length;
  if (counted > (pathLength ?? maximumLength)) return 'the path below it is longer than it allows';
  if (constraints === undefined) return undefined;
  for (const [at, each] of below.entries()) {
    // A CA's certificate for itself (a rollover of its key) is spared, a leaf never (RFC 5280 section 6.1.4).
    const forbidden = at > 0 && selfIssued(each) ? undefined : forbiddenName(each, constraints);
    if (forbidden !== undefined) return `its name constraints are broken: ${forbidden}`;
  }
  return undefined;
}

const selfIssued = ({ issuer, subject }: PathFacts): boolean => issuer.equals(subject);

function refuse(reason: Refusal['reason'], detail: string): Refusal {
  return { ok: false, reason, detail };
}

function named(certificate: X509Certificate): string {
  return `certificate ${certificate.serialNumber}`;
}

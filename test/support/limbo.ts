// The x509-limbo cases (test/data/x509-limbo) and all of our decisions that differ from what a case expects or from OpenSSL, each with its reason. A case
// that is not named here must come out as expected, so that no difference can come in unseen.

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { plainSerial } from '../../lib/api/revocations.ts';
import { crlFault, readCrl } from '../../lib/pki/crlread.ts';
import { type ChainVerdict, chainVerdict, type Purpose } from '../../lib/pki/verify.ts';

/** One case, all certificates and keys as PEM. */
export interface LimboCase {
  readonly id: string;
  readonly expected: boolean;
  readonly purpose: Purpose;
  readonly time?: string;
  readonly trusted: readonly string[];
  readonly untrusted: readonly string[];
  readonly leaf: string;
  readonly key?: string;
  /** Revocation lists, PEM. */
  readonly crls?: readonly string[];
}

/** All cases. */
export function limboCases(): readonly LimboCase[] {
  const file = join(import.meta.dirname, '../data/x509-limbo/cases.jsonl');
  return readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/** When a case is to be judged. */
export const limboTime = ({ time }: LimboCase): Date => (time === undefined ? new Date() : new Date(time));

/** Our decision. Certificates that OpenSSL cannot parse never reach it. */
export function limboVerdict(each: LimboCase): ChainVerdict {
  const parse = (pem: string): readonly X509Certificate[] => {
    try {
      return [new X509Certificate(pem)];
    } catch {
      return [];
    }
  };
  const [leaf] = parse(each.leaf);
  if (leaf === undefined) return { ok: false, reason: 'unknown_ca', detail: 'the leaf does not parse' };
  const [intermediates, bundle] = [each.untrusted.flatMap(parse), each.trusted.flatMap(parse)];
  return chainVerdict({ leaf, intermediates, bundle, now: limboTime(each), purpose: each.purpose });
}

/**
 * Our decision where fresh revocation lists are demanded (`revocation.mode: Hard`): the path is good, there is a list of the CA that signed the leaf, and the
 * leaf is not on it. Lists that are not the CA's, or are not understood, are no lists.
 */
export function limboRevocation(each: LimboCase): boolean {
  const verdict = limboVerdict(each);
  const [leaf, issuer] = verdict.ok ? verdict.chain : [];
  if (leaf === undefined || issuer === undefined) return false;
  const lists = (each.crls ?? []).map((pem) => readCrl(Buffer.from(pem))).filter((crl) => !crlFault(crl, issuer));
  const serial = plainSerial(leaf.serialNumber);
  return lists.length > 0 && lists.every(({ entries }) => entries.every((entry) => entry.serial !== serial));
}

/** Lists that a case wants refused and that are taken: of authorities of users, who state what they state. */
export const acceptedLists: Readonly<Record<string, readonly string[]>> = {
  'a list without a number, or with a critical one, still says who is revoked': [
    'crl::crlnumber-missing',
    'crl::crlnumber-critical',
  ],
};

/** Expected good, refused by us: what is stricter about us. */
export const refused: Readonly<Record<string, readonly string[]>> = {
  'a constraint on mail names refuses every certificate that has one: a peer of a mesh has none': [
    'rfc5280::nc::nc-permits-email-exact',
    'rfc5280::nc::nc-permits-email-domain',
    'rfc5280::nc::nc-permits-email-literal-asterisk-exact-match',
    'rfc5280::nc::nc-permits-email-literal-double-asterisk',
    'rfc5280::nc::nc-permits-email-literal-mid-asterisk',
  ],
  'only a root ends a path, as with OpenSSL in a handshake of Node': [
    'cve::cve-2024-0567',
    'rfc5280::root-and-intermediate-swapped',
  ],
  'the last second of a certificate does not count, as with OpenSSL': [
    'rfc5280::validity::notafter-exact',
    'rfc5280::validity::notafter-fractional',
  ],
  'a key that may only sign certificates may not be used in a handshake, as with OpenSSL': [
    'pathlen::validation-ignores-pathlen-in-leaf',
    'rfc5280::ca-as-leaf',
  ],
};

/** Expected bad, accepted by us: what judges it instead, or why it does not matter to a mesh. OpenSSL accepts all of them in a handshake. */
export const accepted: Readonly<Record<string, readonly string[]>> = {
  'the name is wrong, not the path: peers are known by their SPIFFE URI, which must match byte for byte (identity.ts)':
    [
      'webpki::cn::ipv4-hex-mismatch',
      'webpki::cn::ipv4-leading-zeros-mismatch',
      'webpki::cn::ipv6-uppercase-mismatch',
      'webpki::cn::ipv6-uncompressed-mismatch',
      'webpki::cn::ipv6-non-rfc5952-mismatch',
      'webpki::cn::punycode-not-in-san',
      'webpki::cn::utf8-vs-punycode-mismatch',
      'webpki::cn::not-in-san',
      'webpki::cn::case-mismatch',
      'webpki::san::mismatch-domain-san',
      'webpki::san::mismatch-subdomain-san',
      'webpki::san::mismatch-subdomain-apex-san',
      'webpki::san::mismatch-apex-subdomain-san',
      'webpki::san::public-suffix-wildcard-san',
      'webpki::san::public-suffix-multi-label-wildcard-san',
      'webpki::san::public-suffix-private-namespace-wildcard-san',
      'webpki::san::wildcard-embedded-leftmost-san',
      'webpki::san::wildcard-not-in-leftmost-san',
      'webpki::san::wildcard-match-across-labels-san',
      'webpki::san::wildcard-embedded-ulabel-san',
      'webpki::san::unicode-emoji-san',
      'webpki::san::no-san',
      'webpki::san::san-wildcard-only',
      'webpki::san::san-wildcard-only-tld',
      'rfc5280::san::underscore-dns',
      'rfc5280::san::ip-in-dns',
    ],
  'revocation is not decided by the path: see the cases with lists': [
    'crl::revoked-certificate-with-crl',
    'crl::crlnumber-missing',
    'crl::crlnumber-critical',
    'crl::issuer-missing-crlsign',
  ],
  'the case sets a limit of its own to the length of the path': [
    'pathlen::max-chain-depth-0-exhausted',
    'pathlen::max-chain-depth-1-exhausted',
  ],
  'a form that whoever makes a certificate must keep, and that decides nothing: authorities of users may have it': [
    'rfc5280::aki::leaf-missing-aki',
    'rfc5280::aki::intermediate-missing-aki',
    'rfc5280::ski::root-missing-ski',
    'rfc5280::ski::intermediate-missing-ski',
    'rfc5280::serial::too-long',
    'rfc5280::serial::zero',
    'rfc5280::san::noncritical-with-empty-subject',
    'rfc5280::root-non-critical-basic-constraints',
    'rfc5280::pc::ica-noncritical-pc',
    'rfc5280::nc::permitted-dns-match-noncritical',
    'webpki::malformed-aia',
  ],
  'a leading dot in a DNS constraint means all names below, as many authorities write it': [
    'rfc5280::nc::invalid-dnsname-leading-period',
  ],
  'a rule of the public web alone': [
    'webpki::aki::root-with-aki-missing-keyidentifier',
    'webpki::eku::ee-anyeku',
    'webpki::eku::ee-critical-eku',
    'webpki::eku::ee-without-eku',
    'webpki::eku::root-has-eku',
    'webpki::san::san-critical-with-nonempty-subject',
    'webpki::forbidden-rsa-not-divisible-by-8-in-root',
    'webpki::forbidden-rsa-key-not-divisible-by-8-in-leaf',
  ],
};

/** Accepted by OpenSSL in a handshake, refused by us: what is stricter about us. */
export const stricter: Readonly<Record<string, readonly string[]>> = {
  'a constraint on mail names refuses every certificate that has one: a peer of a mesh has none': [
    ...(refused['a constraint on mail names refuses every certificate that has one: a peer of a mesh has none'] ?? []),
    'rfc5280::nc::nc-permits-invalid-email-san',
  ],
  'a wildcard is refused where one of the names that it stands for is excluded': [
    'cve::cve-2025-61727',
    'rfc5280::nc::nc-forbids-dnsname-wildcard-san',
  ],
  'a name that is no DNS name meets no DNS constraint': ['rfc5280::nc::nc-permits-invalid-dns-san'],
  'name constraints must constrain something, and stand in a CA only': [
    'webpki::nc::intermediate-permitted-excluded-subtrees-both-null',
    'webpki::nc::intermediate-permitted-excluded-subtrees-both-empty-sequences',
    'rfc5280::nc::not-allowed-in-ee-noncritical',
    'rfc5280::nc::not-allowed-in-ee-critical',
  ],
  'a leaf has no CA bit and signs no certificates (X509-SVID section 5.2)': [
    'rfc5280::leaf-ku-keycertsign',
    'webpki::ee-basicconstraints-ca',
  ],
  'a CA says so in its basic constraints, also when it stands in the bundle': [
    'rfc5280::root-missing-basic-constraints',
  ],
  'DSA and version 1 have no place in a mesh': [
    'webpki::forbidden-dsa-root',
    'webpki::forbidden-dsa-leaf',
    'webpki::v1-cert',
  ],
};

/** Accepted by us as the case expects, refused by OpenSSL. In a full handshake both must accept, so that the sidecar refuses these. */
export const otherPath: Readonly<Record<string, readonly string[]>> = {
  'OpenSSL judges the first path that it finds, we look for one that is good': [
    'rfc5280::nc::nc-forbids-alternate-chain-ica',
    'rfc5280::nc::nc-forbids-same-chain-ica',
  ],
};

/** The ids of a table. */
export const idsOf = (table: Readonly<Record<string, readonly string[]>>): ReadonlySet<string> =>
  new Set(Object.values(table).flat());

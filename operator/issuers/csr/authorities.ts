// The CAs that spec.kubernetesCSR.caBundle names. The API does not tell with which CA a signer signs, so all of them are trusted, and none is
// the one; what is asked for is only that every peer trusts them before a certificate of theirs is used. No I/O.
import type { X509Certificate } from 'node:crypto';
import { rfc3339 } from '../../../lib/api/time.ts';
import type { RotationStatus } from '../../../lib/api/tlsissuer.ts';
import { messageOf } from '../../../lib/errors.ts';
import { bundleFingerprint, fingerprint, formatCertificates, parseCertificates } from '../../../lib/pki/bundle.ts';
import { issuerFacts } from '../../../lib/pki/x509.ts';
import { IssuerError } from '../problem.ts';
import { type Followers, type NamedAuthority, type UpstreamAuthority, waitingFor } from '../staging.ts';
import type { WatchedAuthorities } from '../watchman.ts';

/** One CA of the bundle. */
type Given = UpstreamAuthority & { readonly certificate: X509Certificate };

/** The CAs of one issuer. */
export class GivenAuthorities implements WatchedAuthorities {
  readonly #issuer: string;
  readonly #all: readonly Given[];
  #trusted: readonly Given[] = [];
  #waitingFor: readonly string[] = [];

  /** `caBundle` is base64 of PEM. Throws IssuerError `AuthorityUnusable`. */
  constructor(issuer: string, caBundle: string) {
    this.#issuer = issuer;
    this.#all = membersOf(caBundle).map(givenFrom);
  }

  /** Roots that certificates may chain to now. */
  get trusted(): readonly X509Certificate[] {
    return this.#trusted.map(({ certificate }) => certificate);
  }

  get waitingFor(): readonly string[] {
    return this.#waitingFor;
  }

  get isMoving(): boolean {
    return this.#trusted.length < this.#all.length;
  }

  /** Looks who trusts what. A CA that everybody trusted once is not doubted again: who comes later is told of it as he comes. */
  advance(followers: Followers): void {
    const lagging = new Map(this.#all.map((ca) => [ca, this.#lagging(ca, followers)]));
    this.#trusted = this.#all.filter((ca) => lagging.get(ca)?.length === 0);
    this.#waitingFor = [...new Set([...lagging.values()].flat())];
  }

  #lagging(ca: Given, followers: Followers): readonly string[] {
    return this.#trusted.includes(ca) ? [] : followers.untrusting(this.#issuer, ca);
  }

  current(): { readonly keyId: undefined; readonly notAfter: Date } {
    return { keyId: undefined, notAfter: new Date(Math.max(...this.#all.map(({ notAfter }) => notAfter.getTime()))) };
  }

  bundle() {
    const members = this.#all.map(({ certificate }) => certificate);
    return { members, trustBundle: formatCertificates(members), bundleFingerprint: bundleFingerprint(members) };
  }

  authorities(): readonly NamedAuthority[] {
    return this.#all.map((ca) => ({
      keyId: ca.keyId,
      fingerprint: ca.fingerprint,
      notAfter: rfc3339(ca.notAfter),
      role: this.#trusted.includes(ca) ? 'Active' : 'Next',
    }));
  }

  rotation(): RotationStatus {
    if (!this.isMoving) return { phase: 'Idle' };
    const message = 'certificates of a CA of caBundle are used once every peer trusts it';
    return { phase: 'Prepared', message, ...waitingFor(this.#waitingFor) };
  }
}

function membersOf(caBundle: string): readonly X509Certificate[] {
  try {
    return parseCertificates(Buffer.from(caBundle, 'base64').toString('utf8'));
  } catch (cause) {
    throw new IssuerError('AuthorityUnusable', `caBundle is not usable: ${messageOf(cause)}`, { cause });
  }
}

function givenFrom(certificate: X509Certificate): Given {
  if (!certificate.ca) {
    throw new IssuerError(
      'AuthorityUnusable',
      `caBundle holds ${certificate.serialNumber}, which is no CA certificate`,
    );
  }
  const print = fingerprint(certificate);
  return {
    id: undefined,
    keyId: issuerFacts(certificate.raw).subjectKeyId?.toString('hex').toUpperCase() ?? '',
    fingerprint: print,
    notBefore: certificate.validFromDate,
    notAfter: certificate.validToDate,
    path: [],
    anchors: [{ certificate, fingerprint: print }],
    certificate,
  };
}

// The CAs of a signer outside of this process, whose keys we do not have: it changes them when it likes. A CA that is new is announced
// in the trust bundle first and used once every peer trusts it; one that was used stays in the bundle until nobody shows a certificate
// of it any more. How far that is lies in TLSIssuer.status, so that another replica goes on from there. No I/O.
import type { X509Certificate } from 'node:crypto';
import { rfc3339 } from '../../lib/api/time.ts';
import type { RotationStatus, TLSIssuerStatus } from '../../lib/api/tlsissuer.ts';
import { bundleFingerprint, fingerprint, formatCertificates, parseCertificates } from '../../lib/pki/bundle.ts';
import { issuerFacts } from '../../lib/pki/x509.ts';
import { IssuerError } from './problem.ts';
import type { WatchedAuthorities } from './watchman.ts';

/** A CA of a signer elsewhere. */
export interface UpstreamAuthority {
  /** The signer's own name for it, where it has one. */
  readonly id: string | undefined;
  /** Subject key id, upper-case hex. */
  readonly keyId: string;
  /** SHA-256, lower-case hex. */
  readonly fingerprint: string;
  readonly notBefore: Date;
  /** Of the first certificate on its path to end. */
  readonly notAfter: Date;
  /** The CA and those above it, without the root. */
  readonly path: readonly X509Certificate[];
  /** The roots by which its leaves are trusted: one, unless status is all that is known. */
  readonly anchors: readonly Anchor[];
}

/** A root and its SHA-256. */
export interface Anchor {
  readonly certificate: X509Certificate;
  readonly fingerprint: string;
}

/** What peers are known to do. */
export interface Followers {
  /** Who does not trust the roots of a CA yet, as `namespace/pod: why`. */
  untrusting(issuer: string, ca: UpstreamAuthority): readonly string[];
  /** Who of this issuer's still shows a certificate of another CA than this, as `namespace/name: why`. */
  unmoved(issuer: string, ca: UpstreamAuthority): readonly string[];
  /** Who still trusts one of these roots (SHA-256), which have left the bundle. */
  trusting(issuer: string, roots: readonly string[]): readonly string[];
}

/** One CA as TLSIssuer.status names it. */
export type NamedAuthority = NonNullable<TLSIssuerStatus['authorities']>[number];

/** The CA that a chain (the signing CA first) begins with. Throws IssuerError `AuthorityUnusable`. */
export function authorityOf(chain: readonly X509Certificate[], id?: string): UpstreamAuthority {
  const path: X509Certificate[] = [];
  let [next] = chain;
  while (next !== undefined) {
    const last: X509Certificate = next;
    if (!last.ca) throw unusable(`certificate ${last.serialNumber} is not one of a CA`);
    path.push(last);
    const isNew = (each: X509Certificate): boolean => !path.some((known) => known.raw.equals(each.raw));
    next = chain.find((each) => isNew(each) && last.checkIssued(each) && last.verify(each.publicKey));
  }
  const [own] = path;
  const anchor = path.at(-1);
  if (own === undefined || anchor === undefined) throw unusable('there is no CA certificate');
  const { subjectKeyId } = issuerFacts(own.raw);
  if (subjectKeyId === undefined) throw unusable('the CA certificate has no subject key identifier');
  return {
    id,
    keyId: subjectKeyId.toString('hex').toUpperCase(),
    fingerprint: fingerprint(own),
    notBefore: own.validFromDate,
    notAfter: new Date(Math.min(...path.map(({ validToDate }) => validToDate.getTime()))),
    path: path.slice(0, -1),
    anchors: [anchorOf(anchor)],
  };
}

function anchorOf(certificate: X509Certificate): Anchor {
  return { certificate, fingerprint: fingerprint(certificate) };
}

function unusable(why: string): IssuerError {
  return new IssuerError('AuthorityUnusable', why);
}

/** Most peers that are named in status. */
const mostNamed = 20;

/** What persons ask for. */
export interface AdvanceOptions {
  /** spec.rotation.paused. */
  readonly paused?: boolean;
  /** SHA-256 of a CA that is not to be trusted, lower-case hex. */
  readonly distrusted?: string;
}

/** Who is waited for, as status names it. */
export function waitingFor(names: readonly string[]): Pick<RotationStatus, 'waitingFor' | 'waitingCount'> {
  return names.length === 0 ? {} : { waitingFor: names.slice(0, mostNamed), waitingCount: names.length };
}

/** The CAs of one issuer and the order in which they come and go. */
export class Staging implements WatchedAuthorities {
  readonly #issuer: string;
  #active: UpstreamAuthority | undefined;
  #next: UpstreamAuthority | undefined;
  #previous: readonly UpstreamAuthority[] = [];
  /** Roots that have left the bundle in good order: sidecars are told, so that they let connections end in their own time. */
  #retired: readonly NamedAuthority[] = [];
  #waitingFor: readonly string[] = [];

  /** `status` is what was known before, by this replica or another. */
  constructor(issuer: string, status: TLSIssuerStatus | undefined) {
    this.#issuer = issuer;
    const trusted = trustedBefore(status);
    const known = (status?.authorities ?? []).map((each) => ({ role: each.role, ca: remembered(each, trusted) }));
    this.#active = known.find(({ role }) => role === 'Active')?.ca;
    this.#next = known.find(({ role }) => role === 'Next')?.ca;
    const isGone = status?.rotation?.phase === 'Retiring';
    this.#previous = isGone ? [] : known.filter(({ role }) => role === 'Retiring').map(({ ca }) => ca);
    this.#retired = isGone ? (status?.authorities ?? []).filter(({ role }) => role === 'Retiring') : [];
  }

  /** The CA whose leaves are used; undefined until every peer trusts the first one. */
  get active(): UpstreamAuthority | undefined {
    return this.#active;
  }

  /** The CA that is announced. */
  get next(): UpstreamAuthority | undefined {
    return this.#next;
  }

  /** Who holds the next step up. */
  get waitingFor(): readonly string[] {
    return this.#waitingFor;
  }

  /** The CA of leaves that are signed now, or soon. */
  current(): UpstreamAuthority | undefined {
    return this.#active ?? this.#next;
  }

  /** Whether a step is still to be taken. */
  get isMoving(): boolean {
    return this.#next !== undefined || this.#previous.length > 0 || this.#retired.length > 0;
  }

  /** Takes the CA with which the signer signs now. */
  offer(ca: UpstreamAuthority): void {
    if (ca.fingerprint === this.#active?.fingerprint) {
      // Now with its chain, which status does not hold; and a successor that was taken back is announced no longer.
      this.#active = ca;
      this.#next = undefined;
    } else this.#next = ca;
  }

  /**
   * Takes the steps that are due. Never while one peer would refuse what is to be used, but for a CA that a person distrusts (its
   * SHA-256): that waits for nobody and ends no pause.
   */
  advance(now: Date, followers: Followers, { paused = false, distrusted = '' }: AdvanceOptions = {}): void {
    this.#waitingFor = [];
    if (distrusted !== '') this.#distrust(distrusted);
    if (paused) return;
    if (this.#next !== undefined) this.#activate(this.#next, now, followers);
    if (this.#previous.length > 0 && this.#active !== undefined) this.#retire(this.#active, now, followers);
    if (this.#retired.length > 0) this.#finish(now, followers);
  }

  #distrust(bad: string): void {
    const isBad = (ca: UpstreamAuthority | undefined): boolean => ca?.fingerprint === bad;
    this.#previous = this.#previous.filter((each) => !isBad(each));
    this.#retired = this.#retired.filter((each) => each.fingerprint !== bad);
    if (isBad(this.#next)) this.#next = undefined;
    if (!isBad(this.#active)) return;
    // Who can sign in its place does so at once; until the signer has another CA nothing is signed, and nobody is trusted by it.
    this.#active = this.#next;
    this.#next = undefined;
  }

  #activate(next: UpstreamAuthority, now: Date, followers: Followers): void {
    const active = this.#active;
    // With an expired CA there is nobody left whom waiting could help.
    const late = active !== undefined && now >= active.notAfter;
    const waiting = late ? [] : followers.untrusting(this.#issuer, next);
    this.#wait(waiting);
    if (waiting.length > 0) return;
    const kept = this.#previous.filter((each) => each.fingerprint !== next.fingerprint);
    this.#previous = active === undefined ? kept : [...kept, active];
    this.#active = next;
    this.#next = undefined;
  }

  #retire(active: UpstreamAuthority, now: Date, followers: Followers): void {
    const waiting = followers.unmoved(this.#issuer, active);
    const leaving = waiting.length === 0 ? this.#previous : this.#previous.filter((each) => now >= each.notAfter);
    this.#previous = this.#previous.filter((each) => !leaving.includes(each));
    if (this.#previous.length > 0) this.#wait(waiting);
    const needed = new Set(this.bundle().members.map(fingerprint));
    const gone = leaving.flatMap(({ anchors, keyId, notAfter }) =>
      anchors.map((each) => ({
        keyId,
        fingerprint: each.fingerprint,
        notAfter: rfc3339(notAfter),
        role: 'Retiring' as const,
      })),
    );
    this.#retired = [...this.#retired, ...gone].filter((each) => !needed.has(each.fingerprint));
  }

  #finish(now: Date, followers: Followers): void {
    const late = this.#retired.every(({ notAfter }) => now >= new Date(notAfter));
    const roots = this.#retired.map((each) => each.fingerprint);
    const waiting = late ? [] : followers.trusting(this.#issuer, roots);
    if (waiting.length === 0) this.#retired = [];
    else this.#wait(waiting);
  }

  /** The first step that cannot be taken names whom it waits for. */
  #wait(names: readonly string[]): void {
    if (this.#waitingFor.length === 0) this.#waitingFor = names;
  }

  /** Every CA that peers must trust now. */
  bundle(): {
    readonly trustBundle: string;
    readonly bundleFingerprint: string;
    readonly members: readonly X509Certificate[];
  } {
    const all = this.#all().flatMap(({ ca }) => ca.anchors);
    const members = [...new Map(all.map((each) => [each.fingerprint, each.certificate])).values()];
    return { members, trustBundle: formatCertificates(members), bundleFingerprint: bundleFingerprint(members) };
  }

  /** For TLSIssuer.status. */
  authorities(): readonly NamedAuthority[] {
    const known = this.#all().map(({ role, ca: { keyId, fingerprint: print, notAfter } }) => ({
      keyId,
      fingerprint: print,
      notAfter: rfc3339(notAfter),
      role,
    }));
    return [...known, ...this.#retired];
  }

  /** For TLSIssuer.status. */
  rotation(): RotationStatus {
    const waiting = waitingFor(this.#waitingFor);
    if (this.#retired.length > 0) {
      return { phase: 'Retiring', message: 'the CA before has left the bundle', ...waiting };
    }
    if (this.#next !== undefined) {
      const message = `the signer has another CA, ${this.#next.fingerprint.slice(0, 16)}; its certificates are used once every peer trusts it`;
      return { phase: 'Prepared', reason: 'the signer changed its CA', message, ...waiting };
    }
    if (this.#previous.length === 0) return { phase: 'Idle' };
    return { phase: 'Active', message: 'the CA before is trusted until nobody uses a certificate of it', ...waiting };
  }

  #all(): readonly { readonly role: NamedAuthority['role']; readonly ca: UpstreamAuthority }[] {
    return [
      ...(this.#active === undefined ? [] : [{ role: 'Active', ca: this.#active } as const]),
      ...(this.#next === undefined ? [] : [{ role: 'Next', ca: this.#next } as const]),
      ...this.#previous.map((ca) => ({ role: 'Retiring', ca }) as const),
    ];
  }
}

function trustedBefore(status: TLSIssuerStatus | undefined): readonly X509Certificate[] {
  const text = status?.trustBundle ?? '';
  try {
    return text === '' ? [] : parseCertificates(text);
  } catch {
    // Garbled by hand: what the signer says now replaces it.
    return [];
  }
}

/**
 * A CA of which status alone is known. Which root is whose is not written there, so that each counts as needing all of them; that keeps
 * roots too long rather than too short.
 */
function remembered(named: NamedAuthority, trusted: readonly X509Certificate[]): UpstreamAuthority {
  const { keyId, fingerprint: print, notAfter } = named;
  return {
    id: undefined,
    keyId,
    fingerprint: print,
    notBefore: new Date(0),
    notAfter: new Date(notAfter),
    path: [],
    anchors: trusted.map(anchorOf),
  };
}

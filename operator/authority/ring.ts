// The CAs of one issuer as they lie in one Secret, so that every step of a rotation is one atomic write: who signs, who will sign,
// who signed before, and everybody who must be trusted now. Reading, judging and writing of that Secret. Pure.
//
//   tls.crt, tls.key            the CA that signs, and those above it
//   ca.crt                      every CA that must be trusted now
//   next.crt, next.key          while Prepared
//   previous.crt, previous.key  while Active
//   annotation tabard.dev/rotation: how the rotation stands, JSON
import type { X509Certificate } from 'node:crypto';
import { API_VERSION, labels, MANAGED_BY, names, secretKeys } from '../../lib/api/contract.ts';
import type { RotationPhase, TLSIssuer } from '../../lib/api/tlsissuer.ts';
import { AppError } from '../../lib/errors.ts';
import type { KubeInput, Secret } from '../../lib/kube/object.ts';
import { fingerprint, formatCertificates, parseCertificates } from '../../lib/pki/bundle.ts';
import { type Authority, BACKDATE_MS, loadAuthority } from '../../lib/pki/ca.ts';
import { privateKeyPem } from '../../lib/pki/keys.ts';
import { type Notes, notesAnnotation, readNotes, writeNotes } from './notes.ts';
import type { CaFacts, RingFacts } from './rotationview.ts';

/** One CA of an issuer. */
export interface Generation {
  readonly authority: Authority;
  /** The CA's own certificate, then those above it as far as they are not roots. */
  readonly path: readonly X509Certificate[];
  /** The roots by which its leaves are trusted; its own certificate when it is one. */
  readonly anchors: readonly X509Certificate[];
}

/** All CAs of an issuer and how their rotation stands. */
export interface Ring {
  readonly active: Generation;
  readonly next: Generation | undefined;
  readonly previous: Generation | undefined;
  /** Everything in ca.crt: roots of the three, and what persons added. */
  readonly trusted: readonly X509Certificate[];
  readonly notes: Notes;
}

/** Keys of the Secret beside those of every certificate Secret. */
export const ringKeys = {
  nextCertificate: 'next.crt',
  nextKey: 'next.key',
  previousCertificate: 'previous.crt',
  previousKey: 'previous.key',
} as const;

/** Longest path from a CA to its root that is looked for: sidecars verify no more than two CAs between leaf and root. */
const longestPath = 2;

/** Name of the Secret with the CAs of an issuer, in Tabard's own namespace. */
export function ringSecretName(issuer: string): string {
  return issuer === names.defaultIssuer ? names.caSecret : `${names.caSecret}-${issuer}`;
}

/** The issuer whose CAs lie in a Secret of this name; undefined when it is no such name. */
export function issuerOfSecret(name: string): string | undefined {
  if (name === names.caSecret) return names.defaultIssuer;
  return name.startsWith(`${names.caSecret}-`) ? name.slice(names.caSecret.length + 1) : undefined;
}

/** What lies in the Secret. Throws AppError `pki_invalid` when any of it is unusable. */
export function readRing(secret: Secret, trustDomain: string): Ring {
  const text = (key: string): string | undefined => {
    const value = secret.data?.[key];
    return value === undefined ? undefined : Buffer.from(value, 'base64').toString('utf8');
  };
  const bundle = text(secretKeys.trustBundle);
  const listed = bundle === undefined ? [] : parseCertificates(bundle);
  const read = (certificate: string | undefined, key: string | undefined): Generation | undefined =>
    certificate === undefined ? undefined : generationFrom({ certificate, key: key ?? '', roots: listed, trustDomain });
  const active = read(text(secretKeys.certificate), text(secretKeys.key));
  if (active === undefined) throw new AppError('pki_invalid', `the Secret has no ${secretKeys.certificate}`);
  const next = read(text(ringKeys.nextCertificate), text(ringKeys.nextKey));
  const previous = read(text(ringKeys.previousCertificate), text(ringKeys.previousKey));
  const notes = readNotes(secret.metadata.annotations?.[notesAnnotation], phaseOf(next, previous));
  const roots = [active, next, previous].flatMap((each) => each?.anchors ?? []);
  return { active, next, previous, trusted: union(roots, listed), notes };
}

/** Where the notes are lost, what keys there are tells how far it came. */
function phaseOf(next: Generation | undefined, previous: Generation | undefined): RotationPhase {
  if (next !== undefined) return 'Prepared';
  return previous === undefined ? 'Idle' : 'Active';
}

/** A CA in PEM. `roots` is where the way up may end. */
export interface GenerationTexts {
  /** Its own certificate first, then those above it. */
  readonly certificate: string;
  readonly key: string;
  readonly roots: readonly X509Certificate[];
  readonly trustDomain: string;
}

/** Reads a CA. Throws AppError `pki_invalid` when it cannot sign, or when no way leads from it to a root. */
export function generationFrom({ certificate, key, roots, trustDomain }: GenerationTexts): Generation {
  const [own, ...above] = parseCertificates(certificate);
  if (own === undefined) throw new AppError('pki_invalid', 'there is no PEM certificate in the text');
  const authority = loadAuthority(own.toString(), key, trustDomain);
  if (isSignedBy(own, own)) return { authority, path: [own], anchors: [own] };
  const found = wayUp([own], above, roots);
  if (found === undefined) {
    throw new AppError(
      'pki_invalid',
      'the CA is not self-signed and no way leads from it to a root; put its root into ca.crt and what is between into tls.crt',
    );
  }
  return { authority, ...found };
}

/** A CA that was just made, self-signed. */
export function madeGeneration(authority: Authority): Generation {
  const path = parseCertificates(authority.certificate);
  return { authority, path, anchors: path };
}

function wayUp(
  path: readonly X509Certificate[],
  above: readonly X509Certificate[],
  roots: readonly X509Certificate[],
): Pick<Generation, 'path' | 'anchors'> | undefined {
  const last = path.at(-1);
  if (last === undefined) return undefined;
  const own = fingerprint(last);
  const root = roots.find((each) => fingerprint(each) !== own && isSignedBy(last, each));
  if (root !== undefined) return { path, anchors: [root] };
  if (path.length >= longestPath) return undefined;
  for (const each of above) {
    const isNew = path.every((known) => fingerprint(known) !== fingerprint(each));
    const found = isNew && isSignedBy(last, each) ? wayUp([...path, each], above, roots) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

function isSignedBy(subject: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && subject.checkIssued(issuer) && subject.verify(issuer.publicKey);
}

/** What a leaf is served with after itself, PEM: the CA and those above it, without roots. Empty below a root. */
export function chainOf({ path, anchors }: Generation): string {
  const roots = new Set(anchors.map(fingerprint));
  return formatCertificates(path.filter((each) => !roots.has(fingerprint(each))));
}

/** Certificates of both lists, without repeats. */
export function union(...lists: readonly (readonly X509Certificate[])[]): readonly X509Certificate[] {
  return [...new Map(lists.flat().map((each) => [fingerprint(each), each])).values()];
}

/** Certificates of the first list that are not in the second. */
export function without(list: readonly X509Certificate[], out: readonly X509Certificate[]): readonly X509Certificate[] {
  const gone = new Set(out.map(fingerprint));
  return list.filter((each) => !gone.has(fingerprint(each)));
}

/** What the state machine knows of a CA. */
export function factsOf({ authority, anchors }: Generation): CaFacts {
  const { keyId, notBefore, notAfter } = authority;
  return {
    fingerprint: authority.fingerprint,
    keyId,
    issuedAt: new Date(Math.min(notBefore.getTime() + BACKDATE_MS, notAfter.getTime())),
    notBefore,
    notAfter,
    anchors: anchors.map(fingerprint),
  };
}

/** What the state machine knows of a ring. `handled`: requests that are remembered elsewhere, too. */
export function ringFacts({ active, next, previous, notes }: Ring, handled: readonly string[] = []): RingFacts {
  return {
    phase: notes.phase,
    phaseSince: notes.phaseSince,
    active: factsOf(active),
    next: next === undefined ? undefined : factsOf(next),
    previous: previous === undefined ? undefined : factsOf(previous),
    retired: notes.retired,
    handled: [...notes.handled, ...handled],
    declined: notes.declined,
    holdUntil: notes.holdUntil,
  };
}

/** The Secret of a ring that does not exist yet. With an `owner` it goes when that TLSIssuer goes. */
export function ringSecret(namespace: string, issuer: string, ring: Ring, owner?: TLSIssuer): KubeInput {
  const owners =
    owner === undefined
      ? {}
      : {
          ownerReferences: [
            { apiVersion: API_VERSION, kind: 'TLSIssuer', name: owner.metadata.name, uid: owner.metadata.uid },
          ],
        };
  return {
    metadata: {
      name: ringSecretName(issuer),
      namespace,
      labels: { [labels.managedBy]: MANAGED_BY },
      annotations: { [notesAnnotation]: writeNotes(ring.notes) },
      ...owners,
    },
    type: 'kubernetes.io/tls',
    data: Object.fromEntries(Object.entries(ringData(ring)).filter(([, value]) => value !== null)),
  };
}

/** A JSON merge patch that turns exactly the version of the Secret that was judged into this ring. */
export function ringPatch(ring: Ring, { uid, resourceVersion }: Secret['metadata']): Readonly<Record<string, unknown>> {
  return {
    metadata: {
      uid,
      resourceVersion,
      labels: { [labels.managedBy]: MANAGED_BY },
      annotations: { [notesAnnotation]: writeNotes(ring.notes) },
    },
    data: ringData(ring),
  };
}

function ringData({ active, next, previous, trusted }: Ring): Readonly<Record<string, string | null>> {
  const encoded = (text: string): string => Buffer.from(text).toString('base64');
  const certificate = (each: Generation | undefined) =>
    each === undefined ? null : encoded(formatCertificates(each.path));
  const key = (each: Generation | undefined) =>
    each === undefined ? null : encoded(privateKeyPem(each.authority.privateKey));
  return {
    [secretKeys.certificate]: certificate(active),
    [secretKeys.key]: key(active),
    [secretKeys.trustBundle]: encoded(formatCertificates(trusted)),
    [ringKeys.nextCertificate]: certificate(next),
    [ringKeys.nextKey]: key(next),
    [ringKeys.previousCertificate]: certificate(previous),
    [ringKeys.previousKey]: key(previous),
  };
}

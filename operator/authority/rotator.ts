// Carries rotations out, on the leader: looks, asks the state machine, writes the ring in one request on top of exactly the version
// that was judged, and says so. Nothing about a rotation is kept here: whoever leads next goes on from the Secret.
import { annotations, fieldManagers } from '../../lib/api/contract.ts';
import type { TLSIssuer } from '../../lib/api/tlsissuer.ts';
import type { Clock } from '../../lib/clock.ts';
import { AppError } from '../../lib/errors.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { type EventRecorder, subjectOf } from '../../lib/kube/events.ts';
import { resources } from '../../lib/kube/resources.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { AuditTrail } from '../audit/audit.ts';
import { Turns } from '../audit/turns.ts';
import { unheardMs } from '../audit/unrecorded.ts';
import type { Offer } from '../issuers/ca/offer.ts';
import type { ClusterAuthority } from './authority.ts';
import type { AuthorityMetrics } from './metrics.ts';
import { lastAction, stepNotice } from './notices.ts';
import { factsOf, type Generation, type Ring, ringFacts, ringPatch } from './ring.ts';
import { lifeMs, nextStep } from './rotation.ts';
import type { Decision, Leaf, Peer, RotationView, Step, Waits } from './rotationview.ts';
import { turned } from './turn.ts';

/** Annotations of a TLSIssuer by which persons ask for something; each distinct value acts once. */
export const requestAnnotations = {
  rotate: annotations.rotate,
  undo: annotations.undoRotation,
  distrust: annotations.distrustNow,
} as const;

/** Who must follow. */
export interface PeersView {
  of(issuer: string): readonly Peer[];
  leaves(issuer: string): readonly Leaf[];
}

/** What the rotator works with and on. */
export interface RotatorDeps {
  readonly client: Pick<KubeClient, 'patch'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly logger: Logger;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly audit: AuditTrail;
  readonly metrics: AuthorityMetrics;
  readonly peers: PeersView;
  /** Makes a CA with the settings of an issuer. */
  readonly make: (issuer: TLSIssuer) => Promise<Generation>;
  /** Tabard's own namespace. */
  readonly namespace: string;
  readonly waits?: Partial<Waits>;
  /** When a leader before this one was last heard of; undefined = nothing is made good of the trail of others. */
  readonly leftAt?: (() => Date | undefined) | undefined;
}

/** One issuer and its CAs. */
export interface Subject {
  readonly issuer: TLSIssuer;
  readonly authority: ClusterAuthority;
  /** What somebody else offers; undefined when the issuer makes its own. */
  readonly offer: Offer | undefined;
}

/** The kubelet syncs every 60 to 90 s and may have cached the Secret for as long; then the application must notice. */
export const filesMs = 180_000;
/** Longest settling time, and the part of the CA's life that it is for shorter lives. */
const settling = { longestMs: 10_000, part: 72 } as const;
/** A rotation that moves on may take several steps in one look; more than these mean that something is wrong with the machine. */
const mostSteps = 8;

/** Takes steps. */
export class Rotator {
  readonly #deps: RotatorDeps;
  readonly #turns: Turns;
  /** Sequence number of the last step that was told of, by issuer. */
  readonly #told = new Map<string, number>();

  constructor(deps: RotatorDeps) {
    this.#deps = deps;
    this.#turns = new Turns(deps.audit);
  }

  /** The step that led to this ring is on record. */
  told(issuer: string, { notes: { sequence } }: Ring): void {
    this.#told.set(issuer, sequence);
  }

  /** Takes every step that can be taken now; what is waited for. Rejects when the API server does: nothing is then half done. */
  async advance(subject: Subject, signal: AbortSignal): Promise<Decision | undefined> {
    let decision: Decision | undefined;
    const { issuer, offer } = subject;
    const paused = issuer.spec.rotation?.paused === true;
    this.#turns.note(issuer.metadata.name, { paused, refused: offer?.kind === 'refused' ? offer : undefined });
    for (let taken = 0; taken < mostSteps; taken += 1) {
      const { ring, secret } = subject.authority;
      // What cannot be read is left for a person to look at; the CA in memory goes on signing.
      if (ring === undefined || secret.kind === 'broken') return undefined;
      this.#catchUp(subject, ring);
      const view = this.#view(subject, ring);
      decision = nextStep(view);
      if (decision.kind !== 'step') break;
      await this.#take(decision.step, subject, view, signal);
    }
    await this.#putBack(subject, signal);
    return decision;
  }

  #view({ issuer, authority, offer }: Subject, ring: Ring): RotationView {
    const { clock, peers, waits } = this.#deps;
    const { name, annotations = {} } = issuer.metadata;
    const facts = ringFacts(ring, issuer.status?.rotation?.handledReasons);
    const settleMs = Math.min(settling.longestMs, lifeMs(facts.active) / settling.part);
    return {
      now: clock.now(),
      ring: facts,
      paused: issuer.spec.rotation?.paused === true,
      requests: {
        rotate: annotations[requestAnnotations.rotate],
        undo: annotations[requestAnnotations.undo],
        distrust: annotations[requestAnnotations.distrust],
      },
      source: offer === undefined ? 'own' : 'given',
      offered: offered({ issuer, authority, offer }, ring),
      peers: peers.of(name),
      leaves: facts.phase === 'Active' ? peers.leaves(name) : [],
      waits: { filesMs, settleMs, ...waits },
    };
  }

  async #take(step: Step, subject: Subject, view: RotationView, signal: AbortSignal): Promise<void> {
    const { clock, make } = this.#deps;
    const { ring } = subject.authority;
    if (ring === undefined) return;
    const from = 'from' in step ? step.from : undefined;
    const fresh = from === 'own' ? await make(subject.issuer) : candidateOf(subject);
    const after = turned(ring, step, { now: clock.now(), fresh });
    await this.#write(subject.authority, after, signal);
    this.told(subject.issuer.metadata.name, after);
    this.#say(step, subject.issuer, { before: ring, after, peers: view.peers.length });
  }

  async #write(authority: ClusterAuthority, ring: Ring, signal: AbortSignal): Promise<void> {
    const { live } = authority;
    if (live === undefined)
      throw new AppError('pki_invalid', `Secret ${authority.secretName} is gone; it is written back first`, {
        retryable: true,
      });
    const ref = { namespace: this.#deps.namespace, name: authority.secretName };
    const options = { signal, fieldManager: fieldManagers.operator };
    authority.offer(await this.#deps.client.patch(resources.secrets, ref, ringPatch(ring, live), options));
  }

  /** A Secret that was exchanged by hand and is not taken over holds again what is in use. */
  async #putBack({ issuer, authority }: Subject, signal: AbortSignal): Promise<void> {
    const { ring, secret } = authority;
    if (secret.kind !== 'exchanged' || ring === undefined) return;
    const again = { ...ring, notes: { ...ring.notes, sequence: ring.notes.sequence + 1 } };
    await this.#write(authority, again, signal);
    this.told(issuer.metadata.name, again);
    const note = `Secret ${authority.secretName} was exchanged by hand at a time when no other CA can be taken over; what is in use was written back`;
    this.#deps.events.record(subjectOf(issuer), {
      type: 'Warning',
      reason: 'AuthorityPutBack',
      action: 'RotateCa',
      note,
    });
    const { name } = issuer.metadata;
    this.#deps.audit.record({
      action: 'CaRefused',
      askedBy: [`TLSIssuer ${name}`],
      reason: 'PutBack',
      issuer: name,
      note,
    });
    this.#deps.logger.warn(
      { issuer: issuer.metadata.name, secret: authority.secretName },
      'certificate authority put back',
    );
  }

  /** Records a step of which nobody may have told: its leader was killed, or heard nothing of what became of its write. */
  #catchUp({ issuer, authority: { live } }: Subject, ring: Ring): void {
    const { name } = issuer.metadata;
    const told = this.#told.get(name);
    this.told(name, ring);
    if (told === ring.notes.sequence) return;
    const { authority } = ring.next ?? ring.active;
    const atMs = ring.notes.phaseSince?.getTime() ?? Date.parse(live?.creationTimestamp ?? '');
    const leftAt = this.#deps.leftAt?.();
    if (told === undefined && !(leftAt !== undefined && atMs >= leftAt.getTime() - unheardMs)) return;
    this.#deps.audit.record({
      action: lastAction(ring),
      askedBy: [`TLSIssuer ${name}`],
      reason: ring.notes.reason ?? 'Missing',
      issuer: name,
      sha256: authority.fingerprint,
      notAfter: authority.notAfter,
      again: true,
      note: `found in the Secret of the CA as step ${ring.notes.sequence}: who took it may not have said so`,
    });
  }

  #say(
    step: Step,
    issuer: TLSIssuer,
    of: { readonly before: Ring; readonly after: Ring; readonly peers: number },
  ): void {
    const { events, audit, logger, metrics } = this.#deps;
    const { name } = issuer.metadata;
    const { type, reason, note, audit: action } = stepNotice(step, of.before, of.after, of.peers);
    const { authority } = of.after.next ?? of.after.active;
    events.record(subjectOf(issuer), { type, reason, action: 'RotateCa', note });
    audit.record({
      action,
      askedBy: [`TLSIssuer ${name}`],
      reason: 'reason' in step && step.reason !== undefined ? step.reason : step.kind,
      issuer: name,
      sha256: authority.fingerprint,
      notAfter: authority.notAfter,
      note,
    });
    metrics.steps.inc({ issuer: name, step: step.kind });
    logger.info(
      {
        issuer: name,
        step: step.kind,
        phase: of.after.notes.phase,
        active: of.after.active.authority.fingerprint,
        note,
      },
      'certificate authority rotation',
    );
  }
}

/** The CA that somebody else made: kept elsewhere, or put into our own Secret by hand while nothing forbids it. */
function candidateOf({ authority, offer }: Subject): Generation | undefined {
  if (offer !== undefined) return offer.kind === 'good' ? offer.generation : undefined;
  return authority.secret.kind === 'exchanged' ? authority.secret.offered : undefined;
}

function offered(subject: Subject, ring: Ring): RotationView['offered'] {
  const candidate = candidateOf(subject);
  if (candidate === undefined) return undefined;
  const facts = factsOf(candidate);
  return ring.notes.distrusted.includes(facts.fingerprint) ? undefined : facts;
}

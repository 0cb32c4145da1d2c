// The rotation of a CA as a state machine: what is to be done next, or who must be waited for. A pure function of what lies in
// the CA's Secret, of what was asked for, and of what every peer was last seen to use; so that it goes on where it stopped,
// on either replica, after an end at any moment.
//
//   Idle -> Prepared (a next CA in every bundle, the old one signs) -> Active (the next one signs, leaves follow)
//        -> Retiring (the old one has left the bundle) -> Idle
//
// No step is taken while one live peer lags, unless the CA that is protected by waiting has expired: then there is nobody
// left whom waiting could help.
import { notFollowing, stillTrusting, untrusting } from './lag.ts';
import type { CaFacts, Decision, Refusal, Requests, RingFacts, RotationView, Step } from './rotationview.ts';

/** What is to be done now. */
export function nextStep(view: RotationView): Decision {
  const refusal = refusalOf(view);
  const decision = emergency(view) ?? undoing(view) ?? advance(view);
  return refusal === undefined ? decision : { ...decision, refusal };
}

/** When a CA of our own making is followed by the next: half of its life, or later after an undo. */
export function rotationDue({ active, holdUntil }: Pick<RingFacts, 'active' | 'holdUntil'>): Date {
  const halfMs = active.issuedAt.getTime() + lifeMs(active) / 2;
  return new Date(Math.max(halfMs, holdUntil?.getTime() ?? 0));
}

/** From issue to end. */
export function lifeMs({ issuedAt, notAfter }: Pick<CaFacts, 'issuedAt' | 'notAfter'>): number {
  return notAfter.getTime() - issuedAt.getTime();
}

/** The key under which a request is remembered. */
export const requestKey = {
  rotate: (value: string): string => `rotate:${value}`,
  undo: (value: string): string => `undo:${value}`,
  distrust: (value: string): string => `distrust:${value.toLowerCase()}`,
} as const;

/** A request that was not acted on yet. */
function open(view: RotationView, verb: keyof Requests): string | undefined {
  const value = view.requests[verb];
  if (value === undefined || value === '') return undefined;
  return view.ring.handled.includes(requestKey[verb](value)) ? undefined : value;
}

const step = (each: Step): Decision => ({ kind: 'step', step: each });

/** "Distrust now": no waiting, no pause. */
function emergency(view: RotationView): Decision | undefined {
  const asked = open(view, 'distrust')?.toLowerCase();
  if (asked === undefined) return undefined;
  const { active, next, previous } = view.ring;
  const handles = requestKey.distrust(asked);
  const reason = `CA ${asked.slice(0, 16)} is distrusted`;
  if (asked === active.fingerprint) {
    const from = successor(view, asked);
    return from === undefined ? undefined : step({ kind: 'replace', from, reason, handles });
  }
  if (asked === next?.fingerprint || asked === previous?.fingerprint)
    return step({ kind: 'distrust', fingerprint: asked, reason, handles });
  return undefined;
}

/** Who can sign in place of the active CA right now. What peers trust already comes first: it breaks least. */
function successor(
  { ring: { next, previous }, source, offered, now }: RotationView,
  bad: string,
): Extract<Step, { kind: 'replace' }>['from'] | undefined {
  const usable = (ca: CaFacts | undefined): boolean => ca !== undefined && ca.fingerprint !== bad && now < ca.notAfter;
  if (usable(next)) return 'next';
  if (source === 'own') return 'own';
  if (usable(offered)) return 'offered';
  return usable(previous) ? 'previous' : undefined;
}

/** A person takes a rotation back; a pause does not stop that. */
function undoing(view: RotationView): Decision | undefined {
  const asked = open(view, 'undo');
  const { phase, next, previous } = view.ring;
  if (asked === undefined) return undefined;
  const handles = requestKey.undo(asked);
  if (phase === 'Prepared' && next !== undefined)
    return step({ kind: 'undo', reason: asked, handles, declines: next.fingerprint });
  // The CA that signed before is still in every bundle: until the last step it never left.
  if (phase === 'Active' && previous !== undefined && view.now < previous.notAfter)
    return step({ kind: 'undo', reason: asked, handles, declines: view.ring.active.fingerprint });
  return undefined;
}

function refusalOf(view: RotationView): Refusal | undefined {
  const { ring, source } = view;
  const distrust = open(view, 'distrust')?.toLowerCase();
  if (distrust !== undefined && emergency(view) === undefined) {
    if (distrust === ring.active.fingerprint) {
      const message =
        'the CA signs and is kept elsewhere: put another one into its place first, then it is activated at once';
      return { reason: 'NoOtherAuthority', message };
    }
    const message = `no CA of this issuer has the fingerprint ${distrust.slice(0, 64)}; status.authorities lists them`;
    return { reason: 'NothingToDistrust', message };
  }
  const undo = open(view, 'undo');
  if (undo !== undefined && undoing(view) === undefined) {
    const message =
      ring.phase === 'Retiring'
        ? 'the former CA has left the bundle already; rotate again instead'
        : 'no rotation is under way';
    return { reason: 'NothingToUndo', message };
  }
  if (open(view, 'rotate') !== undefined && source === 'given' && newlyOffered(view) === undefined) {
    return {
      reason: 'KeptElsewhere',
      message: 'this CA is made elsewhere; renew it there and it is taken over in steps',
    };
  }
  return undefined;
}

function advance(view: RotationView): Decision {
  switch (view.ring.phase) {
    case 'Idle':
      return fromIdle(view);
    case 'Prepared':
      return fromPrepared(view);
    case 'Active':
      return fromActive(view);
    case 'Retiring':
      return fromRetiring(view);
  }
}

function fromIdle(view: RotationView): Decision {
  const { ring, source, now } = view;
  const asked = source === 'own' ? open(view, 'rotate') : undefined;
  const due = source === 'own' ? rotationDue(ring) : undefined;
  const begun = beginning(view, asked, due);
  if (begun === undefined) {
    const nextCheck = source === 'own' ? due : ring.active.notAfter;
    const message =
      due === undefined
        ? `its CA ends at ${ring.active.notAfter.toISOString()}; another one is taken over when it is offered`
        : `the next rotation begins at ${due.toISOString()}`;
    return { kind: 'rest', message, nextCheck: nextCheck !== undefined && nextCheck > now ? nextCheck : undefined };
  }
  return view.paused ? paused(view) : step(begun);
}

function beginning(view: RotationView, asked: string | undefined, due: Date | undefined): Step | undefined {
  const { ring, now } = view;
  if (now >= ring.active.notAfter) return afterExpiry(view);
  const offered = newlyOffered(view);
  if (offered !== undefined) return takeOver(view, 'another CA was put into its Secret');
  if (asked !== undefined) return { kind: 'prepare', from: 'own', reason: asked, handles: requestKey.rotate(asked) };
  if (due !== undefined && now >= due) return { kind: 'prepare', from: 'own', reason: 'half of its life has passed' };
  return undefined;
}

/** Takes what is offered; a request for it is thereby acted on. */
function takeOver(view: RotationView, why: string): Step {
  const asked = view.source === 'given' ? open(view, 'rotate') : undefined;
  if (asked === undefined) return { kind: 'prepare', from: 'offered', reason: why };
  return { kind: 'prepare', from: 'offered', reason: asked, handles: requestKey.rotate(asked) };
}

/** The successor of a CA that has expired; undefined when it has not, or when none is there. */
function afterExpiry(view: RotationView): Step | undefined {
  const { ring, source, now } = view;
  if (now < ring.active.notAfter) return undefined;
  const reason = `the CA expired at ${ring.active.notAfter.toISOString()}`;
  if (newlyOffered(view) !== undefined) return { kind: 'replace', from: 'offered', reason };
  return source === 'own' ? { kind: 'replace', from: 'own', reason } : undefined;
}

/** A CA that is offered and in no use, unless a person has taken it back and not asked for it again. */
function newlyOffered(view: RotationView): CaFacts | undefined {
  const { ring, offered, now } = view;
  const known = [ring.active, ring.next].some((ca) => ca?.fingerprint === offered?.fingerprint);
  if (offered === undefined || known || now >= offered.notAfter) return undefined;
  return offered.fingerprint === ring.declined && open(view, 'rotate') === undefined ? undefined : offered;
}

function fromPrepared(view: RotationView): Decision {
  const { ring, now, offered, source } = view;
  const { active, next } = ring;
  if (next === undefined || now >= next.notAfter) {
    if (view.paused) return paused(view);
    return step({ kind: 'undo', reason: 'the CA that was to sign has expired' });
  }
  if (view.paused) return paused(view);
  if (now >= active.notAfter)
    return step({
      kind: 'activate',
      reason: 'the CA that signed has expired: no certificate of it is left to wait for',
    });
  const other = newlyOffered(view);
  if (other !== undefined) return step(takeOver(view, 'yet another CA was put into its Secret'));
  if (source === 'given' && offered?.fingerprint === active.fingerprint)
    return step({ kind: 'undo', reason: 'the Secret holds the former CA again' });
  // The clock was set back since it was made: what it signed now would be refused.
  if (next.notBefore !== undefined && now < next.notBefore)
    return waiting(view, [], `the next CA is valid from ${next.notBefore.toISOString()}`);
  const lagging = untrusting(view, next);
  return lagging.length === 0
    ? settled(view, { kind: 'activate' })
    : waiting(view, lagging, `${lagging.length} of ${view.peers.length} peers do not trust the next CA yet`);
}

function fromActive(view: RotationView): Decision {
  const { ring, now } = view;
  const { previous } = ring;
  if (view.paused) return paused(view);
  // Should this CA have expired as well (asleep for long), it is followed at once.
  const expired = afterExpiry(view);
  if (expired !== undefined) return step(expired);
  if (previous !== undefined && now >= previous.notAfter) return step({ kind: 'retire' });
  const lagging = notFollowing(view);
  if (lagging.length > 0) return waiting(view, lagging, `${lagging.length} have not changed to the new CA yet`);
  return settled(view, { kind: previous === undefined ? 'finish' : 'retire' });
}

function fromRetiring(view: RotationView): Decision {
  const { ring, now, peers } = view;
  const { retired } = ring;
  if (view.paused) return paused(view);
  if (retired === undefined || now >= retired.notAfter) return step({ kind: 'finish' });
  const lagging = stillTrusting(view, retired);
  return lagging.length === 0
    ? step({ kind: 'finish' })
    : waiting(view, lagging, `${lagging.length} of ${peers.length} peers still trust the former CA`);
}

/** Nothing lags: the step is taken once its phase has lasted for the settling time. A clock that was set back does not prolong that. */
function settled({ ring: { phaseSince }, now, waits }: RotationView, next: Step): Decision {
  const sinceMs = phaseSince?.getTime() ?? 0;
  const untilMs = sinceMs + waits.settleMs;
  if (now.getTime() >= untilMs || now.getTime() < sinceMs) return step(next);
  const message = 'all have followed; a moment for the other replicas';
  return { kind: 'wait', why: 'Settling', waitingFor: [], message, nextCheck: new Date(untilMs) };
}

/** For how long to wait before a look when nothing is told: certificate files arrive, certificates expire. */
const lookAgainMs = 15_000;

function waiting({ now, ring }: RotationView, waitingFor: readonly string[], message: string): Decision {
  const ends = [ring.active.notAfter, ring.previous?.notAfter, ring.retired?.notAfter];
  const endsMs = ends.flatMap((end) => (end !== undefined && end > now ? [end.getTime()] : []));
  const nextCheck = new Date(Math.min(now.getTime() + lookAgainMs, ...endsMs));
  return { kind: 'wait', why: 'Lagging', waitingFor, message, nextCheck };
}

function paused({ ring: { phase } }: RotationView): Decision {
  const message =
    phase === 'Idle'
      ? 'a rotation is due and paused by spec.rotation.paused'
      : `paused by spec.rotation.paused in phase ${phase}`;
  return { kind: 'wait', why: 'Paused', waitingFor: [], message, nextCheck: undefined };
}

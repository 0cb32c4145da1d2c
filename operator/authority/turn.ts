// What a step of the rotation makes of the CAs: a new ring from the one before. Pure; the keys of a new CA are given.
import { fingerprint } from '../../lib/pki/bundle.ts';
import type { Notes } from './notes.ts';
import { noNotes } from './notes.ts';
import { factsOf, type Generation, type Ring, union, without } from './ring.ts';
import { lifeMs } from './rotation.ts';
import type { Step } from './rotationview.ts';

/** What a step may need beside the ring. */
export interface TurnInputs {
  readonly now: Date;
  /** A new CA, for steps `from` own or offered. */
  readonly fresh: Generation | undefined;
}

/** The first ring of an issuer. */
export function firstRing(active: Generation): Ring {
  const notes = { ...noNotes, sequence: 1, active: active.authority.fingerprint };
  return { active, next: undefined, previous: undefined, trusted: active.anchors, notes };
}

/** The ring after a step. Throws a TypeError for a step that needs a CA that is not there: a bug, not a state. */
export function turned(ring: Ring, step: Step, inputs: TurnInputs): Ring {
  const after = change(ring, step, inputs);
  const notes: Notes = {
    ...after.notes,
    sequence: ring.notes.sequence + 1,
    active: after.active.authority.fingerprint,
    handled:
      'handles' in step && step.handles !== undefined ? [...ring.notes.handled, step.handles] : ring.notes.handled,
  };
  return { ...after, notes };
}

function change(ring: Ring, step: Step, { now, fresh }: TurnInputs): Ring {
  switch (step.kind) {
    case 'prepare':
      return prepared(ring, needed(fresh), step.reason, now);
    case 'activate':
      return activated(ring, now, step.reason);
    case 'retire':
      return retired(ring, now);
    case 'finish':
      return idle({ ...ring, previous: undefined }, now);
    case 'undo':
      return undone(ring, step, now);
    case 'replace':
      return replaced(ring, step, successorOf(ring, step.from, fresh), now);
    case 'distrust':
      return distrusted(ring, step.fingerprint, now);
  }
}

function prepared(ring: Ring, next: Generation, reason: string, now: Date): Ring {
  // One that was prepared before, and did not come to sign, leaves the bundle for it.
  const trusted = ring.next === undefined ? ring.trusted : dropped(ring, ring.next);
  const notes: Notes = {
    ...ring.notes,
    phase: 'Prepared',
    reason,
    startedAt: now,
    phaseSince: now,
    declined: undefined,
  };
  return { ...ring, next, trusted: union(trusted, next.anchors), notes };
}

function activated(ring: Ring, now: Date, reason: string | undefined): Ring {
  const active = needed(ring.next);
  const notes: Notes = { ...ring.notes, phase: 'Active', phaseSince: now, reason: reason ?? ring.notes.reason };
  return { ...ring, active, next: undefined, previous: ring.active, notes };
}

function retired(ring: Ring, now: Date): Ring {
  const previous = needed(ring.previous);
  const trusted = dropped(ring, previous);
  const anchors = without(previous.anchors, trusted).map(fingerprint);
  const notes: Notes = {
    ...ring.notes,
    phase: 'Retiring',
    phaseSince: now,
    retired: { anchors, keyId: previous.authority.keyId, notAfter: previous.authority.notAfter },
  };
  return { ...ring, previous: undefined, trusted, notes };
}

function idle(ring: Ring, now: Date): Ring {
  return { ...ring, notes: { ...ring.notes, phase: 'Idle', phaseSince: now, retired: undefined } };
}

function undone(ring: Ring, { reason, declines }: Extract<Step, { kind: 'undo' }>, now: Date): Ring {
  // Half of its life may be over: without a pause the rotation would begin again at once.
  const holdFor = (each: Generation): Date => new Date(now.getTime() + lifeMs(factsOf(each)) / 10);
  if (ring.notes.phase === 'Active') {
    const active = needed(ring.previous);
    const notes = { ...ring.notes, reason, declined: declines, phaseSince: now, holdUntil: holdFor(active) };
    return { ...ring, active, previous: ring.active, notes };
  }
  const trusted = ring.next === undefined ? ring.trusted : dropped(ring, ring.next);
  const notes = { ...ring.notes, reason, declined: declines, holdUntil: holdFor(ring.active) };
  return idle({ ...ring, next: undefined, trusted, notes }, now);
}

/** Another CA signs; the one before is gone with its roots, and so is whoever was prepared without being chosen. */
function replaced(ring: Ring, step: Extract<Step, { kind: 'replace' }>, active: Generation, now: Date): Ring {
  const old = [ring.active, ring.next, ring.previous].flatMap((each) => each?.anchors ?? []);
  const bad = ring.active.authority.fingerprint;
  const notes: Notes = {
    ...ring.notes,
    phase: 'Active',
    reason: step.reason,
    startedAt: now,
    phaseSince: now,
    declined: undefined,
    holdUntil: undefined,
    retired: undefined,
    distrusted: step.handles === undefined ? ring.notes.distrusted : [...ring.notes.distrusted, bad],
  };
  const trusted = union(active.anchors, without(ring.trusted, old));
  return { active, next: undefined, previous: undefined, trusted, notes };
}

function distrusted(ring: Ring, bad: string, now: Date): Ring {
  const notes = { ...ring.notes, distrusted: [...ring.notes.distrusted, bad] };
  if (ring.next?.authority.fingerprint === bad) {
    return idle(
      { ...ring, next: undefined, trusted: dropped(ring, ring.next), notes: { ...notes, declined: bad } },
      now,
    );
  }
  const previous = needed(ring.previous);
  return { ...ring, previous: undefined, trusted: dropped(ring, previous), notes: { ...notes, phaseSince: now } };
}

/** The bundle without the roots of one CA that no other CA of the ring needs. */
function dropped(ring: Ring, out: Generation): Ring['trusted'] {
  const others = [ring.active, ring.next, ring.previous].filter((each) => each !== undefined && each !== out);
  return without(ring.trusted, without(out.anchors, union(...others.map((each) => each?.anchors ?? []))));
}

function successorOf(
  ring: Ring,
  from: Extract<Step, { kind: 'replace' }>['from'],
  fresh: Generation | undefined,
): Generation {
  if (from === 'next') return needed(ring.next);
  return needed(from === 'previous' ? ring.previous : fresh);
}

function needed(generation: Generation | undefined): Generation {
  if (generation === undefined) throw new TypeError('the step needs a CA that is not there');
  return generation;
}

// How a rotation stands, as it is written beside the keys in their Secret. Read leniently: a note that is lost or garbled by hand
// costs a repeated wait, never a key. Pure.
import type { RotationPhase } from '../../lib/api/tlsissuer.ts';

/** Annotation of the CA's Secret with the notes as JSON. */
export const notesAnnotation = 'tabard.dev/rotation';

/** A CA that has left the bundle. */
export interface Retired {
  /** SHA-256 of its roots, as far as they left. */
  readonly anchors: readonly string[];
  /** Subject key id, upper-case hex. */
  readonly keyId: string;
  readonly notAfter: Date;
}

/** What cannot be read from the keys themselves. */
export interface Notes {
  /** Goes up with every step: an older Secret that was put back by hand is recognised by it. */
  readonly sequence: number;
  /** SHA-256 of the CA that signs, as Tabard wrote it; another one in tls.crt was put there by hand. */
  readonly active: string | undefined;
  readonly phase: RotationPhase;
  readonly reason: string | undefined;
  readonly startedAt: Date | undefined;
  readonly phaseSince: Date | undefined;
  /** Requests that were acted on (`requestKey`), the newest last. */
  readonly handled: readonly string[];
  readonly declined: string | undefined;
  readonly holdUntil: Date | undefined;
  /** Retiring: the roots that have left the bundle (SHA-256), and until when the CA would have lasted. */
  readonly retired: Retired | undefined;
  /** SHA-256 of CAs that were distrusted: they never come back. */
  readonly distrusted: readonly string[];
}

/** Notes of a CA with which nothing has happened yet. */
export const noNotes: Notes = {
  sequence: 0,
  active: undefined,
  phase: 'Idle',
  reason: undefined,
  startedAt: undefined,
  phaseSince: undefined,
  handled: [],
  declined: undefined,
  holdUntil: undefined,
  retired: undefined,
  distrusted: [],
};

/** Most requests that are remembered. */
const mostHandled = 50;

const phases: readonly RotationPhase[] = ['Idle', 'Prepared', 'Active', 'Retiring'];

/** Reads the annotation; `phase` is what the keys say where it does not. */
export function readNotes(text: string | undefined, phase: RotationPhase): Notes {
  const raw = parsed(text);
  const written = phases.find((each) => each === raw['phase']);
  // Keys that are there or not are stronger than words about them.
  const fits =
    written === phase || (written === 'Retiring' && phase === 'Idle') || (written === 'Active' && phase === 'Idle');
  return {
    sequence: typeof raw['sequence'] === 'number' && Number.isSafeInteger(raw['sequence']) ? raw['sequence'] : 0,
    active: textOf(raw['active']),
    phase: written !== undefined && fits ? written : phase,
    reason: textOf(raw['reason']),
    startedAt: dateOf(raw['startedAt']),
    phaseSince: dateOf(raw['phaseSince']),
    handled: textsOf(raw['handled']),
    declined: textOf(raw['declined']),
    holdUntil: dateOf(raw['holdUntil']),
    retired: retiredOf(raw['retired']),
    distrusted: textsOf(raw['distrusted']),
  };
}

/** The annotation's text. */
export function writeNotes(notes: Notes): string {
  return JSON.stringify({ ...notes, handled: notes.handled.slice(-mostHandled) });
}

function parsed(text: string | undefined): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text ?? '{}');
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {};
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
}

function dateOf(value: unknown): Date | undefined {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? undefined : new Date(ms);
}

function retiredOf(value: unknown): Notes['retired'] {
  if (typeof value !== 'object' || value === null) return undefined;
  const { anchors, keyId, notAfter } = value as Readonly<Record<string, unknown>>;
  const end = dateOf(notAfter);
  return end === undefined ? undefined : { anchors: textsOf(anchors), keyId: textOf(keyId) ?? '', notAfter: end };
}

// Which calls of a rotation are the last of their process: each distinct call is so twice, once before it is passed on and once after it
// was carried out, wherever in a rotation it comes up. A rotation that is gone through again and again comes to an end when there
// is no call left that nobody died at. On a machine that is too busy for all of them those that must be come first: to the others each
// phase of the rotation gives only so much time.
import { names } from '../../../lib/api/contract.ts';
import { notesAnnotation } from '../../../operator/authority/notes.ts';
import { type ApiCall, isRead } from './call.ts';
import type { Fate } from './gate.ts';

type Kill = Exclude<Fate, 'pass'>;

/** What is to be covered. */
export interface KillScope {
  /** Reads that come again in another phase of the rotation are points of their own. */
  readonly readsOfEachPhase: boolean;
  /** So many calls of the same kind in the same phase are points of their own. */
  readonly repeats: number;
  /** Points at which somebody dies however long it takes. */
  readonly must: readonly string[];
  /** So long, in each phase, somebody dies at others, too. */
  readonly phaseMs: number;
}

const both: readonly Kill[] = ['before', 'after'];

/** The points, and what was done at each. */
export class KillPoints {
  readonly #scope: KillScope;
  readonly #done = new Map<string, Kill[]>();
  readonly #counts = new Map<string, number>();
  readonly #spentMs = new Map<string, number>();
  #phase = 'Idle';
  #phaseSince = 0;
  #isTaking = false;
  /** Deaths so far. */
  kills = 0;
  /** Calls so far. */
  calls = 0;

  constructor(scope: KillScope) {
    this.#scope = scope;
  }

  /** A rotation begins, and from now on somebody dies at every call that is new. */
  begin(): void {
    this.#isTaking = true;
    this.#counts.clear();
    this.#phaseSince = performance.now();
  }

  /** From now on nobody dies. */
  end(): void {
    this.#isTaking = false;
  }

  /** What becomes of a call. */
  fate(call: ApiCall): Fate {
    this.calls += 1;
    const point = this.#pointOf(call);
    const done = this.#done.get(point) ?? [];
    this.#done.set(point, done);
    if (!this.#isTaking || !this.#hasTimeFor(point, isRead(call))) return 'pass';
    const next = both.find((kill) => !done.includes(kill));
    if (next === undefined) return 'pass';
    done.push(next);
    this.kills += 1;
    return next;
  }

  /** A call was carried out: the phase goes on with the CA's Secret. */
  done(call: ApiCall, status: number): void {
    const next = status < 300 ? phaseWritten(call) : undefined;
    if (next === undefined) return;
    this.#spentMs.set(this.#phase, this.#spent());
    this.#phase = next;
    this.#phaseSince = performance.now();
  }

  /** Points at which both was done, and those that were seen and where it was not. */
  get covered(): readonly string[] {
    return [...this.#done].filter(([, { length }]) => length === both.length).map(([point]) => point);
  }

  get missed(): readonly string[] {
    return [...this.#done].filter(([, { length }]) => length < both.length).map(([point]) => point);
  }

  /** Reads come first, right after a start: half of the time is for writes alone. */
  #hasTimeFor(point: string, isReading: boolean): boolean {
    const { phaseMs, must } = this.#scope;
    return this.#spent() < phaseMs / (isReading ? 2 : 1) || must.includes(point);
  }

  /** Milliseconds in the present phase, of all rotations. */
  #spent(): number {
    return (this.#spentMs.get(this.#phase) ?? 0) + performance.now() - this.#phaseSince;
  }

  #pointOf(call: ApiCall): string {
    const plain = nameOf(call);
    if (isRead(call)) return this.#scope.readsOfEachPhase ? `${this.#phase}: ${plain}` : plain;
    const phase = phaseWritten(call);
    const point = phase === undefined ? `${this.#phase}: ${plain}` : `${plain} to ${phase}`;
    if (this.#scope.repeats === 1) return point;
    const count = Math.min(this.#scope.repeats, (this.#counts.get(point) ?? 0) + 1);
    this.#counts.set(point, count);
    return `${point} #${count}`;
  }
}

function nameOf({ verb, resource, namespace, name, selection }: ApiCall): string {
  const where = namespace === '' || name !== '' ? '' : ` of ${namespace}`;
  // The names of events are made up, and each CA has a list of its own, by its key id: with them no rotation would be without a new point.
  const which = name === '' || resource === 'events' ? '' : ` ${name.replace(/[0-9a-f]{40}$/, '*')}`;
  return `${verb} ${resource}${where}${which}${selection === '' ? '' : ` (${selection})`}`;
}

/** The phase that a write to the CA's Secret leads to. */
function phaseWritten({ verb, resource, name, body }: ApiCall): string | undefined {
  if (verb !== 'patch' || resource !== 'secrets' || name !== names.caSecret) return undefined;
  const { metadata } = JSON.parse(body) as { metadata?: { annotations?: Record<string, string> } };
  const notes = metadata?.annotations?.[notesAnnotation];
  return notes === undefined ? undefined : (JSON.parse(notes) as { phase: string }).phase;
}

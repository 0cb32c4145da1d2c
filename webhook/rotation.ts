// When the webhook's own CA and serving certificate are made, renewed and replaced. Pure: what the Secret holds, what the
// API server is told to trust and the time go in, one step comes out. Every step keeps what is in use trusted:
//
//   create ──► keep ──► prepare (a second CA, trusted beside the first) ──► promote (it signs) ──► drop (the first is gone)
//               └────► renew (a new serving certificate of the same CA)

/** The facts of a CA that matter here. */
export interface CaFacts {
  /** SHA-256 of its certificate. */
  readonly fingerprint: string;
  /** When it was made. */
  readonly madeAt: Date;
  readonly notAfter: Date;
}

/** What the Secret holds. */
export interface ServingFacts {
  /** The CA that signs. */
  readonly current: CaFacts;
  /** The CA that will sign, made but not in use. */
  readonly next: CaFacts | undefined;
  /** CAs that signed before and are still trusted. */
  readonly previous: readonly CaFacts[];
  readonly leaf: {
    readonly madeAt: Date;
    readonly notAfter: Date;
    /** It is signed by `current` and carries the names that the API server asks for. */
    readonly isRight: boolean;
  };
}

/** How long things wait. Milliseconds. */
export interface RotationTiming {
  /** Both CAs are trusted for this long before the new one signs, and again before the old one is dropped. */
  readonly overlapMs: number;
}

/** The next step. `keep` = nothing is due. */
export type ServingStep = 'create' | 'prepare' | 'promote' | 'drop' | 'renew' | 'keep';

/** The part of its life after which a CA or a certificate is replaced. */
const replaceAfter = 2 / 3;

/** The next step for what the Secret holds; `published` are the CAs that every entry of the API server's configuration trusts. */
export function nextStep(
  facts: ServingFacts | undefined,
  published: ReadonlySet<string>,
  now: Date,
  { overlapMs }: RotationTiming,
): ServingStep {
  if (facts === undefined || now >= facts.current.notAfter) return 'create';
  const { next, previous, leaf, current } = facts;
  if (next !== undefined && published.has(next.fingerprint) && since(next.madeAt, now) >= overlapMs) return 'promote';
  if (!leaf.isRight || isDue(leaf, now)) return 'renew';
  const settled = since(leaf.madeAt, now) >= overlapMs;
  if (previous.some((ca) => settled || now >= ca.notAfter)) return 'drop';
  return next === undefined && isDue(current, now) ? 'prepare' : 'keep';
}

function isDue({ madeAt, notAfter }: { readonly madeAt: Date; readonly notAfter: Date }, now: Date): boolean {
  return since(madeAt, now) >= (notAfter.getTime() - madeAt.getTime()) * replaceAfter;
}

function since(then: Date, now: Date): number {
  return now.getTime() - then.getTime();
}

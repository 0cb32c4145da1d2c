// What a TLSRevocation says of itself: what it came to, how many sidecars enforce it, who does not yet, since when all do. Built from
// scratch each time but for what must not change any more: once every sidecar enforced it, that is a record. Pure.
import { mergeConditions, type WantedCondition } from '../../lib/api/conditions.ts';
import { rfc3339 } from '../../lib/api/time.ts';
import type { TLSRevocation, TLSRevocationStatus } from '../../lib/api/tlsrevocation.ts';
import type { Standing } from './list.ts';

/** A sidecar that is to enforce revocations. */
export interface Enforcer {
  /** `namespace/pod`. */
  readonly name: string;
  /** Number of the list that it last reported; undefined when it reported none. */
  readonly number: number | undefined;
}

/** Everything that a status follows from. */
export interface RevocationStatusInput {
  readonly object: TLSRevocation;
  readonly standing: Standing;
  /** What serial or pod came to, upper-case hex. */
  readonly serials: readonly string[];
  /** Number from which on a sidecar enforces it; undefined while the serials have yet to be written down. */
  readonly required: number | undefined;
  readonly sidecars: readonly Enforcer[];
  readonly now: Date;
}

type Verdict = Pick<WantedCondition, 'status' | 'reason' | 'message'>;

/** Sidecars named in a status. */
const mostNamed = 20;
/** Serials that a status holds. */
const mostSerials = 64;

/** The status at a moment. */
export function revocationStatus(input: RevocationStatusInput): TLSRevocationStatus {
  const { object, standing, now, required } = input;
  const { generation } = object.metadata;
  const before = object.status;
  const lagging = input.sidecars.filter(({ number }) => required === undefined || (number ?? -1) < required);
  const spread = isRecord(input) ? recorded(before) : spreadOf(input, lagging);
  const wanted: WantedCondition = {
    type: 'Enforced',
    ...verdictOf(standing, spread),
    ...(generation === undefined ? {} : { observedGeneration: generation }),
  };
  const serials = input.serials.slice(0, mostSerials);
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    conditions: mergeConditions(before?.conditions, [wanted], now),
    ...(required === undefined ? {} : { number: required }),
    ...(serials.length === 0 ? {} : { serials }),
    ...(standing === 'unresolved' || standing === 'refused' ? {} : spread),
  };
}

/** Whether all enforced it before, of just this generation: pods that come later know it before they serve. */
function isRecord({ object: { metadata, status } }: RevocationStatusInput): boolean {
  return status?.enforcedAt !== undefined && status.observedGeneration === metadata.generation;
}

type Spread = Pick<TLSRevocationStatus, 'enforcedAt' | 'sidecars' | 'enforced' | 'lagging'>;

function recorded(status: TLSRevocationStatus = {}): Spread {
  const { enforcedAt, sidecars, enforced } = status;
  return {
    ...(enforcedAt === undefined ? {} : { enforcedAt }),
    ...(sidecars === undefined ? {} : { sidecars }),
    ...(enforced === undefined ? {} : { enforced }),
    lagging: [],
  };
}

function spreadOf({ sidecars, now, required }: RevocationStatusInput, lagging: readonly Enforcer[]): Spread {
  const total = sidecars.length;
  const enforcing = total - lagging.length;
  const isDone = required !== undefined && lagging.length === 0;
  return {
    ...(isDone ? { enforcedAt: rfc3339(now) } : {}),
    sidecars: { total, enforcing },
    enforced: `${enforcing}/${total}`,
    lagging: lagging
      .map(({ name }) => name)
      .sort()
      .slice(0, mostNamed),
  };
}

function verdictOf(standing: Standing, { enforcedAt, sidecars, lagging = [] }: Spread): Verdict {
  switch (standing) {
    case 'ended':
      return no('Ended', 'its end has passed and it no longer holds; it can be deleted');
    case 'expired':
      return no(
        'Expired',
        'every certificate that it names has expired, so that nothing is left to refuse; it can be deleted',
      );
    case 'refused':
      return no(
        'OperatorIdentity',
        'this is the identity of Tabard itself: revoked, no sidecar would hear of anything any more',
      );
    case 'unresolved':
      return no(
        'PodUnknown',
        'there is no injected pod of that name (and uid), or nothing is known of its certificate yet',
      );
    case 'holds': {
      const { total = 0, enforcing = 0 } = sidecars ?? {};
      if (enforcedAt !== undefined) {
        return {
          status: 'True',
          reason: 'Enforced',
          message: `${enforcing} of ${total} sidecars enforced it at ${enforcedAt}`,
        };
      }
      const rest = total - enforcing > lagging.length ? ` and ${total - enforcing - lagging.length} more` : '';
      return no('Spreading', `${enforcing} of ${total} sidecars enforce it; waiting for ${lagging.join(', ')}${rest}`);
    }
  }
}

function no(reason: string, message: string): Verdict {
  return { status: 'False', reason, message };
}

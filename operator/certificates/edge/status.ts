// What a TLSPolicy says of the edge certificates that it asks for, as one condition. Pure.
import type { WantedCondition } from '../../../lib/api/conditions.ts';
import type { EdgeOutcome } from './outcomes.ts';

/** A service that the policy governs. */
export interface EdgeService {
  readonly name: string;
  readonly outcome: EdgeOutcome | undefined;
}

/** The condition `EdgeReady`. */
export function edgeCondition(
  services: readonly EdgeService[],
  now: Date,
): Pick<WantedCondition, 'type' | 'status' | 'reason' | 'message'> {
  const type = 'EdgeReady';
  if (services.length === 0) {
    return { type, status: 'True', reason: 'NoServices', message: 'no injected pod is governed by this policy' };
  }
  const problems = services.flatMap(({ name, outcome }) => {
    const problem = problemOf(outcome, now);
    return problem === undefined ? [] : [{ ...problem, name }];
  });
  const [first] = problems;
  if (first !== undefined) {
    const message = problems
      .slice(0, 3)
      .map(({ name, message: text }) => `${name}: ${text}`)
      .join('; ');
    const more = problems.length > 3 ? `; and ${problems.length - 3} more services` : '';
    return { type, status: 'False', reason: first.reason, message: `${message}${more}` };
  }
  const ends = services.flatMap(({ outcome }) =>
    outcome?.current.kind === 'held' ? outcome.current.facts.notAfter : [],
  );
  const soonest = new Date(Math.min(...ends.map((end) => end.getTime())));
  return {
    type,
    status: 'True',
    reason: 'CertificatesValid',
    message: `edge certificates are valid until ${soonest.toISOString()}`,
  };
}

function problemOf(
  outcome: EdgeOutcome | undefined,
  now: Date,
): { readonly reason: string; readonly message: string } | undefined {
  const { blocked, failure, current } = outcome ?? {};
  const valid = current?.kind === 'held' && current.facts.notBefore <= now && now < current.facts.notAfter;
  if (blocked !== undefined) return blocked;
  if (failure !== undefined && (!valid || failure.count >= 3)) {
    return {
      reason: 'IssuanceFailed',
      message: `its edge certificate was not had ${failure.count} times in a row: ${failure.message}`,
    };
  }
  return valid ? undefined : { reason: 'Issuing', message: 'its edge certificate is being ordered' };
}

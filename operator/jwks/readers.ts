// Whether every pod of a policy that asks for tokens has somebody who looks at them. Pure.
import type { WantedCondition } from '../../lib/api/conditions.ts';
import type { TLSPolicy } from '../../lib/api/tlspolicy.ts';

const namedInMessage = 5;

/** Condition `TokensRead`; undefined for a policy that asks for none. `unaware`: pods without a sidecar, or with one of before there were tokens. */
export function readersCondition({ spec }: TLSPolicy, unaware: readonly string[]): WantedCondition | undefined {
  if ((spec.authentication?.jwt ?? []).length === 0) return undefined;
  const type = 'TokensRead';
  if (unaware.length === 0) {
    const message = 'every sidecar that has reported looks at the tokens of requests that it reads';
    return { type, status: 'True', reason: 'Read', message };
  }
  const named = unaware.slice(0, namedInMessage).join(', ');
  const more = unaware.length > namedInMessage ? ` and ${unaware.length - namedInMessage} more` : '';
  const message = `these pods have no sidecar, or one that knows no tokens, so requests reach them without: ${named}${more}; inject or restart them`;
  return { type, status: 'False', reason: 'PodsWithoutTokens', message };
}

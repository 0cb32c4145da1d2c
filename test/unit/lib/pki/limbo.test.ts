// Our rules for paths against the cases of x509-limbo. Every difference is named in test/support/limbo.ts, with its reason.
import { describe, expect, test } from '@jest/globals';
import {
  accepted,
  acceptedLists,
  idsOf,
  limboCases,
  limboRevocation,
  limboVerdict,
  refused,
} from '../../../support/limbo.ts';

const cases = limboCases();
const [laxer, stricter] = [idsOf(accepted), idsOf(refused)];

describe('x509-limbo', () => {
  test('the cases are all there, and every difference names one of them', () => {
    expect(cases).toHaveLength(194);
    const known = new Set(cases.map(({ id }) => id));
    expect([...laxer, ...stricter].filter((id) => !known.has(id))).toEqual([]);
  });

  test.each(cases.map((each) => [each.id, each] as const))('%s', (id, each) => {
    const verdict = limboVerdict(each);
    const wanted = laxer.has(id) || (each.expected && !stricter.has(id));
    expect({ ok: verdict.ok, said: verdict.ok ? '' : verdict.detail }).toMatchObject({ ok: wanted });
  });
});

describe('x509-limbo with revocation lists', () => {
  const listed = cases.filter(({ crls }) => crls !== undefined);
  test('there are some', () => expect(listed).toHaveLength(8));

  test.each(listed.map((each) => [each.id, each] as const))('%s', (id, each) => {
    expect(limboRevocation(each)).toBe(each.expected || idsOf(acceptedLists).has(id));
  });
});

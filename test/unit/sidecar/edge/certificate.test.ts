// Which texts can be an edge certificate, and for which names it stands.
import { describe, expect, test } from '@jest/globals';
import { isFor, judgeEdge } from '../../../../sidecar/edge/certificate.ts';
import { DAY_MS, testAuthority, testLeaf } from '../../../support/pki.ts';

describe('an edge certificate', () => {
  test('is taken with its own key, in its time, with a name', async () => {
    const authority = await testAuthority();
    const good = await testLeaf(authority, { dnsNames: ['shop.example.com'] });
    const other = await testLeaf(authority, { dnsNames: ['shop.example.com'] });
    const nameless = await testLeaf(authority, { dnsNames: [] });
    const now = new Date();
    expect(judgeEdge(good.certificate, good.key, now)).toMatchObject({
      good: true,
      edge: { names: ['shop.example.com'] },
    });
    const refused = [
      judgeEdge(good.certificate, other.key, now),
      judgeEdge(good.certificate, 'no key', now),
      judgeEdge('', good.key, now),
      judgeEdge('-----BEGIN CERTIFICATE-----\n', good.key, now),
      judgeEdge(good.certificate, good.key, new Date(now.getTime() + 400 * DAY_MS)),
      judgeEdge(good.certificate, good.key, new Date(now.getTime() - 400 * DAY_MS)),
      judgeEdge(nameless.certificate, nameless.key, now),
    ];
    expect(refused.map(({ good: isGood }) => isGood)).toEqual(refused.map(() => false));
    for (const verdict of refused) expect(JSON.stringify(verdict)).not.toContain('PRIVATE KEY');
  });

  test.each([
    ['shop.example.com', true],
    ['www.example.com', false],
    ['a.shop.example.com', false],
    ['x.wild.example.com', true],
    ['wild.example.com', false],
    ['a.b.wild.example.com', false],
    ['com', false],
    ['', false],
  ])('stands for %s: %p', (name, expected) => {
    expect(isFor({ names: ['shop.example.com', '*.wild.example.com'] }, name)).toBe(expected);
  });
});

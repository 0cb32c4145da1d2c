import { describe, expect, test } from '@jest/globals';
import { againMs } from '../../../operator/jwks/fetch.ts';
import { readersCondition } from '../../../operator/jwks/readers.ts';
import { JwksStandings, keysCondition } from '../../../operator/jwks/standings.ts';
import { sourceName } from '../../../operator/jwks/store.ts';
import { testPolicy } from '../../support/policies.ts';

const asking = testPolicy('api', { authentication: { jwt: [{ issuer: 'i', jwksUri: 'https://i/keys' }] } });
const inline = testPolicy('api', { authentication: { jwt: [{ issuer: 'i', jwks: '{}' }] } });
const said = (condition: ReturnType<typeof readersCondition>): string =>
  condition === undefined ? 'nothing' : `${condition.type} ${condition.status} ${condition.reason}`;

describe('a key set is looked at again', () => {
  test.each<readonly [string, string | undefined, number]>([
    ['after five minutes where nothing is said', undefined, 300_000],
    ['after what its server says', 'public, max-age=600', 600_000],
    ['after an hour at most', 'max-age=86400', 3_600_000],
    ['after a minute at least', 'max-age=0', 60_000],
    ['after a minute where it must not be kept', 'no-store, max-age=600', 60_000],
    ['after five minutes where s-maxage alone is said', 's-maxage=600', 300_000],
    ['after five minutes where what is said is no number', 'max-age=soon', 300_000],
  ])('%s', (_, header, expected) => {
    expect(againMs(header)).toBe(expected);
  });
});

describe('the status of a policy', () => {
  test('says nothing of tokens where none are asked for', () => {
    expect(said(readersCondition(testPolicy('api'), ['api-1']))).toBe('nothing');
    expect(said(keysCondition(testPolicy('api'), new JwksStandings()))).toBe('nothing');
  });

  test('says nothing of keys by URL where all are inline', () => {
    expect(said(keysCondition(inline, new JwksStandings()))).toBe('nothing');
  });

  test('says that keys were not fetched yet', () => {
    expect(said(keysCondition(asking, new JwksStandings()))).toBe('TokenKeysFetched False NotFetchedYet');
  });

  test('names pods that look at no tokens', () => {
    expect(said(readersCondition(inline, []))).toBe('TokensRead True Read');
    const many = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    const condition = readersCondition(inline, many);
    expect([said(condition), condition?.message]).toEqual([
      'TokensRead False PodsWithoutTokens',
      expect.stringContaining('a, b, c, d, e and 2 more; inject or restart them'),
    ]);
  });
});

test('a source is told of when it stands otherwise, and not each time it is fetched', () => {
  const standings = new JwksStandings();
  const told: string[] = [];
  standings.subscribe((source) => told.push(source));
  const at = (minute: number) => new Date(minute * 60_000);
  standings.set('a', { keys: 1, fetchedAt: at(1), fault: undefined });
  standings.set('a', { keys: 1, fetchedAt: at(2), fault: undefined });
  standings.set('a', { keys: 1, fetchedAt: at(2), fault: 'away' });
  expect(told).toEqual(['a', 'a']);
});

test('sources are the same when URL and CAs are', () => {
  const url = 'https://i/keys';
  const names = [{ url }, { url, caBundle: 'QQ==' }, { url: `${url}/` }].map(sourceName);
  expect([new Set(names).size, sourceName({ url })]).toEqual([3, names[0]]);
});

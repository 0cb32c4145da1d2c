import { describe, expect, test } from '@jest/globals';
import { missingRules } from '../../../../sidecar/redirect/verify.ts';

interface Changes {
  readonly inbound?: object;
  readonly lastRule?: object;
}

/** A listing as `nft -j list table ip tabard` prints it, cut to what matters. */
function listing({ inbound = {}, lastRule = { redirect: { port: 16006 } } }: Changes = {}): string {
  const chain = { family: 'ip', table: 'tabard', type: 'nat', prio: -110, policy: 'accept' };
  const match = { match: { op: '==', left: { meta: { key: 'l4proto' } }, right: 'tcp' } };
  const rule = (name: string, ...expr: object[]) => ({ rule: { family: 'ip', table: 'tabard', chain: name, expr } });
  return JSON.stringify({
    nftables: [
      { metainfo: { version: '1.0.6', json_schema_version: 1 } },
      { table: { family: 'ip', name: 'tabard', handle: 1 } },
      { chain: { ...chain, name: 'inbound', hook: 'prerouting', ...inbound } },
      { chain: { ...chain, name: 'outbound', hook: 'output' } },
      rule('inbound', match, { accept: null }),
      rule('inbound', match, lastRule),
      rule('outbound', match, { redirect: { port: 16001 } }),
    ],
  });
}

describe('missingRules', () => {
  test('finds nothing missing in a listing of the rules as written', () => {
    expect(missingRules(listing())).toEqual([]);
  });

  test.each<[string, Changes]>([
    ['at another hook', { inbound: { hook: 'input' } }],
    ['at another priority', { inbound: { prio: -100 } }],
    ['of another type', { inbound: { type: 'filter' } }],
    ['that ends in something else', { lastRule: { accept: null } }],
    ['that redirects elsewhere', { lastRule: { redirect: { port: 8080 } } }],
    ['under another name', { inbound: { name: 'other' } }],
  ])('misses a chain %s', (_name, changes) => {
    expect(missingRules(listing(changes))).toEqual(['inbound']);
  });

  test('misses both chains in an empty table', () => {
    expect(missingRules('{"nftables": []}')).toEqual(['inbound', 'outbound']);
  });
});

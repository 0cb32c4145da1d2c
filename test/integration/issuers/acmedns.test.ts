// Solver dns-01 against a real BIND that takes signed updates alone, and pebble that asks it: wildcards, a second name at the same record,
// and what is said when the key, the name server or the zone is another.
import { Resolver } from 'node:dns/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { AcmeSolver } from '../../../lib/api/tlsissuer.ts';
import { systemCode } from '../../../lib/errors.ts';
import { parseCertificates } from '../../../lib/pki/bundle.ts';
import { AcmeBench } from '../../support/acmebench.ts';
import { type AcmeServer, startPebble } from '../../support/acmeservers.ts';
import { type NameServer, startBind } from '../../support/bind.ts';
import { freePorts } from '../../support/daemon.ts';

const buildMs = 900_000;
const orderMs = 120_000;

let bench: AcmeBench;
let bind: NameServer;
let pebble: AcmeServer;

beforeAll(async () => {
  bench = await AcmeBench.start();
  bind = await startBind('shop.example.test', 'hmac-sha512');
  const [closed = 0] = await freePorts(1);
  pebble = await startPebble({ httpPort: closed, tlsPort: closed, dns: bind.address, refusedNonces: 33 });
  await bench.secret('tsig', { key: bind.secret });
  await bench.secret('tsig-other', { key: Buffer.alloc(32, 7).toString('base64') });
  await bench.secret('tsig-broken', { key: 'not base64!' });
}, buildMs);

afterAll(async () => {
  await pebble?.stop();
  await bind?.stop();
  await bench?.end();
});

type Rfc2136 = NonNullable<AcmeSolver['dns01']>['rfc2136'];

async function issuer(rfc2136: Partial<Rfc2136> = {}) {
  const settings: Rfc2136 = {
    nameserver: bind.address,
    tsigKeyName: bind.keyName,
    tsigAlgorithm: 'HMACSHA512',
    tsigSecretRef: { name: 'tsig', key: 'key' },
    ...rfc2136,
  };
  const acme = await bench.acme('dns', {
    server: pebble.server,
    caBundle: Buffer.from(pebble.trust).toString('base64'),
    solvers: [{ dns01: { rfc2136: settings } }],
  });
  await acme.settled();
  return acme;
}

/** The TXT records of a name, as the name server has them now. */
async function texts(name: string): Promise<readonly string[]> {
  const resolver = new Resolver({ timeout: 2_000, tries: 3 });
  resolver.setServers([bind.address]);
  try {
    return (await resolver.resolveTxt(name)).map((parts) => parts.join(''));
  } catch (error) {
    if (['ENOTFOUND', 'ENODATA'].includes(systemCode(error) ?? '')) return [];
    throw error;
  }
}

describe('dns-01', () => {
  test(
    'proves a name and its wildcard, which share one record name, and takes both records away again',
    async () => {
      const acme = await issuer();
      const { chain } = await acme.order(['*.shop.example.test', 'shop.example.test', 'deep.under.shop.example.test']);
      const [leaf] = parseCertificates(chain);
      expect(leaf?.subjectAltName?.split(', ').sort()).toEqual([
        'DNS:*.shop.example.test',
        'DNS:deep.under.shop.example.test',
        'DNS:shop.example.test',
      ]);
      expect(bind.output()).toContain('updating zone');
      expect(await texts('_acme-challenge.shop.example.test')).toEqual([]);
      expect(await texts('_acme-challenge.deep.under.shop.example.test')).toEqual([]);
      await acme.stop();
    },
    orderMs,
  );

  test.each<readonly [string, () => Partial<Rfc2136>, readonly string[], RegExp]>([
    [
      'the key is another',
      () => ({ tsigSecretRef: { name: 'tsig-other', key: 'key' } }),
      ['a.shop.example.test'],
      /BADSIG/,
    ],
    ['the key has another name', () => ({ tsigKeyName: 'nobody' }), ['a.shop.example.test'], /BADKEY/],
    ['the algorithm is another', () => ({ tsigAlgorithm: 'HMACSHA256' }), ['a.shop.example.test'], /BADKEY/],
    [
      'the key is no base64',
      () => ({ tsigSecretRef: { name: 'tsig-broken', key: 'key' } }),
      ['a.shop.example.test'],
      /base64/,
    ],
    ['the zone is not there', () => ({}), ['a.elsewhere.test'], /no zone for _acme-challenge\.a\.elsewhere\.test/],
    ['the name server is not there', () => ({ nameserver: '127.0.0.1:1' }), ['a.shop.example.test'], /ECONNREFUSED/],
  ])(
    'says so when %s',
    async (_, change, names, said) => {
      const acme = await issuer(change());
      await expect(acme.order(names)).rejects.toMatchObject({
        reason: 'DnsUpdateFailed',
        retryable: true,
        message: expect.stringMatching(said),
      });
      await acme.stop();
    },
    orderMs,
  );

  test(
    'without a key is refused by a server that wants one',
    async () => {
      const acme = await bench.acme('unsigned', {
        server: pebble.server,
        caBundle: Buffer.from(pebble.trust).toString('base64'),
        solvers: [{ dns01: { rfc2136: { nameserver: bind.address } } }],
      });
      await acme.settled();
      await expect(acme.order(['a.shop.example.test'])).rejects.toMatchObject({
        reason: 'DnsUpdateFailed',
        message: expect.stringMatching(/REFUSED/),
      });
      await acme.stop();
    },
    orderMs,
  );
});

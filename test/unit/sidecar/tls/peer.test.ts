import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Authority } from '../../../../lib/pki/ca.ts';
import { judgeFacts, judgePeer, type PeerFacts, type PeerRequest } from '../../../../sidecar/tls/peer.ts';
import { DAY_MS, type LeafOptions, testAuthority, testLeaf } from '../../../support/pki.ts';

const now = new Date('2026-06-01T12:00:00Z');
const made = new Date('2026-06-01T00:00:00Z');

let authority: Authority;
let stranger: Authority;

beforeAll(async () => {
  [authority, stranger] = [await testAuthority({ now: made }), await testAuthority({ now: made })];
});

async function request(options: LeafOptions & { readonly by?: Authority } = {}): Promise<PeerRequest> {
  const { by = authority, ...leafOptions } = options;
  const leaf = await testLeaf(by, { now: made, ...leafOptions });
  return {
    certificate: new X509Certificate(leaf.certificate),
    chain: { state: 'unchecked' },
    bundle: [new X509Certificate(authority.certificate)],
    trustDomain: 'cluster.local',
    now,
  };
}

describe('judgePeer', () => {
  test('a member of the mesh proves its identity', async () => {
    const given = await request({ service: 'api' });
    expect(judgePeer(given)).toEqual({
      ok: true,
      peer: {
        identity: 'spiffe://cluster.local/ns/shop/svc/api',
        fingerprint: given.certificate.fingerprint256,
        serial: given.certificate.serialNumber,
        issuer: given.certificate.issuer,
        notBefore: given.certificate.validFromDate,
        notAfter: given.certificate.validToDate,
        certificate: given.certificate,
      },
    });
  });

  test('a certificate of another CA proves nothing, whatever it says', async () => {
    expect(judgePeer(await request({ by: stranger }))).toMatchObject({ ok: false, reason: 'unknown_ca' });
  });

  test('an expired certificate is refused on a session that nobody checked', async () => {
    const given = await request({ lifetimeMs: 3_600_000 });
    expect(judgePeer(given)).toMatchObject({ ok: false, reason: 'expired' });
  });

  test('an expired certificate is refused even where OpenSSL said that all is well', async () => {
    const given = await request({ lifetimeMs: 3_600_000 });
    expect(judgePeer({ ...given, chain: { state: 'verified' } })).toMatchObject({ ok: false, reason: 'expired' });
  });

  test('a certificate from the future is refused', async () => {
    const given = await request();
    const early = new Date(made.getTime() - DAY_MS);
    expect(judgePeer({ ...given, chain: { state: 'verified' }, now: early })).toMatchObject({
      reason: 'not_yet_valid',
    });
  });

  test("OpenSSL's refusal stands, in our words", async () => {
    const given = await request();
    const verdict = judgePeer({ ...given, chain: { state: 'rejected', code: 'CERT_NOT_YET_VALID' } });
    expect(verdict).toEqual({ ok: false, reason: 'not_yet_valid', detail: 'CERT_NOT_YET_VALID' });
  });

  test('what OpenSSL accepted must be good by our own rules, too', async () => {
    const given = await request({ by: stranger });
    expect(judgePeer({ ...given, chain: { state: 'verified' } })).toMatchObject({ ok: false, reason: 'unknown_ca' });
    const server = await request({ usages: ['serverAuth'] });
    const chain = { state: 'verified', purpose: 'client' } as const;
    expect(judgePeer({ ...server, chain })).toMatchObject({ ok: false, reason: 'unknown_ca' });
    expect(judgePeer({ ...server, chain: { ...chain, purpose: 'server' } })).toMatchObject({ ok: true });
  });

  test('an identity of another trust domain is none', async () => {
    expect(judgePeer({ ...(await request()), trustDomain: 'other.example' })).toMatchObject({
      ok: false,
      reason: 'identity_mismatch',
    });
  });

  test('the chain is judged before the time, the time before the identity', async () => {
    const old = { lifetimeMs: 3_600_000 };
    const foreign = await request({ ...old, by: stranger });
    expect(judgePeer({ ...foreign, trustDomain: 'other.example' })).toMatchObject({ reason: 'unknown_ca' });
    expect(judgePeer({ ...(await request(old)), trustDomain: 'other.example' })).toMatchObject({ reason: 'expired' });
  });
});

describe('judgeFacts', () => {
  const peer: PeerFacts = {
    identity: 'spiffe://cluster.local/ns/shop/svc/api',
    fingerprint: 'AA',
    serial: '01',
    issuer: 'CN=CA',
    notBefore: made,
    notAfter: new Date('2026-06-01T13:00:00Z'),
  };
  const given = { trustDomain: 'cluster.local', now };

  test.each<[string, Partial<PeerFacts>, string | undefined]>([
    ['is good while it lasts', {}, undefined],
    ['ends with the second of its notAfter', { notAfter: now }, 'expired'],
    ['has not begun before its notBefore', { notBefore: new Date(now.getTime() + 1) }, 'not_yet_valid'],
    ['needs an identity', { identity: '' }, 'identity_mismatch'],
    [
      'needs an identity of the form that Tabard issues',
      { identity: 'spiffe://cluster.local/shop/api' },
      'identity_mismatch',
    ],
  ])('a known certificate %s', (_name, change, reason) => {
    const verdict = judgeFacts({ ...peer, ...change }, given);
    expect(verdict.ok ? undefined : verdict.reason).toBe(reason);
  });
});

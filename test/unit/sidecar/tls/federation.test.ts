// Who is believed to be whom between trust domains: every domain has CAs of its own, and none speaks for another.
import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { federationOf } from '../../../../sidecar/tls/federation.ts';
import { judgeFacts, judgePeer, type PeerTrust } from '../../../../sidecar/tls/peer.ts';
import { otherAuthority, otherLeaf } from '../../../support/federation.ts';
import type { Foreign } from '../../../support/foreign.ts';
import { testAuthority } from '../../../support/pki.ts';

const now = new Date();
const ours = 'spiffe://cluster.local/ns/shop/svc/web';
const account = 'spiffe://istio.example/ns/shop/sa/web';
let istio: Foreign;
let partner: Foreign;
/** An own-domain root of somebody else: a mesh that was here before. */
let former: Foreign;
let trust: PeerTrust;

const pemOf = ({ certificate }: Foreign): string => certificate.toString();

beforeAll(async () => {
  [istio, partner, former] = ['istio', 'partner', 'former'].map((name) => otherAuthority(name)) as [
    Foreign,
    Foreign,
    Foreign,
  ];
  const bundle = [new X509Certificate((await testAuthority()).certificate), former.certificate];
  const told = [
    { trustDomain: 'istio.example', bundle: pemOf(istio) },
    { trustDomain: 'partner.example', bundle: pemOf(partner) },
  ];
  trust = { trustDomain: 'cluster.local', bundle, federated: federationOf(told, bundle).members };
});

function judged(
  by: Foreign,
  uris: readonly string[],
  { as = 'client', sends = [] }: { readonly as?: 'client' | 'server'; readonly sends?: readonly Foreign[] } = {},
): string {
  const leaf = otherLeaf(by, uris);
  const chain = { state: 'verified', purpose: as, intermediates: sends.map(({ certificate }) => certificate) } as const;
  const verdict = judgePeer({ ...trust, certificate: new X509Certificate(leaf.certificate), chain, now });
  return verdict.ok ? verdict.peer.identity : verdict.reason;
}

describe('a peer of a federated domain', () => {
  test.each([account, 'spiffe://istio.example/ns/shop/svc/web', 'spiffe://istio.example/a/b.c/D_e-f'])(
    'is accepted as the client %s',
    (uri) => {
      expect(judged(istio, [uri])).toBe(uri);
    },
  );

  test('is accepted below an intermediate that it sends', () => {
    const issuing = otherAuthority('issuing', istio);
    expect(judged(issuing, [account], { sends: [issuing] })).toBe(account);
    expect(judged(issuing, [account])).toBe('unknown_ca');
  });

  test('is never a server', () => {
    expect(judged(istio, [account], { as: 'server' })).toBe('unknown_ca');
  });

  test.each<[string, () => [Foreign, readonly string[]], string]>([
    ['ours, by a CA of theirs', () => [istio, [ours]], 'unknown_ca'],
    ['theirs, by a root of ours', () => [former, [account]], 'unknown_ca'],
    ['of one domain, by a CA of another', () => [partner, [account]], 'unknown_ca'],
    ['of a domain that is not federated, by a federated CA', () => [istio, ['spiffe://x.example/a']], 'unknown_ca'],
    [
      'of a domain that is not federated, by a root of ours',
      () => [former, ['spiffe://x.example/a']],
      'identity_mismatch',
    ],
    ['theirs and ours at once', () => [istio, [account, ours]], 'unknown_ca'],
    ['ours and theirs at once, by a root of ours', () => [former, [ours, account]], 'identity_mismatch'],
    ['none', () => [istio, []], 'unknown_ca'],
  ])('cannot take an identity that is %s', (_, made, reason) => {
    expect(judged(...made())).toBe(reason);
  });

  test.each([
    'spiffe://Istio.example/ns/shop/sa/web',
    'spiffe://istio.example',
    'spiffe://istio.example/',
    'spiffe://istio.example/a/../b',
    'spiffe://istio.example/a//b',
    'spiffe://istio.example/a/',
    'spiffe://istio.example/a?b=c',
    'spiffe://istio.example/a#b',
    'spiffe://istio.example:443/a',
    'spiffe://user@istio.example/a',
    'spiffe://istio.example/%2e',
    `spiffe://istio.example/${'a'.repeat(2_100)}`,
    'https://istio.example/a',
  ])('cannot take %s, which is no SPIFFE ID of a workload', (uri) => {
    expect(judged(istio, [uri])).toBe('unknown_ca');
  });
});

describe('a root of our own domain that is not ours', () => {
  test('is believed what it says of services and of service accounts, which are no services', () => {
    expect(judged(former, [ours])).toBe(ours);
    expect(judged(former, ['spiffe://cluster.local/ns/shop/sa/web'])).toBe('spiffe://cluster.local/ns/shop/sa/web');
  });

  test('is believed nothing else', () => {
    expect(judged(former, ['spiffe://cluster.local/spire/server'])).toBe('identity_mismatch');
  });
});

describe('an identity that was proved before', () => {
  const facts = { fingerprint: 'f', serial: '1', issuer: 'i', notBefore: new Date(0), notAfter: new Date(4e12) };

  test('holds as long as its domain is federated', () => {
    const peer = { ...facts, identity: account };
    expect(judgeFacts(peer, { ...trust, now })).toMatchObject({ ok: true });
    expect(judgeFacts(peer, { trustDomain: trust.trustDomain, now })).toMatchObject({ reason: 'identity_mismatch' });
  });
});

describe('what the control API tells of other domains', () => {
  test('is read domain by domain; what does not parse takes nothing from the others', () => {
    const { members, authorities } = federationOf(
      [
        { trustDomain: 'broken.example', bundle: 'garbage' },
        { trustDomain: 'istio.example', bundle: pemOf(istio) },
        { trustDomain: 'istio.example', bundle: pemOf(partner) },
      ],
      [],
    );
    expect([...members.keys()]).toEqual(['istio.example']);
    expect(authorities).toHaveLength(2);
  });

  test('never makes a CA of our own speak for another domain, too', () => {
    const told = [{ trustDomain: 'istio.example', bundle: pemOf(former) + pemOf(istio) }];
    expect(federationOf(told, trust.bundle).authorities.map(({ subject }) => subject)).toEqual(['CN=istio']);
  });

  test('has one fingerprint for the same CAs in any order, and another for any other', () => {
    const both = [istio, partner].map((each) => ({
      trustDomain: each.certificate.subject.slice(3),
      bundle: pemOf(each),
    }));
    const of = (told: typeof both): string => federationOf(told, []).fingerprint;
    expect(of(both)).toBe(of([...both].reverse()));
    expect(of(both)).not.toBe(of(both.slice(1)));
    expect(of([])).toBe('');
  });
});

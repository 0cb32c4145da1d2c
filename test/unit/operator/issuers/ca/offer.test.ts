// A CA that somebody else keeps: what is taken and what is refused with which words, and what becomes of the CA in use meanwhile.

import { X509Certificate } from 'node:crypto';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { resources } from '../../../../../lib/kube/resources.ts';
import { fingerprint, parseCertificates } from '../../../../../lib/pki/bundle.ts';
import { generateKey, privateKeyPem } from '../../../../../lib/pki/keys.ts';
import { chainVerdict } from '../../../../../lib/pki/verify.ts';
import { judgeOffer, type Offer, type OfferTexts } from '../../../../../operator/issuers/ca/offer.ts';
import { createAuthorityIssuer } from '../../../../../operator/issuers/selfsigned.ts';
import { KeeperBench, type KeeperReplica, system } from '../../../../support/authority.ts';
import { type Foreign, type ForeignOptions, foreign } from '../../../../support/foreign.ts';
import { DAY_MS, testAuthority } from '../../../../support/pki.ts';

const bench = { at: Date.parse('2026-11-22T10:00:00Z') };
const times = { notBefore: new Date(bench.at - DAY_MS), notAfter: new Date(bench.at + 300 * DAY_MS) };
const make = (name: string, options: Partial<ForeignOptions> = {}): Foreign => foreign({ name, ...times, ...options });
const pem = (...all: readonly Foreign[]): string => all.map(({ certificate }) => certificate.toString()).join('');
const keyOf = ({ key }: Foreign): string => privateKeyPem(key);

const root = make('root', { pathLength: 2 });
const upper = make('upper', { by: root, pathLength: 1 });
const lower = make('lower', { by: upper, pathLength: 0 });
const lowest = make('lowest', { by: lower, pathLength: 0 });
const plain: OfferTexts = { certificate: pem(root), key: keyOf(root), bundle: pem(root) };
const below: OfferTexts = { certificate: pem(lower, upper), key: keyOf(lower), bundle: pem(root) };

const judge = (texts: OfferTexts): Offer => judgeOffer(texts, 'cluster.local', new Date(bench.at));

describe('a CA that is offered', () => {
  test.each<[string, OfferTexts, number, Foreign]>([
    ['self-signed', plain, 1, root],
    ['self-signed without ca.crt', { ...plain, bundle: '' }, 1, root],
    ['below a root', { certificate: pem(upper), key: keyOf(upper), bundle: pem(root) }, 1, root],
    ['below a root by way of another', below, 2, root],
    ['with more roots in ca.crt than its own', { ...below, bundle: pem(make('other'), root) }, 2, root],
    ['with its root at the end of tls.crt, too', { ...below, certificate: pem(lower, upper, root) }, 2, root],
    ['with text between the blocks', { ...plain, certificate: `# our CA\n${pem(root)}` }, 1, root],
  ])('is taken: %s', (_, texts, length, anchor) => {
    const offer = judge(texts);
    if (offer.kind !== 'good') throw new Error(offer.message);
    expect(offer.generation.path).toHaveLength(length);
    expect(offer.generation.anchors.map(fingerprint)).toEqual([fingerprint(anchor.certificate)]);
  });

  const expired = make('expired', { notAfter: new Date(bench.at - 1_000) });
  const early = make('early', { notBefore: new Date(bench.at + DAY_MS) });
  const leaf = make('leaf', { ca: false });
  test.each<[string, OfferTexts, string, string]>([
    ['without tls.crt', { ...plain, certificate: '' }, 'AuthorityIncomplete', 'tls.crt is missing'],
    ['without tls.key', { ...plain, key: '\n' }, 'AuthorityIncomplete', 'tls.key is missing'],
    ['below a root, without ca.crt', { ...below, bundle: '' }, 'AuthorityBroken', 'ca.crt'],
    [
      'with the root of another',
      { ...below, bundle: pem(make('other')) },
      'AuthorityBroken',
      'no way leads from it to a root',
    ],
    [
      'with the key of another',
      { ...plain, key: keyOf(upper) },
      'AuthorityBroken',
      'tls.key is not the key of the certificate',
    ],
    [
      'in the wrong order, root first',
      { ...below, certificate: pem(upper, lower) },
      'AuthorityBroken',
      'must be first, it is number 2',
    ],
    [
      'with a chain that does not follow',
      { ...below, certificate: pem(lower, root, upper) },
      'AuthorityBroken',
      'wrong order',
    ],
    [
      'that is no CA',
      { certificate: pem(leaf), key: keyOf(leaf), bundle: pem(leaf) },
      'AuthorityBroken',
      'not one of a CA',
    ],
    [
      'that has expired',
      { certificate: pem(expired), key: keyOf(expired), bundle: '' },
      'AuthorityExpired',
      'renew it',
    ],
    [
      'that is not valid yet',
      { certificate: pem(early), key: keyOf(early), bundle: '' },
      'AuthorityNotYetValid',
      'check the clocks',
    ],
    [
      'with a key among the certificates',
      { ...plain, certificate: pem(root) + keyOf(root) },
      'AuthorityBroken',
      'a block "PRIVATE KEY"',
    ],
    [
      'with a certificate after the key',
      { ...plain, key: keyOf(root) + pem(root) },
      'AuthorityBroken',
      'a block "CERTIFICATE"',
    ],
    ['with two keys', { ...plain, key: keyOf(root) + keyOf(upper) }, 'AuthorityBroken', 'one of 2 in its text'],
    ['with a byte order mark', { ...plain, certificate: `\uFEFF${pem(root)}` }, 'AuthorityBroken', 'byte order mark'],
    ['with Windows line ends', { ...plain, key: keyOf(root).replaceAll('\n', '\r\n') }, 'AuthorityBroken', 'dos2unix'],
    [
      'of five megabytes',
      { ...plain, certificate: pem(root).padEnd(5_000_000, '\n') },
      'AuthorityBroken',
      '5000000 characters',
    ],
    ['cut short', { ...plain, certificate: pem(root).slice(0, -40) }, 'AuthorityBroken', 'cut short'],
    ['that is no PEM', { ...plain, certificate: 'hello' }, 'AuthorityBroken', 'no PEM block'],
    [
      'that is garbled inside',
      { ...plain, certificate: pem(root).replace(/\n[A-Za-z0-9+]{4}/, '\n!!!!') },
      'AuthorityBroken',
      'garbled',
    ],
    [
      'below so many that peers would not follow',
      { certificate: pem(lowest, lower, upper), key: keyOf(lowest), bundle: pem(root) },
      'AuthorityBroken',
      'no way leads',
    ],
    [
      'below one that allows none below',
      { certificate: pem(lowest), key: keyOf(lowest), bundle: pem(lower) },
      'AuthorityBroken',
      'peers would refuse what this CA signs',
    ],
  ])('is refused with what is wrong: %s', (_, texts, reason, words) => {
    expect(judge(texts)).toEqual({ kind: 'refused', reason, message: expect.stringContaining(words) });
  });

  test('is refused without a word of its key', () => {
    const garbled = keyOf(root).replace(/\n[A-Za-z0-9+/]{20}/, '\nAAAABBBBCCCCDDDDEEEE');
    const offer = judge({ ...plain, key: garbled });
    expect(JSON.stringify(offer)).not.toContain('AAAABBBB');
    expect(offer.kind).toBe('refused');
  });

  test('of another trust domain is refused', async () => {
    const { certificate, privateKey } = await testAuthority({ trustDomain: 'other.example', now: new Date(bench.at) });
    const offer = judge({ certificate, key: privateKeyPem(privateKey), bundle: '' });
    expect(offer).toMatchObject({ kind: 'refused', message: expect.stringContaining('other.example') });
  });
});

describe('an issuer whose CA is kept by somebody else', () => {
  let cluster: KeeperBench;
  let replica: KeeperReplica;
  const put = ({ certificate, key, bundle }: OfferTexts): void => {
    const data = { 'tls.crt': certificate, 'tls.key': key, 'ca.crt': bundle };
    const encoded = Object.entries(data).map(([name, text]) => [name, Buffer.from(text).toString('base64')]);
    cluster.kube.seed(resources.secrets, {
      metadata: { name: 'shop-ca', namespace: system },
      data: Object.fromEntries(encoded),
    });
  };
  const second = make('second');
  const other: OfferTexts = { certificate: pem(second), key: keyOf(second), bundle: '' };
  const signs = (): string | undefined => replica.authorities.of('shop').current()?.authority.fingerprint;
  const turn = async (): Promise<void> => {
    cluster.clock.ms += 10_000;
    await replica.reconcile('shop');
  };

  beforeEach(async () => {
    cluster = new KeeperBench();
    cluster.clock.ms = bench.at;
    replica = cluster.replica({ defaultIssuer: { lifetimeMs: 90 * DAY_MS } });
    await replica.reconcile();
    cluster.issuer('shop', { ca: { secretRef: { name: 'shop-ca' } } });
  });

  test('cannot sign before there is a CA, says so, and never signs with another', async () => {
    await replica.reconcile('shop');
    expect(cluster.condition('Ready', 'shop')).toBe('False AuthorityMissing');
    expect(signs()).toBeUndefined();
    expect(cluster.secret('tabard-ca-shop')).toBeUndefined();
  });

  test('signs with it once it is there; leaves come with the chain that leads to the root', async () => {
    put(below);
    await replica.reconcile('shop');
    await replica.reconcile('shop');
    expect(cluster.condition('Ready', 'shop')).toBe('True CanSign');
    const issuer = createAuthorityIssuer(replica.authorities.of('shop'), () => undefined);
    const now = cluster.clock.now();
    const state = issuer.state(now);
    if (!state.ready) throw new Error(state.message);
    const keys = await generateKey('ECDSA-P256');
    const identity = { trustDomain: 'cluster.local', namespace: 'shop', service: 'web' };
    const order = { ...keys, identity, dnsNames: ['web'], lifetimeMs: DAY_MS, now };
    const signed = await issuer.sign(order, new AbortController().signal);
    const [first, ...intermediates] = parseCertificates(signed.chain);
    if (first === undefined) throw new Error('no leaf');
    expect(intermediates.map(fingerprint)).toEqual([lower, upper].map(({ certificate }) => fingerprint(certificate)));
    const bundle = parseCertificates(state.trustBundle);
    expect(bundle.map(fingerprint)).toEqual([fingerprint(root.certificate)]);
    expect(chainVerdict({ leaf: first, intermediates, bundle, now })).toMatchObject({ ok: true });
    expect(new X509Certificate(signed.chain).checkIssued(lower.certificate)).toBe(true);
  });

  test('takes another one over in steps: the former one signs until every peer trusts the new one', async () => {
    put(plain);
    await replica.reconcile('shop');
    const former = signs();
    put(other);
    replica.peers = [{ name: 'shop/web-1', kind: 'sidecar', trusts: new Map(), mine: true, signedBy: undefined }];
    await turn();
    expect([signs(), cluster.status('shop')?.rotation?.phase]).toEqual([former, 'Prepared']);
    replica.peers = [];
    await turn();
    expect(signs()).toBe(fingerprint(second.certificate));
    await turn();
    await turn();
    expect(cluster.status('shop')?.rotation?.phase).toBe('Idle');
    expect(cluster.status('shop')?.trustBundle).toBe(pem(second));
  });

  test('changes to another CA below the same root without a change of trust', async () => {
    put(below);
    await replica.reconcile('shop');
    put({ certificate: pem(upper), key: keyOf(upper), bundle: pem(root) });
    const trusted = new Map([[fingerprint(root.certificate), cluster.clock.now()]]);
    replica.peers = [{ name: 'shop/web-1', kind: 'sidecar', trusts: trusted, mine: false, signedBy: undefined }];
    for (let step = 0; step < 4; step += 1) await turn();
    expect(signs()).toBe(fingerprint(upper.certificate));
    expect(cluster.status('shop')?.trustBundle).toBe(pem(root));
    expect(cluster.status('shop')?.rotation?.phase).toBe('Idle');
  });

  test.each<[string, () => unknown]>([
    ['is broken', () => put({ ...plain, key: keyOf(upper) })],
    ['is incomplete', () => put({ ...plain, key: '' })],
    ['is deleted', () => cluster.kube.delete(resources.secrets, { namespace: system, name: 'shop-ca' })],
  ])('goes on with the last good CA when the Secret %s, and says what is wrong', async (_, spoil) => {
    put(plain);
    await replica.reconcile('shop');
    await replica.reconcile('shop');
    const former = signs();
    await spoil();
    await turn();
    await turn();
    expect(signs()).toBe(former);
    expect(cluster.condition('Ready', 'shop')).toMatch(/^False Authority(Broken|Incomplete|Missing)$/);
    put(plain);
    await turn();
    expect(cluster.condition('Ready', 'shop')).toBe('True CanSign');
  });

  test('goes on with it also after a restart of the operator, while what is offered is broken', async () => {
    put(plain);
    await replica.reconcile('shop');
    const former = signs();
    put({ ...plain, key: '' });
    replica = cluster.replica();
    await replica.reconcile('shop');
    expect(signs()).toBe(former);
  });

  test('takes over what replaces an expired CA at once', async () => {
    put(plain);
    await replica.reconcile('shop');
    cluster.clock.ms += 301 * DAY_MS;
    await turn();
    expect(cluster.condition('Ready', 'shop')).toBe('False AuthorityExpired');
    const later = make('later', { notAfter: new Date(bench.at + 600 * DAY_MS) });
    put({ certificate: pem(later), key: keyOf(later), bundle: '' });
    await turn();
    expect(signs()).toBe(fingerprint(later.certificate));
  });
});

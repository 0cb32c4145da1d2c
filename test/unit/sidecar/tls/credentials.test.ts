import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { type Authority, loadAuthority } from '../../../../lib/pki/ca.ts';
import { privateKeyPem } from '../../../../lib/pki/keys.ts';
import { MemoryCertificateSource } from '../../../../lib/runtime/credentials.ts';
import { createLogger } from '../../../../lib/runtime/logger.ts';
import { CredentialKeeper, type TrustSettings } from '../../../../sidecar/tls/credentials.ts';
import type { Generation } from '../../../../sidecar/tls/generation.ts';
import { foreign } from '../../../support/foreign.ts';
import { DAY_MS, type TestLeaf, testAuthority, testLeaf } from '../../../support/pki.ts';

let authority: Authority;
let other: Authority;
beforeAll(async () => {
  [authority, other] = [await testAuthority(), await testAuthority()];
});

const tls: TrustSettings['tls'] = { minVersion: '1.3', ciphers: [], groups: ['X25519'] };

function bench() {
  const source = new MemoryCertificateSource();
  const swaps: Generation[] = [];
  let rejected = 0;
  const keeper = new CredentialKeeper({
    source,
    logger: createLogger({ name: 'test', level: 'silent' }),
    onRejected: () => {
      rejected += 1;
    },
  });
  keeper.subscribe((next) => swaps.push(next));
  const offer = ({ certificate, key, bundle }: TestLeaf) =>
    source.offer({ certificate, key, trustBundle: bundle }, new Date());
  return { keeper, swaps, offer, rejected: () => rejected };
}

const settings = (trustBundle: string): TrustSettings => ({ trustBundle, trustDomain: 'cluster.local', tls });

describe('credentials in use', () => {
  test('need a certificate and a bundle, in whatever order they come', async () => {
    for (const certificateFirst of [true, false]) {
      const { keeper, offer } = bench();
      const leaf = await testLeaf(authority);
      const steps = [() => void offer(leaf), () => keeper.configure(settings(authority.certificate))];
      for (const step of certificateFirst ? steps : steps.toReversed()) {
        expect(keeper.current()).toBeUndefined();
        step();
      }
      expect(keeper.current()?.serial).toBe(leaf.serial);
    }
  });

  test('change with the certificate, the bundle and the TLS policy, and with nothing else', async () => {
    const { keeper, swaps, offer } = bench();
    const leaf = await testLeaf(authority);
    offer(leaf);
    keeper.configure(settings(authority.certificate));
    keeper.configure(settings(authority.certificate));
    offer(leaf);
    expect(swaps.length).toBe(1);
    offer(await testLeaf(authority));
    keeper.configure(settings(authority.certificate + other.certificate));
    keeper.configure({ ...settings(authority.certificate + other.certificate), tls: { ...tls, groups: ['P-256'] } });
    expect(swaps.length).toBe(4);
    expect(new Set(swaps.map((generation) => generation.sessions)).size).toBe(4);
  });

  test('stay as they are when a new bundle cannot be used', async () => {
    const { keeper, offer, rejected } = bench();
    const leaf = await testLeaf(authority);
    offer(leaf);
    keeper.configure(settings(authority.certificate));
    keeper.configure(settings('no certificate in here'));
    expect(keeper.current()?.serial).toBe(leaf.serial);
    expect(rejected()).toBe(1);
  });
});

describe('peers across a swap', () => {
  test('stay known under the same trust, and are lost when their CA has gone', async () => {
    const { keeper, swaps, offer } = bench();
    const both = authority.certificate + other.certificate;
    offer(await testLeaf(authority));
    keeper.configure(settings(both));
    const [ours, theirs] = [await testLeaf(authority), await testLeaf(other)].map(
      ({ certificate }) => new X509Certificate(certificate),
    );
    for (const certificate of [ours, theirs]) {
      if (certificate !== undefined) swaps[0]?.judge(certificate, { state: 'unchecked' }, new Date());
    }
    offer(await testLeaf(authority));
    const [first, second] = swaps;
    if (first === undefined || second === undefined) throw new Error('there were two swaps');
    expect(second.inherit(first, new Date())).toEqual(new Set());
    keeper.configure(settings(authority.certificate));
    expect(swaps[2]?.inherit(second, new Date())).toEqual(new Set([theirs?.fingerprint256]));
  });

  test('are forgotten once they have expired', async () => {
    const { keeper, swaps, offer } = bench();
    offer(await testLeaf(authority));
    keeper.configure(settings(authority.certificate + other.certificate));
    const theirs = new X509Certificate((await testLeaf(other, { lifetimeMs: 60_000 })).certificate);
    expect(swaps[0]?.judge(theirs, { state: 'unchecked' }, new Date())).toMatchObject({ ok: true });
    offer(await testLeaf(authority));
    keeper.configure(settings(authority.certificate));
    const [first, second, third] = swaps;
    if (first === undefined || second === undefined || third === undefined) throw new Error('there were three swaps');
    expect(second.inherit(first, theirs.validToDate)).toEqual(new Set());
    // Had it been taken over, it would be lost with its CA.
    expect(third.inherit(second, new Date())).toEqual(new Set());
    expect(third.inherit(first, new Date())).toEqual(new Set([theirs.fingerprint256]));
  });

  test('are not lost when their CA has left in good order, but come in no more', async () => {
    const { keeper, swaps, offer } = bench();
    offer(await testLeaf(authority));
    keeper.configure(settings(authority.certificate + other.certificate));
    const theirs = new X509Certificate((await testLeaf(other)).certificate);
    const unchecked = { state: 'unchecked' } as const;
    swaps[0]?.judge(theirs, unchecked, new Date());
    keeper.configure({ ...settings(authority.certificate), retired: [other.fingerprint] });
    const [first, second] = swaps;
    if (first === undefined || second === undefined) throw new Error('there were two swaps');
    expect(second.inherit(first, new Date())).toEqual(new Set());
    expect(second.judge(theirs, unchecked, new Date())).toMatchObject({ ok: false, reason: 'unknown_ca' });
  });

  test('are lost when a CA has left in good order, and theirs has left with it in bad', async () => {
    const { keeper, swaps, offer } = bench();
    offer(await testLeaf(authority));
    keeper.configure(settings(authority.certificate + other.certificate));
    const theirs = new X509Certificate((await testLeaf(other)).certificate);
    swaps[0]?.judge(theirs, { state: 'unchecked' }, new Date());
    keeper.configure({ ...settings(authority.certificate), retired: ['ab'.repeat(32)] });
    const [first, second] = swaps;
    if (first === undefined || second === undefined) throw new Error('there were two swaps');
    expect(second.inherit(first, new Date())).toEqual(new Set([theirs.fingerprint256]));
  });

  test('stay known when their CA stands below one of the bundle, by what they sent in their handshake', async () => {
    const times = { notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + DAY_MS) };
    const root = foreign({ name: 'Root of the company', ...times });
    const issuing = foreign({ name: 'Issuing CA', by: root, ...times });
    const { certificate, key } = issuing;
    const signer = loadAuthority(certificate.toString(), privateKeyPem(key), 'cluster.local');
    const peer = new X509Certificate((await testLeaf(signer)).certificate);
    const { keeper, swaps, offer } = bench();
    offer(await testLeaf(authority));
    keeper.configure(settings(authority.certificate + root.certificate.toString()));
    const chain = { state: 'verified', purpose: 'client', intermediates: [certificate] } as const;
    expect(swaps[0]?.judge(peer, chain, new Date())).toMatchObject({ ok: true });
    keeper.configure(settings(authority.certificate + other.certificate + root.certificate.toString()));
    const [first, second] = swaps;
    if (first === undefined || second === undefined) throw new Error('there were two swaps');
    expect(second.inherit(first, new Date())).toEqual(new Set());
    keeper.configure(settings(authority.certificate));
    expect(swaps[2]?.inherit(second, new Date())).toEqual(new Set([peer.fingerprint256]));
  });
});

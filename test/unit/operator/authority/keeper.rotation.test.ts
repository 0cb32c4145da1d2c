// Rotations as the keeper carries them out on the API server in memory: what lies in the Secret and what the status says after each
// step, exchanges by hand, and an end of the operator at every single call.
import { X509Certificate } from 'node:crypto';
import { beforeEach, describe, expect, test } from '@jest/globals';
import type { KubeClient } from '../../../../lib/kube/client.ts';
import type { Secret } from '../../../../lib/kube/object.ts';
import { resources } from '../../../../lib/kube/resources.ts';
import { fingerprint, parseCertificates } from '../../../../lib/pki/bundle.ts';
import { privateKeyPem } from '../../../../lib/pki/keys.ts';
import type { Peer } from '../../../../operator/authority/rotationview.ts';
import { KeeperBench, type KeeperReplica, system } from '../../../support/authority.ts';
import { DAY_MS, testAuthority } from '../../../support/pki.ts';

const lifetimeMs = 90 * DAY_MS;
const settleMs = 10_000;

let bench: KeeperBench;
let replica: KeeperReplica;

beforeEach(async () => {
  bench = new KeeperBench();
  replica = bench.replica({ defaultIssuer: { lifetimeMs } });
  await replica.reconcile();
  await replica.reconcile();
});

const text = (secret: Secret | undefined, key: string): string =>
  Buffer.from(secret?.data?.[key] ?? '', 'base64').toString('utf8');
const ca = (key = 'tls.crt'): string => fingerprint(new X509Certificate(text(bench.secret('tabard-ca'), key)));
const trusted = (): readonly string[] => parseCertificates(text(bench.secret('tabard-ca'), 'ca.crt')).map(fingerprint);
const phase = (): string | undefined => bench.status()?.rotation?.phase;
const keys = (): readonly string[] => Object.keys(bench.secret('tabard-ca')?.data ?? {}).sort();

/** A pod that has done what the Secret asks of it, or only a part. */
function pod(
  name: string,
  { trusts = trusted(), signedBy = '' }: { trusts?: readonly string[]; signedBy?: string } = {},
): Peer {
  const since = bench.clock.now();
  return {
    name,
    kind: 'sidecar',
    trusts: new Map(trusts.map((each) => [each, since])),
    mine: true,
    signedBy: { keyId: signedBy === '' ? (replica.authority.current()?.authority.keyId ?? '') : signedBy, since },
  };
}

/** Everybody follows, time passes, and the keeper looks. */
async function turn(peers: readonly Peer[] = [pod('shop/web-1')]): Promise<void> {
  replica.peers = peers;
  bench.clock.ms += settleMs;
  await replica.reconcile();
}

async function ask(
  annotations: Record<string, string>,
  spec: object = { selfSigned: { lifetime: '90d' } },
): Promise<void> {
  bench.issuer('cluster', spec, annotations);
  await replica.reconcile();
}

describe('a rotation', () => {
  test('lies in one Secret at every step, and status tells the same', async () => {
    const old = ca();
    await ask({ 'tabard.dev/rotate': 'audit' });
    const next = ca('next.crt');
    expect([phase(), keys(), trusted(), ca()]).toEqual([
      'Prepared',
      ['ca.crt', 'next.crt', 'next.key', 'tls.crt', 'tls.key'],
      [old, next],
      old,
    ]);
    expect(bench.status()?.authorities?.map(({ role, fingerprint: of }) => [role, of])).toEqual([
      ['Active', old],
      ['Next', next],
    ]);
    expect(bench.status()?.rotation).toMatchObject({ reason: 'audit', handledReasons: ['rotate:audit'] });

    await turn();
    expect([phase(), keys(), [...trusted()].sort(), ca(), ca('previous.crt')]).toEqual([
      'Active',
      ['ca.crt', 'previous.crt', 'previous.key', 'tls.crt', 'tls.key'],
      [next, old].sort(),
      next,
      old,
    ]);

    await turn();
    expect([phase(), keys(), trusted(), ca()]).toEqual(['Retiring', ['ca.crt', 'tls.crt', 'tls.key'], [next], next]);
    expect(bench.status()?.authorities).toMatchObject([
      { role: 'Active', fingerprint: next },
      { role: 'Retiring', fingerprint: old },
    ]);

    await turn();
    expect(phase()).toBe('Idle');
    expect(bench.status()?.authorities).toMatchObject([{ role: 'Active', fingerprint: next }]);
    expect(bench.status()?.trustBundle).toBe(text(bench.secret('tabard-ca'), 'ca.crt'));
    expect(replica.events.slice(1)).toEqual([
      'Normal cluster RotationPrepared',
      'Normal cluster RotationActivated',
      'Normal cluster RotationRetiring',
      'Normal cluster RotationFinished',
    ]);
    expect(await replica.metrics.text()).toContain('tabard_ca_rotation_step_total{issuer="cluster",step="retire"} 1');
  });

  test('begins by itself at half of the life', async () => {
    bench.clock.ms += 45 * DAY_MS;
    await replica.reconcile();
    expect(phase()).toBe('Prepared');
  });

  test('does not advance while one pod lags, and names it in status and condition', async () => {
    const old = ca();
    await ask({ 'tabard.dev/rotate': 'audit' });
    for (let day = 0; day < 30; day += 1) {
      bench.clock.ms += DAY_MS;
      await turn([pod('shop/web-1'), pod('shop/api-1', { trusts: [old] })]);
    }
    expect(phase()).toBe('Prepared');
    expect(bench.status()?.rotation).toMatchObject({
      waitingFor: ['shop/api-1: does not have the new CA in its bundle'],
      waitingCount: 1,
    });
    expect(bench.condition('Rotating')).toBe('True Lagging');
    expect(await replica.metrics.text()).toContain('tabard_ca_rotation_lagging{issuer="cluster"} 1');
    await turn();
    expect(phase()).toBe('Active');
  });

  test('names at most twenty who lag, and counts all', async () => {
    await ask({ 'tabard.dev/rotate': 'audit' });
    await turn(Array.from({ length: 50 }, (_, index) => pod(`shop/web-${index}`, { trusts: [] })));
    expect(bench.status()?.rotation?.waitingFor).toHaveLength(20);
    expect(bench.status()?.rotation?.waitingCount).toBe(50);
  });

  test('is paused and resumed', async () => {
    await ask({ 'tabard.dev/rotate': 'audit' });
    const spec = { selfSigned: { lifetime: '90d' }, rotation: { paused: true } };
    await ask({ 'tabard.dev/rotate': 'audit' }, spec);
    await turn();
    expect([phase(), bench.condition('Rotating')]).toEqual(['Prepared', 'True Paused']);
    await ask({ 'tabard.dev/rotate': 'audit' });
    expect(phase()).toBe('Active');
  });

  test('is undone while prepared: nothing of the next CA is left, and it does not begin again at once', async () => {
    bench.clock.ms += 45 * DAY_MS;
    await replica.reconcile();
    const old = ca();
    await ask({ 'tabard.dev/undo-rotation': 'not today' });
    expect([phase(), keys(), trusted()]).toEqual(['Idle', ['ca.crt', 'tls.crt', 'tls.key'], [old]]);
    await turn();
    expect(phase()).toBe('Idle');
    bench.clock.ms += 10 * DAY_MS;
    await replica.reconcile();
    expect(phase()).toBe('Prepared');
  });

  test('is undone while active: the former CA signs again, and the newer one leaves when nobody uses it', async () => {
    const old = ca();
    await ask({ 'tabard.dev/rotate': 'audit' });
    await turn();
    const next = ca();
    await ask({ 'tabard.dev/undo-rotation': 'breaks Java' });
    expect([phase(), ca(), [...trusted()].sort()]).toEqual(['Active', old, [next, old].sort()]);
    const moved = replica.authority.current()?.authority.keyId ?? '';
    await turn([pod('shop/web-1', { signedBy: 'of the newer one' })]);
    expect(phase()).toBe('Active');
    await turn([pod('shop/web-1', { signedBy: moved })]);
    await turn();
    expect([phase(), trusted()]).toEqual(['Idle', [old]]);
  });

  test('acts on each reason once, also when the notes in the Secret are lost', async () => {
    await ask({ 'tabard.dev/rotate': 'audit' });
    for (let step = 0; step < 4; step += 1) await turn();
    const done = ca();
    const { annotations: _, ...metadata } = bench.secret('tabard-ca')?.metadata ?? { name: '' };
    bench.kube.seed(resources.secrets, { ...bench.secret('tabard-ca'), metadata: { ...metadata, name: 'tabard-ca' } });
    for (let step = 0; step < 4; step += 1) await turn();
    expect(ca()).toBe(done);
    await ask({ 'tabard.dev/rotate': 'audit again' });
    expect(phase()).toBe('Prepared');
  });

  test('goes on on another replica, from each phase', async () => {
    const old = ca();
    await ask({ 'tabard.dev/rotate': 'audit' });
    const seen: unknown[] = [];
    for (let step = 0; step < 3; step += 1) {
      replica = bench.replica({ defaultIssuer: { lifetimeMs } });
      replica.see();
      await turn();
      seen.push(phase());
    }
    expect(seen).toEqual(['Active', 'Retiring', 'Idle']);
    expect(ca()).not.toBe(old);
  });
});

describe('the order to distrust', () => {
  test('replaces the CA at once, drops it from the bundle, and says what breaks', async () => {
    const old = ca();
    replica.peers = [pod('shop/web-1'), pod('shop/api-1')];
    await ask({ 'tabard.dev/distrust-now': old });
    expect(trusted()).toEqual([ca()]);
    expect(ca()).not.toBe(old);
    expect([phase(), bench.condition('Ready')]).toEqual(['Active', 'True CanSign']);
    expect(replica.events.at(-1)).toBe('Warning cluster AuthorityReplaced');
    expect(bench.status()?.rotation).toMatchObject({ waitingCount: 2, reason: expect.stringContaining('distrusted') });
    const replacement = ca();
    await turn();
    expect([phase(), ca()]).toEqual(['Idle', replacement]);
  });

  test('does nothing for a fingerprint that fits no CA, and says so', async () => {
    const old = ca();
    await ask({ 'tabard.dev/distrust-now': 'ab'.repeat(32) });
    expect([ca(), trusted(), phase()]).toEqual([old, [old], 'Idle']);
    expect(bench.condition('RequestAccepted')).toBe('False NothingToDistrust');
    expect(replica.events).toContain('Warning cluster NothingToDistrust');
  });

  test('of a next CA leaves no trace of it', async () => {
    const old = ca();
    await ask({ 'tabard.dev/rotate': 'audit' });
    await ask({ 'tabard.dev/rotate': 'audit', 'tabard.dev/distrust-now': ca('next.crt') });
    expect([phase(), trusted(), keys()]).toEqual(['Idle', [old], ['ca.crt', 'tls.crt', 'tls.key']]);
  });
});

describe('a CA that was exchanged by hand', () => {
  const exchange = async (): Promise<string> => {
    const { certificate, privateKey, fingerprint: of } = await testAuthority({ now: bench.clock.now(), lifetimeMs });
    const data = { 'tls.crt': certificate, 'tls.key': privateKeyPem(privateKey) };
    const encoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
    const live = bench.secret('tabard-ca');
    bench.kube.seed(resources.secrets, {
      ...live,
      metadata: { ...live?.metadata, name: 'tabard-ca' },
      data: { ...live?.data, ...Object.fromEntries(encoded) },
    });
    return of;
  };

  test('is prepared, not adopted: the former one signs until all trust the new one', async () => {
    const old = ca();
    const put = await exchange();
    replica.see();
    expect(replica.authority.current()?.authority.fingerprint).toBe(old);
    await replica.reconcile();
    expect([phase(), ca(), ca('next.crt'), trusted()]).toEqual(['Prepared', old, put, [old, put]]);
    for (let step = 0; step < 3; step += 1) await turn();
    expect([phase(), ca(), trusted()]).toEqual(['Idle', put, [put]]);
  });

  test('while a rotation is in use is put back, and an event says so', async () => {
    await ask({ 'tabard.dev/rotate': 'audit' });
    await turn();
    const next = ca();
    await exchange();
    await turn([pod('shop/web-1', { signedBy: 'the former one' })]);
    expect([phase(), ca()]).toEqual(['Active', next]);
    expect(replica.events).toContain('Warning cluster AuthorityPutBack');
  });

  test('by an older Secret from a backup is taken over in steps as well', async () => {
    const backup = bench.secret('tabard-ca');
    const old = ca();
    await ask({ 'tabard.dev/rotate': 'audit' });
    for (let step = 0; step < 3; step += 1) await turn();
    const newer = ca();
    bench.kube.seed(resources.secrets, { ...backup, metadata: { ...backup?.metadata, name: 'tabard-ca' } });
    await replica.reconcile();
    expect([phase(), ca(), ca('next.crt')]).toEqual(['Prepared', newer, old]);
  });
});

describe('an end of the operator', () => {
  /** A client that ends, for good, at its nth call: before it is sent, or after it was carried out but before the answer came. */
  function mortal(kube: KubeClient, lastCall: number, isSent: boolean): { client: KubeClient; calls: () => number } {
    let calls = 0;
    const client = new Proxy(kube, {
      get(target, name) {
        const method: unknown = Reflect.get(target, name);
        if (typeof method !== 'function') return method;
        return async (...given: unknown[]) => {
          calls += 1;
          if (calls > lastCall || (calls === lastCall && !isSent)) throw new Error('the operator was killed');
          const answer: unknown = await Reflect.apply(method, target, given);
          if (calls === lastCall) throw new Error('the operator was killed');
          return answer;
        };
      },
    });
    return { client, calls: () => calls };
  }

  /** From nothing through one rotation; how many CAs were ever seen in the Secret, and how many calls it took. */
  async function life(
    lastCall: number,
    isSent: boolean,
  ): Promise<{ readonly seen: ReadonlySet<string>; readonly calls: number }> {
    bench = new KeeperBench();
    bench.issuer('cluster', { selfSigned: { lifetime: '90d' } }, { 'tabard.dev/rotate': 'audit' });
    const killed = mortal(bench.kube, lastCall, isSent);
    replica = bench.replica({ defaultIssuer: { lifetimeMs }, client: killed.client });
    const seen = new Set<string>();
    const note = (): void => {
      const secret = bench.secret('tabard-ca');
      if (secret === undefined) return;
      // Never half of anything: whatever is there has its other half, and everybody in it is in the bundle.
      for (const [certificate, key] of [
        ['tls.crt', 'tls.key'],
        ['next.crt', 'next.key'],
        ['previous.crt', 'previous.key'],
      ] as const) {
        expect([certificate, secret.data?.[certificate] === undefined]).toEqual([
          certificate,
          secret.data?.[key] === undefined,
        ]);
        if (secret.data?.[certificate] === undefined) continue;
        seen.add(ca(certificate));
        expect(trusted()).toContain(ca(certificate));
      }
    };
    for (let look = 0; look < 12; look += 1) {
      replica.peers = bench.secret('tabard-ca') === undefined ? [] : [pod('shop/web-1')];
      bench.clock.ms += settleMs;
      try {
        await replica.reconcile();
      } catch {
        replica = bench.replica({ defaultIssuer: { lifetimeMs } });
        replica.see();
      }
      note();
    }
    return { seen, calls: killed.calls() };
  }

  test('at any call of a rotation costs no CA, and the next replica finishes it', async () => {
    const { calls, seen } = await life(Infinity, true);
    expect([seen.size, phase()]).toEqual([2, 'Idle']);
    expect(calls).toBeGreaterThan(8);
    for (let last = 1; last <= calls; last += 1) {
      for (const isSent of [false, true]) {
        const after = await life(last, isSent);
        expect([last, isSent, after.seen.size, phase(), keys()]).toEqual([
          last,
          isSent,
          2,
          'Idle',
          ['ca.crt', 'tls.crt', 'tls.key'],
        ]);
      }
    }
  });

  test('never leaves a key outside of the CA Secret', () => {
    expect(bench.kube.all(resources.secrets).map(({ metadata }) => [metadata.namespace, metadata.name])).toEqual([
      [system, 'tabard-ca'],
    ]);
  });
});

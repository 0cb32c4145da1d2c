import { describe, expect, test } from '@jest/globals';
import type { DestinationSnapshot } from '../../../../lib/api/control.ts';
import type { SnapshotSource } from '../../../../sidecar/control/client.ts';
import { Discovery, type Lookup } from '../../../../sidecar/destination/discovery.ts';
import { settle, TestClock } from '../../../support/clock.ts';

class FakeSource implements SnapshotSource {
  readonly held = new Map<string, (message: unknown) => void>();
  away = 0;

  subscribe(path: string, listener: (message: unknown) => void): () => void {
    this.held.set(path, listener);
    return () => void this.held.delete(path);
  }

  awayMs(): number {
    return this.away;
  }

  send(key: string, snapshot: Partial<DestinationSnapshot> = {}): void {
    const listener = this.held.get(`/v1/destinations/${encodeURIComponent(key)}`);
    listener?.({
      version: 'v1',
      known: true,
      serverName: 'api.shop.svc.cluster.local',
      endpoints: [endpoint],
      ...snapshot,
    });
  }
}

const endpoint = {
  address: '10.1.0.1',
  port: 80,
  transport: 'mutual',
  identity: 'spiffe://cluster.local/ns/shop/svc/api',
} as const;

function bench(limit?: number) {
  const clock = new TestClock();
  const source = new FakeSource();
  let changes = 0;
  const discovery = new Discovery({
    clock,
    control: source,
    inCluster: (address) => address.startsWith('10.') || address.startsWith('fd'),
    onChange: () => {
      changes += 1;
    },
    ...(limit === undefined ? {} : { limit }),
  });
  return { clock, source, discovery, changes: () => changes };
}

/** A lookup and what it has come to so far. */
function watch(lookup: Promise<Lookup>): { result: Lookup | undefined } {
  const seen: { result: Lookup | undefined } = { result: undefined };
  void lookup.then((result) => {
    seen.result = result;
  });
  return seen;
}

describe('a lookup', () => {
  test('waits for the first answer and then has it at hand', async () => {
    const { source, discovery } = bench();
    const first = watch(discovery.lookup('10.96.0.1', 80));
    await settle();
    expect(first.result).toBeUndefined();
    source.send('10.96.0.1:80');
    await settle();
    expect(first.result).toMatchObject({ kind: 'endpoints', choice: { serverName: 'api.shop.svc.cluster.local' } });
    expect(await discovery.lookup('10.96.0.1', 80)).toMatchObject({ kind: 'endpoints' });
    expect(source.held.size).toBe(1);
  });

  test('need not be waited for once there is an answer, which is the newest', () => {
    const { source, discovery } = bench();
    expect(discovery.known('10.96.0.1', 80)).toBeUndefined();
    void discovery.lookup('10.96.0.1', 80);
    expect(discovery.known('10.96.0.1', 80)).toBeUndefined();
    source.send('10.96.0.1:80');
    expect(discovery.known('10.96.0.1', 80)).toMatchObject({ kind: 'endpoints' });
    source.send('10.96.0.1:80', { serverName: 'other.shop.svc.cluster.local' });
    expect(discovery.known('10.96.0.1', 80)).toMatchObject({ choice: { serverName: 'other.shop.svc.cluster.local' } });
    source.send('10.96.0.1:80', { known: false, endpoints: [] });
    expect(discovery.known('10.96.0.1', 80)).toEqual({ kind: 'pass', why: 'not_in_mesh' });
  });

  test('writes IPv6 in brackets and takes a mapped IPv4 address for what it is', async () => {
    const { source, discovery } = bench();
    void discovery.lookup('fd00::1', 443);
    void discovery.lookup('::ffff:10.96.0.1', 80);
    expect([...source.held.keys()].map(decodeURIComponent)).toEqual([
      '/v1/destinations/[fd00::1]:443',
      '/v1/destinations/10.96.0.1:80',
    ]);
  });

  test('passes what is not in the mesh', async () => {
    const { source, discovery } = bench();
    const lookup = discovery.lookup('10.2.0.9', 53);
    source.send('10.2.0.9:53', { known: false, endpoints: [] });
    expect(await lookup).toEqual({ kind: 'pass', why: 'not_in_mesh' });
  });

  test('refuses a cluster address about which nobody can be asked, after the time that a change of operator takes', async () => {
    const { clock, source, discovery } = bench();
    source.away = 1_000;
    const lookup = watch(discovery.lookup('10.96.0.1', 80));
    await clock.advance(3_900);
    expect(lookup.result).toBeUndefined();
    await clock.advance(200);
    expect(lookup.result).toEqual({ kind: 'refused', reason: 'control_unavailable' });
    source.away = 60_000;
    expect(await discovery.lookup('10.96.0.2', 80)).toEqual({ kind: 'refused', reason: 'control_unavailable' });
  });

  test('passes an address outside the cluster at once while nobody can be asked', async () => {
    const { source, discovery } = bench();
    source.away = 1;
    expect(await discovery.lookup('192.0.2.1', 443)).toEqual({ kind: 'pass', why: 'control_unavailable' });
  });

  test('waits a second at most for an address outside the cluster', async () => {
    const { clock, discovery } = bench();
    const lookup = watch(discovery.lookup('192.0.2.1', 443));
    await clock.advance(1_000);
    expect(lookup.result).toEqual({ kind: 'pass', why: 'control_unavailable' });
  });

  test('of a link-local address asks nobody', async () => {
    const { source, discovery } = bench();
    expect(await discovery.lookup('fe80::1%2', 80)).toEqual({ kind: 'pass', why: 'not_in_mesh' });
    expect(source.held.size).toBe(0);
  });

  test('keeps serving the last answer while the control API is away', async () => {
    const { source, discovery } = bench();
    const lookup = discovery.lookup('10.96.0.1', 80);
    source.send('10.96.0.1:80');
    await lookup;
    source.away = 86_400_000;
    expect(await discovery.lookup('10.96.0.1', 80)).toMatchObject({ kind: 'endpoints' });
  });

  test('never falls back to plaintext: an answer that cannot be read changes nothing', async () => {
    const { source, discovery } = bench();
    const lookup = discovery.lookup('10.96.0.1', 80);
    source.send('10.96.0.1:80');
    await lookup;
    expect(() => source.send('10.96.0.1:80', { endpoints: [{ ...endpoint, transport: 'magic' }] as never })).toThrow(
      'endpoint.transport',
    );
    const result = await discovery.lookup('10.96.0.1', 80);
    if (result.kind !== 'endpoints') throw new Error('it is known');
    expect(result.choice.pick(0, new Set())?.endpoint).toEqual(endpoint);
  });
});

describe('destinations in use', () => {
  test('are dropped ten minutes after the last use, not while a connection is open', async () => {
    const { clock, source, discovery } = bench();
    for (const key of ['10.96.0.1', '10.96.0.2']) {
      const lookup = discovery.lookup(key, 80);
      source.send(`${key}:80`);
      await lookup;
    }
    const used = await discovery.lookup('10.96.0.2', 80);
    const release = used.kind === 'endpoints' ? used.hold() : undefined;
    await clock.advance(601_000);
    discovery.sweep();
    expect([...source.held.keys()].map(decodeURIComponent)).toEqual(['/v1/destinations/10.96.0.2:80']);
    release?.();
    await clock.advance(601_000);
    discovery.sweep();
    expect(source.held.size).toBe(0);
  });

  test('are bounded: the one looked up least recently goes', async () => {
    const { source, discovery } = bench(3);
    for (const last of [1, 2, 3, 1, 4]) void discovery.lookup(`10.96.0.${last}`, 80);
    expect([...source.held.keys()].map((path) => decodeURIComponent(path).slice(-11))).toEqual(
      ['10.96.0.1:80', '10.96.0.3:80', '10.96.0.4:80'].map((key) => key.slice(-11)),
    );
  });

  test('come back from disk and serve until a newer answer comes', async () => {
    const { source, discovery } = bench();
    const lookup = discovery.lookup('10.96.0.1', 80);
    source.send('10.96.0.1:80');
    await lookup;
    const kept = discovery.kept();
    expect(kept.map(({ key }) => key)).toEqual(['10.96.0.1:80']);

    const next = bench();
    next.source.away = 60_000;
    next.discovery.restore(kept);
    expect(await next.discovery.lookup('10.96.0.1', 80)).toMatchObject({ kind: 'endpoints' });
    next.source.send('10.96.0.1:80', { known: false, endpoints: [] });
    expect(await next.discovery.lookup('10.96.0.1', 80)).toEqual({ kind: 'pass', why: 'not_in_mesh' });
  });
});

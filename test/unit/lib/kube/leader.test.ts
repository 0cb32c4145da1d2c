// The lease: one leader, quick hand-over when it stops, patient take-over when it dies, and no trust in any wall clock.
import { afterEach, describe, expect, test } from '@jest/globals';
import { KubeError } from '../../../../lib/kube/errors.ts';
import { LeaderElector } from '../../../../lib/kube/leader.ts';
import { resources } from '../../../../lib/kube/resources.ts';
import { settle, TestClock } from '../../../support/clock.ts';
import type { MemoryKube } from '../../../support/kube.ts';
import { kubeDeps } from '../../../support/kubedeps.ts';

const { leases } = resources;
const ref = { namespace: 'tabard-system', name: 'tabard-operator' };

const stops: AbortController[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop.abort();
});

function candidate(identity: string, shared: { client?: MemoryKube; clock?: TestClock } = {}) {
  const deps = { ...kubeDeps(), ...shared };
  const elector = new LeaderElector({ ...deps, ...ref, identity });
  const stop = new AbortController();
  stops.push(stop);
  const ended: unknown[] = [];
  const running = elector.run(stop.signal).then(
    () => ended.push('released'),
    (error: unknown) => ended.push(error),
  );
  return { ...deps, elector, stop, running, ended };
}

const record = async (client: MemoryKube) => (await client.get(leases, ref)).spec;

describe('the leader lease', () => {
  test('the first candidate makes the lease and leads at once', async () => {
    const { client, elector, registry } = candidate('one');
    await elector.acquired;
    expect(elector.leading).toBe(true);
    expect(await record(client)).toEqual({
      holderIdentity: 'one',
      leaseDurationSeconds: 15,
      acquireTime: '2026-01-01T00:00:00.000000Z',
      renewTime: '2026-01-01T00:00:00.000000Z',
      leaseTransitions: 0,
    });
    expect(await registry.text()).toContain('tabard_leader{lease="tabard-operator"} 1');
  });

  test('the leader renews every two seconds and keeps when it began', async () => {
    const { client, clock } = candidate('one');
    await clock.advance(6_000);
    expect(await record(client)).toMatchObject({
      acquireTime: '2026-01-01T00:00:00.000000Z',
      renewTime: '2026-01-01T00:00:06.000000Z',
    });
  });

  test('of two candidates one leads, and the other only as long as the first renews', async () => {
    const one = candidate('one');
    await one.elector.acquired;
    const two = candidate('two', one);
    await one.clock.advance(120_000);
    expect([one.elector.leading, two.elector.leading]).toEqual([true, false]);
    expect(two.elector.leader).toBe('one');
  });

  test('a leader that stops releases, and the next one leads within its next try', async () => {
    const one = candidate('one');
    await one.elector.acquired;
    const two = candidate('two', one);
    await settle();
    one.stop.abort();
    await settle();
    expect(one.ended).toEqual(['released']);
    expect(one.elector.leading).toBe(false);
    expect((await record(one.client))?.holderIdentity).toBe('');
    await one.clock.advance(2_500);
    expect(two.elector.leading).toBe(true);
    expect(await record(one.client)).toMatchObject({ holderIdentity: 'two', leaseTransitions: 1 });
  });

  test('a leader that died is replaced once its record was untouched for 15 s, not sooner', async () => {
    const one = candidate('one');
    await one.elector.acquired;
    // From now on nothing of the first replica runs: its clock stands still.
    const clock = new TestClock();
    const two = candidate('two', { client: one.client, clock });
    await clock.advance(14_900);
    expect(two.elector.leading).toBe(false);
    await clock.advance(3_000);
    expect(two.elector.leading).toBe(true);
  });

  test('neither a foreign clock that is far off nor a step of its own makes it take over', async () => {
    const one = candidate('one');
    await one.elector.acquired;
    await one.client.patch(leases, ref, { spec: { renewTime: '2001-01-01T00:00:00.000000Z' } });
    const clock = new TestClock();
    const two = candidate('two', { client: one.client, clock });
    await clock.advance(5_000);
    clock.set('2026-06-01T00:00:00Z');
    await clock.advance(5_000);
    expect(two.elector.leading).toBe(false);
  });

  test('with the same identity it leads again at once after a restart of its container', async () => {
    const one = candidate('one');
    await one.elector.acquired;
    const again = candidate('one', { client: one.client, clock: new TestClock() });
    await again.elector.acquired;
    expect((await record(one.client))?.leaseTransitions).toBe(0);
  });

  test('a short outage is survived', async () => {
    const { client, clock, elector, ended } = candidate('one');
    await elector.acquired;
    client.onCall = () => {
      throw new KubeError('Unavailable', 'connection refused');
    };
    await clock.advance(9_000);
    client.onCall = () => undefined;
    await clock.advance(5_000);
    expect([elector.leading, ended]).toEqual([true, []]);
  });

  test('a leader that cannot renew for ten seconds has lost', async () => {
    const { client, clock, elector, ended, registry } = candidate('one');
    await elector.acquired;
    client.onCall = () => {
      throw new KubeError('Unavailable', 'connection refused');
    };
    await clock.advance(11_900);
    expect(ended).toEqual([]);
    await clock.advance(200);
    expect(ended).toMatchObject([{ code: 'lease_lost' }]);
    expect(elector.leading).toBe(false);
    expect(await registry.text()).toContain('tabard_leader{lease="tabard-operator"} 0');
  });

  test('a call that hangs does not hang the leader', async () => {
    const { client, clock, elector, ended } = candidate('one');
    await elector.acquired;
    client.replace = (_resource, _object, options) =>
      new Promise((_, reject) => options?.signal?.addEventListener('abort', () => reject(new Error('given up'))));
    await clock.advance(12_100);
    expect(ended).toMatchObject([{ code: 'lease_lost' }]);
  });

  test('a leader that finds another holder has lost at once', async () => {
    const { client, clock, elector, ended } = candidate('one');
    await elector.acquired;
    await client.patch(leases, ref, { spec: { holderIdentity: 'other' } });
    await clock.advance(2_000);
    expect(ended).toMatchObject([{ code: 'lease_lost' }]);
    expect((await record(client))?.holderIdentity).toBe('other');
  });

  test('somebody else who touches the record, or deletes it, does not end the lead', async () => {
    const { client, clock, elector, ended } = candidate('one');
    await elector.acquired;
    await client.patch(leases, ref, { metadata: { labels: { seen: 'yes' } } });
    await clock.advance(4_000);
    expect((await client.get(leases, ref)).metadata.labels).toEqual({ seen: 'yes' });
    await client.delete(leases, ref);
    await clock.advance(4_000);
    expect([elector.leading, ended]).toEqual([true, []]);
    expect((await record(client))?.holderIdentity).toBe('one');
  });

  test('two candidates that take at the same moment: one wins', async () => {
    const client = kubeDeps().client;
    const clock = new TestClock();
    const both = [candidate('one', { client, clock }), candidate('two', { client, clock })];
    await clock.advance(10_000);
    expect(both.filter((each) => each.elector.leading)).toHaveLength(1);
  });

  test('a candidate waits through any outage and ends when it is told to', async () => {
    const { client, clock, elector, ended, stop, running } = candidate('one', { client: kubeDeps().client });
    client.onCall = () => {
      throw new KubeError('Unavailable', 'connection refused');
    };
    await clock.advance(600_000);
    expect([elector.leading, ended]).toEqual([false, []]);
    stop.abort();
    await running;
    expect([elector.leading, ended]).toEqual([false, ['released']]);
  });
});

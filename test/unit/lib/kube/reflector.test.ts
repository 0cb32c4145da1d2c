// List-watch under every kind of failure: the store ends up equal to the server, and the server is not stormed.
import { afterEach, describe, expect, test } from '@jest/globals';
import { KubeError } from '../../../../lib/kube/errors.ts';
import type { ConfigMap } from '../../../../lib/kube/object.ts';
import { Reflector, type ReflectorOptions } from '../../../../lib/kube/reflector.ts';
import { resources } from '../../../../lib/kube/resources.ts';
import { ObjectStore } from '../../../../lib/kube/store.ts';
import { settle } from '../../../support/clock.ts';
import type { Call } from '../../../support/kube.ts';
import { kubeDeps } from '../../../support/kubedeps.ts';

const { configmaps } = resources;
const input = (name: string, v: string = '1', labels: Record<string, string> = {}) => ({
  metadata: { name, namespace: 'shop', labels, managedFields: [{ manager: 'x' }] },
  data: { v },
});

const stops: AbortController[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop.abort();
});

function reflecting(more: Partial<ReflectorOptions<ConfigMap>> = {}) {
  const deps = kubeDeps();
  const store = new ObjectStore<ConfigMap>();
  const calls: Call['verb'][] = [];
  const { client } = deps;
  client.onCall = ({ verb }) => {
    if (verb === 'list' || verb === 'watch') calls.push(verb);
  };
  const reflector = new Reflector({ ...deps, resource: configmaps, store, random: () => 0.5, ...more });
  const stop = new AbortController();
  stops.push(stop);
  const start = () => {
    const running = reflector.run(stop.signal);
    return running;
  };
  const held = () =>
    store
      .list()
      .map((object) => `${object.metadata.name}=${object.data?.['v']}`)
      .toSorted();
  return { ...deps, store, calls, reflector, stop, start, held };
}

const unavailable = () => new KubeError('Unavailable', 'connection refused');

describe('the reflector', () => {
  test('lists in pages, then follows the watch', async () => {
    const { client, start, held, calls, store } = reflecting({ pageSize: 2 });
    for (const name of ['a', 'b', 'c', 'd', 'e']) client.seed(configmaps, input(name));
    void start();
    await settle();
    expect(held()).toEqual(['a=1', 'b=1', 'c=1', 'd=1', 'e=1']);
    expect(store.hasSynced).toBe(true);
    expect(calls).toEqual(['list', 'list', 'list', 'watch']);
    client.seed(configmaps, input('a', '2'));
    client.seed(configmaps, input('f'));
    await client.delete(configmaps, { namespace: 'shop', name: 'b' });
    await settle();
    expect(held()).toEqual(['a=2', 'c=1', 'd=1', 'e=1', 'f=1']);
    expect(calls).toHaveLength(4);
  });

  test('is synced only after listeners saw the whole first list', async () => {
    const { client, start, store } = reflecting({ pageSize: 1 });
    client.seed(configmaps, input('a'));
    client.seed(configmaps, input('b'));
    const atTheTime: boolean[] = [];
    store.subscribe(() => atTheTime.push(store.hasSynced));
    void start();
    await store.synced(AbortSignal.timeout(5_000));
    expect(atTheTime).toEqual([false, false]);
  });

  test('keeps to its selection', async () => {
    const { client, start, held } = reflecting({ selection: { namespace: 'shop', labelSelector: 'pick=yes' } });
    client.seed(configmaps, input('a', '1', { pick: 'yes' }));
    client.seed(configmaps, input('b'));
    void start();
    await settle();
    client.seed(configmaps, input('b', '2', { pick: 'yes' }));
    client.seed(configmaps, input('a', '2'));
    await settle();
    expect(held()).toEqual(['b=2']);
  });

  test('hands out frozen objects without managedFields, trimmed', async () => {
    const { client, start, store } = reflecting({
      trim: ({ apiVersion, kind, metadata }) => ({ apiVersion, kind, metadata }),
    });
    client.seed(configmaps, input('a'));
    void start();
    await settle();
    client.seed(configmaps, input('b'));
    await settle();
    for (const object of store.list()) {
      expect(object.metadata).not.toHaveProperty('managedFields');
      expect(object).not.toHaveProperty('data');
      expect(Object.isFrozen(object)).toBe(true);
    }
    expect(store.size).toBe(2);
  });

  test('asks for watches of five to ten minutes with an idle limit above the bookmark period', async () => {
    const asked: { timeoutSeconds: number; idleMs: number }[] = [];
    const { client, start } = reflecting({ random: () => asked.length / 2 });
    const watch = client.watch.bind(client);
    client.watch = (resource, options) => {
      asked.push(options);
      return watch(resource, options);
    };
    void start();
    await settle();
    client.seed(configmaps, input('a'));
    client.endWatches();
    await settle();
    client.seed(configmaps, input('b'));
    client.endWatches();
    await settle();
    expect(asked.slice(0, 3).map((each) => each.timeoutSeconds)).toEqual([300, 450, 600]);
    expect(asked[0]?.idleMs).toBe(90_000);
  });

  test('after an orderly end it watches on at once, from the newest version it saw, without a list', async () => {
    const { client, start, calls, held } = reflecting();
    void start();
    await settle();
    client.seed(configmaps, input('a'));
    await settle();
    client.endWatches();
    client.seed(configmaps, input('b'));
    await settle();
    expect(held()).toEqual(['a=1', 'b=1']);
    expect(calls).toEqual(['list', 'watch', 'watch']);
  });

  test('a bookmark moves the version on, so that a quiet watch does not age', async () => {
    const { client, start, calls, held } = reflecting();
    void start();
    await settle();
    client.compact();
    client.bookmark();
    await settle();
    client.endWatches();
    client.seed(configmaps, input('a'));
    await settle();
    expect(calls).toEqual(['list', 'watch', 'watch']);
    expect(held()).toEqual(['a=1']);
  });

  test('a version that is too old makes it list again at once, with the difference told', async () => {
    const { client, start, calls, held, store, lines, clock } = reflecting();
    client.seed(configmaps, input('a'));
    client.seed(configmaps, input('b'));
    void start();
    await clock.advance(5_000);
    const gone: string[] = [];
    store.subscribe((before, after) => {
      if (after === undefined) gone.push(before?.metadata.name ?? '');
    });
    client.endWatches(new KubeError('Gone', 'too old', { status: 410 }));
    await client.delete(configmaps, { namespace: 'shop', name: 'a' });
    client.seed(configmaps, input('b', '2'));
    await settle();
    expect(calls.slice(0, 2)).toEqual(['list', 'watch']);
    expect(calls.filter((verb) => verb === 'list').length).toBe(2);
    expect(held()).toEqual(['b=2']);
    expect(gone).toEqual(['a']);
    expect(lines.filter((line) => line.level === 'warn')).toEqual([]);
  });

  test('a page whose continue token is too old starts the list over', async () => {
    const { client, start, held, calls } = reflecting({ pageSize: 1 });
    for (const name of ['a', 'b']) client.seed(configmaps, input(name));
    let lists = 0;
    const before = client.onCall;
    client.onCall = (call) => {
      void before(call);
      if (call.verb !== 'list') return;
      lists += 1;
      if (lists === 2) client.compact();
    };
    void start();
    await settle();
    expect(held()).toEqual(['a=1', 'b=1']);
    expect(calls).toEqual(['list', 'list', 'list', 'list', 'watch']);
  });

  test('a server that always says too old is not asked without a pause', async () => {
    const { client, start, clock, calls } = reflecting();
    client.onCall = ({ verb }) => {
      if (verb !== 'list') return;
      calls.push('list');
      throw new KubeError('Gone', 'too old', { status: 410 });
    };
    void start();
    await settle();
    expect(calls).toHaveLength(2);
    await clock.advance(60_000);
    expect(calls.length).toBeLessThan(9);
  });

  test('while the server is away it waits longer and longer, at most 30 s, then goes on without a list', async () => {
    const { client, start, clock, calls, held, lines } = reflecting();
    client.seed(configmaps, input('a'));
    void start();
    await settle();
    const at: number[] = [];
    let down = true;
    client.onCall = ({ verb }) => {
      if (verb !== 'watch' && verb !== 'list') return;
      calls.push(verb);
      at.push(clock.now().getTime());
      if (down) throw unavailable();
    };
    client.endWatches(unavailable());
    await clock.advance(200_000);
    const waits = at.slice(1).map((time, index) => time - (at[index] ?? 0));
    expect(waits.slice(0, 6)).toEqual([1_600, 3_200, 6_400, 12_800, 25_600, 30_000]);
    expect(Math.max(...waits)).toBe(30_000);
    down = false;
    client.seed(configmaps, input('a', '2'));
    await clock.advance(30_000);
    expect(held()).toEqual(['a=2']);
    expect(calls.filter((verb) => verb === 'list')).toHaveLength(1);
    expect(lines.filter((line) => line.level === 'error')).toEqual([]);
  });

  test('after two healthy minutes a failure is the first one again', async () => {
    const { client, start, clock, lines } = reflecting();
    void start();
    await settle();
    for (const pause of [10_000, 10_000, 130_000]) {
      client.endWatches(unavailable());
      await clock.advance(pause);
    }
    client.endWatches(unavailable());
    await settle();
    const waits = lines.filter((line) => line.msg === 'list-watch failed').map((line) => line['waitMs']);
    expect(waits).toEqual([800, 1_600, 3_200, 800]);
  });

  test('a throttling server is given the time it asks for', async () => {
    const { client, start, clock, calls } = reflecting();
    let refuse = true;
    const before = client.onCall;
    client.onCall = (call) => {
      void before(call);
      if (refuse && call.verb === 'list')
        throw new KubeError('Throttled', 'busy', { status: 429, retryAfterMs: 20_000 });
    };
    void start();
    await clock.advance(19_999);
    expect(calls).toEqual(['list']);
    refuse = false;
    await clock.advance(1);
    expect(calls).toEqual(['list', 'list', 'watch']);
  });

  test('watches that end at once, again and again, are an error', async () => {
    const { client, start, clock, calls, lines } = reflecting();
    void start();
    await settle();
    const endAtOnce = () => {
      calls.push('watch');
      queueMicrotask(() => setImmediate(() => client.endWatches()));
    };
    client.onCall = ({ verb }) => (verb === 'watch' ? endAtOnce() : undefined);
    client.endWatches();
    await clock.advance(10_000);
    expect(calls.length).toBeLessThan(20);
    expect(lines.some((line) => line.msg === 'list-watch failed')).toBe(true);
  });

  test('a server that keeps refusing the version is asked for a list', async () => {
    const { client, start, clock, calls, held } = reflecting();
    void start();
    await settle();
    let refuse = true;
    const before = client.onCall;
    client.onCall = (call) => {
      void before(call);
      if (call.verb === 'list') refuse = false;
      if (refuse && call.verb === 'watch') {
        throw new KubeError('Unavailable', 'Too large resource version', { status: 504 });
      }
    };
    client.seed(configmaps, input('a'));
    client.endWatches(unavailable());
    await clock.advance(30_000);
    expect(calls.filter((verb) => verb === 'list')).toHaveLength(2);
    expect(held()).toEqual(['a=1']);
  });

  test('a bug in between is coped with in the same way, and said loudly', async () => {
    let broken = true;
    const { client, start, clock, held, lines } = reflecting({
      trim: (object) => {
        if (broken && object.metadata.name === 'bad') throw new TypeError('bug');
        return object;
      },
    });
    void start();
    await settle();
    client.seed(configmaps, input('bad'));
    await settle();
    expect(lines.filter((line) => line.level === 'error')).toHaveLength(1);
    broken = false;
    await clock.advance(5_000);
    expect(held()).toEqual(['bad=1']);
  });

  test('tells how long nothing was heard, and counts lists and ends', async () => {
    const { client, start, clock, reflector, registry } = reflecting();
    void start();
    await settle();
    await clock.advance(45_000);
    expect(reflector.silentMs).toBe(45_000);
    expect(await registry.text()).toContain('tabard_kube_silence_seconds{resource="configmaps"} 45');
    client.bookmark();
    await settle();
    expect(reflector.silentMs).toBe(0);
    client.endWatches();
    await settle();
    client.endWatches(unavailable());
    await settle();
    const text = await registry.text();
    expect(text).toContain('tabard_kube_lists_total{resource="configmaps"} 1');
    expect(text).toContain('tabard_kube_watch_ends_total{resource="configmaps",cause="closed"} 1');
    expect(text).toContain('tabard_kube_watch_ends_total{resource="configmaps",cause="Unavailable"} 1');
  });

  test('ends with its signal, in a watch as in a wait', async () => {
    const watching = reflecting();
    const running = watching.start();
    await settle();
    watching.stop.abort();
    await running;
    expect(watching.client.watches()).toBe(0);
    const waiting = reflecting();
    waiting.client.onCall = () => {
      throw unavailable();
    };
    const second = waiting.start();
    await settle();
    waiting.stop.abort();
    await second;
    expect(waiting.clock.sleepers).toBe(0);
  });
});

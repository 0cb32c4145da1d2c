// The loop: what is fed is reconciled, what fails comes back, nothing stops it, and a stop is orderly.
import { describe, expect, test } from '@jest/globals';
import { AppError } from '../../../../lib/errors.ts';
import { Controller, type ControllerOptions, type Reconcile, TerminalError } from '../../../../lib/kube/controller.ts';
import { KubeError } from '../../../../lib/kube/errors.ts';
import { feed, specFeed } from '../../../../lib/kube/feed.ts';
import type { ConfigMap } from '../../../../lib/kube/object.ts';
import { ObjectStore } from '../../../../lib/kube/store.ts';
import { settle } from '../../../support/clock.ts';
import { kubeDeps } from '../../../support/kubedeps.ts';

const map = (name: string, version: number, owner?: string): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: {
    name,
    namespace: 'shop',
    uid: `uid-${name}`,
    resourceVersion: String(version),
    creationTimestamp: '2026-01-01T00:00:00Z',
    ...(owner === undefined ? {} : { labels: { owner } }),
  },
});

const ownerOf = (object: ConfigMap) => Object.values(object.metadata.labels ?? {});

function started(reconcile: Reconcile, more: Partial<ControllerOptions> = {}) {
  const deps = kubeDeps();
  const store = new ObjectStore<ConfigMap>();
  const stop = new AbortController();
  const queue = { backoff: { initialMs: 5, maxMs: 1_000_000, jitter: 0 } };
  const controller = new Controller({ ...deps, name: 'test', feeds: [feed(store)], reconcile, queue, ...more });
  const running = controller.run(stop.signal);
  return { ...deps, store, stop, controller, running };
}

describe('the controller', () => {
  test('waits for the first list, then reconciles everything there is and each change', async () => {
    const keys: string[] = [];
    const { store, stop, running } = started(async (key) => void keys.push(key));
    store.set(map('a', 1));
    await settle();
    expect(keys).toEqual([]);
    store.replace([map('a', 1), map('b', 1)]);
    await settle();
    expect(keys).toEqual(['shop/a', 'shop/b']);
    store.set(map('b', 2));
    store.delete('shop/a');
    await settle();
    expect(keys.slice(2)).toEqual(['shop/b', 'shop/a']);
    stop.abort();
    await running;
  });

  test('a feed may map an object to other keys; a change adds those of before and after', async () => {
    const keys: string[] = [];
    const store = new ObjectStore<ConfigMap>();
    const { stop, running } = started(async (key) => void keys.push(key), { feeds: [feed(store, ownerOf)] });
    store.replace([map('a', 1, 'x'), map('b', 1)]);
    await settle();
    store.set(map('a', 2, 'y'));
    await settle();
    expect(keys).toEqual(['x', 'x', 'y']);
    stop.abort();
    await running;
  });

  test('a feed of specs adds what comes, goes or is wanted otherwise, and not what only has another status', async () => {
    const keys: string[] = [];
    const store = new ObjectStore<ConfigMap>();
    const { stop, running } = started(async (key) => void keys.push(key), { feeds: [specFeed(store)] });
    const spec = (version: number, more: Partial<ConfigMap['metadata']>) => {
      const { metadata, ...rest } = map('a', version);
      return { ...rest, metadata: { ...metadata, ...more } };
    };
    const changes: readonly [what: string, change: () => void, added: number][] = [
      ['comes', () => store.replace([spec(1, { generation: 1 })]), 1],
      ['another status', () => store.set(spec(2, { generation: 1 })), 0],
      ['another spec', () => store.set(spec(3, { generation: 2 })), 1],
      ['an annotation', () => store.set(spec(4, { generation: 2, annotations: { asks: 'something' } })), 1],
      ['is being deleted', () => store.set(spec(5, { generation: 2, deletionTimestamp: '2026-01-01T00:00:00Z' })), 1],
      ['goes', () => store.delete('shop/a'), 1],
    ];
    const seen: [string, number][] = [];
    for (const [what, change] of changes) {
      const before = keys.length;
      change();
      await settle();
      seen.push([what, keys.length - before]);
    }
    expect(seen).toEqual(changes.map(([what, , added]) => [what, added]));
    stop.abort();
    await running;
  });

  test('a key that throws comes back later and later; the others are not held up', async () => {
    const at: number[] = [];
    let ok = 0;
    const deps = started(async (key) => {
      if (key === 'shop/good') ok += 1;
      else {
        at.push(deps.clock.now().getTime());
        if (at.length < 4) throw new Error('no');
      }
    });
    deps.store.replace([map('bad', 1), map('good', 1)]);
    await deps.clock.advance(1_000);
    expect(at.slice(1).map((time, index) => time - (at[index] ?? 0))).toEqual([5, 10, 20]);
    expect(ok).toBe(1);
    const warnings = deps.lines.filter((line) => line.level === 'warn');
    expect(warnings.map((line) => line['object'])).toEqual(['shop/bad', 'shop/bad', 'shop/bad']);
    deps.stop.abort();
    await deps.running;
    const text = await deps.registry.text();
    expect(text).toContain('tabard_queue_retries_total{controller="test"} 3');
    expect(text).toContain('tabard_reconcile_seconds_count{controller="test",result="failed"} 3');
    expect(text).toContain('tabard_reconcile_seconds_count{controller="test",result="ok"} 2');
  });

  test('a success ends the back-off', async () => {
    const at: number[] = [];
    const fail = new Set([1, 2, 4]);
    const deps = started(async () => {
      at.push(deps.clock.now().getTime());
      if (fail.has(at.length)) throw new Error('no');
    });
    deps.store.replace([map('a', 1)]);
    await deps.clock.advance(100);
    deps.store.set(map('a', 2));
    const second = deps.clock.now().getTime();
    await deps.clock.advance(100);
    expect(at).toHaveLength(5);
    expect((at[4] ?? 0) - second).toBe(5);
    deps.stop.abort();
    await deps.running;
  });

  test('a terminal failure is recorded and not tried again until something changes', async () => {
    let runs = 0;
    const deps = started(async () => {
      runs += 1;
      throw new TerminalError('the issuer does not exist');
    });
    deps.store.replace([map('a', 1)]);
    await deps.clock.advance(600_000);
    expect(runs).toBe(1);
    expect(deps.lines.filter((line) => line.level === 'error')).toHaveLength(1);
    deps.store.set(map('a', 2));
    await settle();
    expect(runs).toBe(2);
    deps.stop.abort();
    await deps.running;
  });

  test('asked to, it looks at a key again although nothing changed', async () => {
    let runs = 0;
    const deps = started(async () => {
      runs += 1;
      return { after: 60_000 };
    });
    deps.store.replace([map('a', 1)]);
    await deps.clock.advance(59_999);
    expect(runs).toBe(1);
    await deps.clock.advance(1);
    expect(runs).toBe(2);
    deps.stop.abort();
    await deps.running;
  });

  test('a throttling server is given the time it asks for', async () => {
    let runs = 0;
    const deps = started(async () => {
      runs += 1;
      throw new KubeError('Throttled', 'slow down', { status: 429, retryAfterMs: 9_000 });
    });
    deps.store.replace([map('a', 1)]);
    await deps.clock.advance(8_999);
    expect(runs).toBe(1);
    await deps.clock.advance(1);
    expect(runs).toBe(2);
    deps.stop.abort();
    await deps.running;
  });

  test('two writers that meet are no warning at first', async () => {
    let runs = 0;
    const deps = started(async () => {
      runs += 1;
      if (runs < 8) throw new KubeError('Conflict', 'changed', { status: 409 });
    });
    deps.store.replace([map('a', 1)]);
    await deps.clock.advance(5_000);
    const levels = deps.lines.filter((line) => line.msg === 'reconcile failed').map((line) => line.level);
    expect(levels).toEqual(['info', 'info', 'info', 'info', 'warn', 'warn', 'warn']);
    deps.stop.abort();
    await deps.running;
  });

  test('several workers run different keys at once, one key never twice', async () => {
    let running = 0;
    let most = 0;
    const deps = started(
      async () => {
        running += 1;
        most = Math.max(most, running);
        await deps.clock.sleep(10);
        running -= 1;
      },
      { workers: 3 },
    );
    deps.store.replace(['a', 'b', 'c', 'd', 'e'].map((name) => map(name, 1)));
    await deps.clock.advance(5);
    expect(most).toBe(3);
    deps.controller.enqueue('shop/a');
    await deps.clock.advance(5);
    expect(most).toBe(3);
    deps.stop.abort();
    await deps.clock.advance(100);
    await deps.running;
  });

  test('a reconcile that hangs is told to stop after its time', async () => {
    const reasons: unknown[] = [];
    const deps = started(
      async (_, signal) => {
        await deps.clock.sleep(3_600_000, signal).catch(() => reasons.push(signal.reason));
        signal.throwIfAborted();
      },
      { reconcileTimeoutMs: 1_000 },
    );
    deps.store.replace([map('a', 1)]);
    await deps.clock.advance(1_000);
    expect(reasons).toHaveLength(1);
    expect(reasons[0]).toMatchObject({ code: 'timeout' });
    deps.stop.abort();
    await deps.clock.advance(5_000);
    await deps.running;
  });

  test('everything is looked at again about once an hour', async () => {
    let runs = 0;
    const deps = started(async () => void (runs += 1));
    deps.store.replace([map('a', 1)]);
    await deps.clock.advance(44 * 60_000);
    expect(runs).toBe(1);
    await deps.clock.advance(31 * 60_000);
    expect(runs).toBe(2);
    deps.stop.abort();
    await deps.running;
  });

  test('stopped, it finishes what runs and what is ready, and takes nothing new', async () => {
    const done: string[] = [];
    const deps = started(async (key, signal) => {
      await deps.clock.sleep(1_000, signal);
      done.push(key);
    });
    deps.store.replace([map('a', 1), map('b', 1)]);
    await settle();
    deps.stop.abort();
    await settle();
    deps.store.set(map('c', 1));
    await deps.clock.advance(2_000);
    await deps.running;
    expect(done).toEqual(['shop/a', 'shop/b']);
    expect(deps.clock.sleepers).toBe(0);
  });

  test('stopped, what does not finish in time is cut off', async () => {
    const cut: string[] = [];
    const deps = started(async (key, signal) => {
      await deps.clock.sleep(60_000, signal).catch(() => cut.push(key));
      signal.throwIfAborted();
    });
    deps.store.replace([map('a', 1), map('b', 1)]);
    await settle();
    deps.stop.abort();
    await deps.clock.advance(5_000);
    await deps.running;
    expect(cut).toEqual(['shop/a']);
  });

  test('stopped because leadership was lost, it writes nothing more', async () => {
    const cut: string[] = [];
    const deps = started(async (key, signal) => {
      await deps.clock.sleep(60_000, signal).catch(() => cut.push(key));
      signal.throwIfAborted();
    });
    deps.store.replace([map('a', 1), map('b', 1)]);
    await settle();
    deps.stop.abort(new AppError('lease_lost', 'lost'));
    await deps.clock.advance(0);
    await deps.running;
    expect(cut).toEqual(['shop/a']);
  });

  test('stopped before the first list, it ends with the signal', async () => {
    const { stop, running } = started(async () => undefined);
    stop.abort(new Error('stopped'));
    await expect(running).rejects.toThrow('stopped');
  });

  test('lets timers and sockets have their turn while thousands of keys find nothing to do', async () => {
    let runs = 0;
    const deps = started(async () => void (runs += 1), { workers: 4 });
    deps.store.replace(Array.from({ length: 500 }, (_, index) => map(`m${index}`, 1)));
    await settle();
    expect(runs).toBeGreaterThan(0);
    expect(runs).toBeLessThan(100);
    deps.stop.abort();
    await deps.running;
    expect(runs).toBe(500);
  });

  test('shows how many keys are ready and how long the oldest waits', async () => {
    const deps = started(async () => deps.clock.sleep(4_000));
    deps.store.replace(['a', 'b', 'c'].map((name) => map(name, 1)));
    await deps.clock.advance(2_000);
    const text = await deps.registry.text();
    expect(text).toContain('tabard_queue_depth{controller="test"} 2');
    expect(text).toContain('tabard_queue_oldest_seconds{controller="test"} 2');
    deps.stop.abort();
    await deps.clock.advance(12_000);
    await deps.running;
  });
});

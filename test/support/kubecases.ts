// What every KubeClient must do, as shared cases: run against the one in memory and against a real API server.
import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { KubeClient, WatchEvent } from '../../lib/kube/client.ts';
import { isKube, type KubeErrorKind } from '../../lib/kube/errors.ts';
import type { ConfigMap, KubeInput, KubeObject } from '../../lib/kube/object.ts';
import { metadataOf, resources } from '../../lib/kube/resources.ts';

const { configmaps, namespaces, nodes } = resources;

/** Declares the cases. `connect` is called once, before them; `forget` makes the server forget its older changes. */
export function kubeCases(connect: () => Promise<KubeClient>, forget: () => Promise<void>): void {
  let kube: KubeClient;
  const namespace = `case-${randomBytes(4).toString('hex')}`;
  let count = 0;
  const unique = () => `n${(count += 1)}-${randomBytes(2).toString('hex')}`;
  const map = (name: string, data: Record<string, string>, more: object = {}): KubeInput => ({
    metadata: { name, namespace, ...more },
    ...(Object.keys(data).length === 0 ? {} : { data }),
  });

  beforeAll(async () => {
    kube = await connect();
    await kube.create(namespaces, { metadata: { name: namespace } });
  });

  async function kindOf(work: Promise<unknown>): Promise<KubeErrorKind | 'none'> {
    try {
      await work;
      return 'none';
    } catch (error) {
      if (isKube(error, 'NotFound', 'AlreadyExists', 'Conflict', 'Gone', 'Invalid', 'Forbidden')) return error.kind;
      throw error;
    }
  }

  describe('reading', () => {
    test('what does not exist is NotFound', async () => {
      expect(await kindOf(kube.get(configmaps, { namespace, name: 'nobody' }))).toBe('NotFound');
    });

    test('a created object comes back with kind, uid and version', async () => {
      const name = unique();
      const made = await kube.create(configmaps, map(name, { a: '1' }));
      const read = await kube.get(configmaps, { namespace, name });
      expect(read).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap', data: { a: '1' } });
      expect(read.metadata.uid).toBe(made.metadata.uid);
      expect(read.metadata.resourceVersion).toBe(made.metadata.resourceVersion);
      expect(typeof read.metadata.creationTimestamp).toBe('string');
    });

    test('a list comes in pages of one version, each item with its kind, restricted by labels', async () => {
      const set = unique();
      const names = ['a', 'b', 'c', 'd', 'e'].map((letter) => `${letter}-${set}`);
      for (const name of names) await kube.create(configmaps, map(name, {}, { labels: { set } }));
      const items: KubeObject[] = [];
      const versions = new Set<string>();
      let next: string | undefined;
      do {
        const page = await kube.list(configmaps, {
          namespace,
          labelSelector: `set=${set}`,
          limit: 2,
          ...(next === undefined ? {} : { continue: next }),
        });
        expect(page.items.length).toBeLessThanOrEqual(2);
        items.push(...page.items);
        versions.add(page.resourceVersion);
        next = page.continue;
      } while (next !== undefined);
      expect(items.map((item) => item.metadata.name)).toEqual(names);
      expect(items.every((item) => item.kind === 'ConfigMap' && item.apiVersion === 'v1')).toBe(true);
      expect(versions.size).toBe(1);
    });

    test('metadata-only reads leave the content out', async () => {
      const name = unique();
      await kube.create(configmaps, map(name, { big: 'x' }, { labels: { only: name } }));
      const one = await kube.get(metadataOf(configmaps), { namespace, name });
      const page = await kube.list(metadataOf(configmaps), { namespace, labelSelector: `only=${name}` });
      expect(one.metadata.name).toBe(name);
      expect(one).not.toHaveProperty('data');
      expect(page.items).toHaveLength(1);
      expect(page.items[0]).not.toHaveProperty('data');
    });
  });

  describe('watching', () => {
    async function collect(version: string, selector: string, wanted: number, act: () => Promise<void>) {
      const stop = new AbortController();
      const events: WatchEvent<ConfigMap>[] = [];
      const options = {
        namespace,
        labelSelector: selector,
        resourceVersion: version,
        timeoutSeconds: 60,
        idleMs: 30_000,
      };
      const reading = (async () => {
        for await (const event of kube.watch(configmaps, { ...options, signal: stop.signal })) {
          if (event.type !== 'BOOKMARK') events.push(event);
          if (events.length === wanted) return;
        }
      })();
      const timer = setTimeout(() => stop.abort(), 10_000);
      await act();
      await reading;
      clearTimeout(timer);
      return events.map((event) =>
        event.type === 'BOOKMARK' ? 'BOOKMARK' : `${event.type} ${event.object.data?.['v'] ?? ''}`,
      );
    }

    test('sees what is added, changed and deleted after the list', async () => {
      const name = unique();
      const labels = { watched: name };
      const { resourceVersion } = await kube.list(configmaps, { namespace });
      const seen = await collect(resourceVersion, `watched=${name}`, 3, async () => {
        await kube.create(configmaps, map(name, { v: '1' }, { labels }));
        await kube.patch(configmaps, { namespace, name }, { data: { v: '2' } });
        await kube.delete(configmaps, { namespace, name });
      });
      expect(seen).toEqual(['ADDED 1', 'MODIFIED 2', 'DELETED 2']);
    });

    test('an object that comes to match is added, one that no longer matches is deleted', async () => {
      const name = unique();
      const { resourceVersion } = await kube.list(configmaps, { namespace });
      const seen = await collect(resourceVersion, `pick=${name}`, 2, async () => {
        await kube.create(configmaps, map(name, { v: '1' }));
        await kube.patch(configmaps, { namespace, name }, { metadata: { labels: { pick: name } } });
        await kube.patch(configmaps, { namespace, name }, { metadata: { labels: { pick: null } }, data: { v: '2' } });
      });
      expect(seen[0]).toBe('ADDED 1');
      expect(seen[1]).toMatch(/^DELETED/);
    });

    test('ends without an error when its signal is aborted', async () => {
      const stop = new AbortController();
      const { resourceVersion } = await kube.list(configmaps, { namespace });
      const options = { namespace, resourceVersion, timeoutSeconds: 60, idleMs: 30_000, signal: stop.signal };
      setTimeout(() => stop.abort(), 50);
      let events = 0;
      for await (const event of kube.watch(configmaps, options)) if (event.type !== 'BOOKMARK') events += 1;
      expect(events).toBe(0);
    });
  });

  describe('writing', () => {
    test('a name that is taken is AlreadyExists', async () => {
      const name = unique();
      await kube.create(configmaps, map(name, {}));
      expect(await kindOf(kube.create(configmaps, map(name, {})))).toBe('AlreadyExists');
    });

    test('a prefix is completed to a free name', async () => {
      const input = { metadata: { generateName: 'gen-', namespace } as unknown as KubeInput['metadata'] };
      const [one, two] = [await kube.create(configmaps, input), await kube.create(configmaps, input)];
      expect(one.metadata.name).toMatch(/^gen-.{5}$/);
      expect(one.metadata.name).not.toBe(two.metadata.name);
    });

    test('replace with a version that is no longer the newest is a Conflict, without one it wins', async () => {
      const name = unique();
      const { metadata } = await kube.create(configmaps, map(name, { v: '1' }));
      const { resourceVersion } = metadata;
      await kube.replace(configmaps, map(name, { v: '2' }, { resourceVersion }));
      expect(await kindOf(kube.replace(configmaps, map(name, { v: '3' }, { resourceVersion })))).toBe('Conflict');
      expect((await kube.replace(configmaps, map(name, { v: '4' }))).data).toEqual({ v: '4' });
      expect(await kindOf(kube.replace(configmaps, map('nobody', {})))).toBe('NotFound');
    });

    test('a merge patch changes what it names and null deletes', async () => {
      const name = unique();
      await kube.create(configmaps, map(name, { a: '1', b: '1', c: '1' }));
      const patched = await kube.patch(configmaps, { namespace, name }, { data: { a: '2', b: null } });
      expect(patched.data).toEqual({ a: '2', c: '1' });
      const stale = { metadata: { resourceVersion: '1' }, data: { a: '3' } };
      expect(await kindOf(kube.patch(configmaps, { namespace, name }, stale))).toBe('Conflict');
    });

    test('a dry run stores nothing', async () => {
      const name = unique();
      await kube.create(configmaps, map(name, {}), { dryRun: true });
      await kube.apply(configmaps, map(name, {}), { fieldManager: 'x', dryRun: true });
      expect(await kindOf(kube.get(configmaps, { namespace, name }))).toBe('NotFound');
    });

    test('a deletion can insist on one very object', async () => {
      const name = unique();
      const ref = { namespace, name };
      const { metadata } = await kube.create(configmaps, map(name, {}));
      expect(await kindOf(kube.delete(configmaps, ref, { uid: 'another' }))).toBe('Conflict');
      expect(await kindOf(kube.delete(configmaps, ref, { resourceVersion: '1' }))).toBe('Conflict');
      await kube.delete(configmaps, ref, { uid: metadata.uid, resourceVersion: metadata.resourceVersion });
      expect(await kindOf(kube.delete(configmaps, ref))).toBe('NotFound');
    });

    test('an object with a finalizer goes when the last finalizer does', async () => {
      const name = unique();
      const ref = { namespace, name };
      await kube.create(configmaps, map(name, {}, { finalizers: ['tabard.dev/test'] }));
      await kube.delete(configmaps, ref);
      expect((await kube.get(configmaps, ref)).metadata.deletionTimestamp).toBeDefined();
      await kube.patch(configmaps, ref, { metadata: { finalizers: null } });
      expect(await kindOf(kube.get(configmaps, ref))).toBe('NotFound');
    });
  });

  describe('server-side apply', () => {
    const us = { fieldManager: 'us' };
    const them = { fieldManager: 'them' };

    test('creates, and applied again changes nothing', async () => {
      const name = unique();
      const made = await kube.apply(configmaps, map(name, { a: '1' }), us);
      const again = await kube.apply(configmaps, map(name, { a: '1' }), us);
      expect(made.data).toEqual({ a: '1' });
      expect(again.metadata.resourceVersion).toBe(made.metadata.resourceVersion);
    });

    test('a field that its only owner no longer applies goes, those of others stay', async () => {
      const name = unique();
      await kube.apply(configmaps, map(name, { a: '1', b: '1' }, { labels: { x: 'y' } }), us);
      await kube.apply(configmaps, map(name, { c: '1' }), them);
      const after = await kube.apply(configmaps, map(name, { a: '2' }), us);
      expect(after.data).toEqual({ a: '2', c: '1' });
      expect(after.metadata.labels ?? {}).toEqual({});
    });

    test('another owner is a Conflict, unless forced', async () => {
      const name = unique();
      await kube.apply(configmaps, map(name, { a: '1' }), us);
      expect(await kindOf(kube.apply(configmaps, map(name, { a: '2' }), them))).toBe('Conflict');
      const forced = await kube.apply(configmaps, map(name, { a: '2' }), { ...them, force: true });
      expect(forced.data).toEqual({ a: '2' });
      expect(await kindOf(kube.apply(configmaps, map(name, { a: '1' }), us))).toBe('Conflict');
    });

    test('a field of somebody who did not apply is a Conflict, too', async () => {
      const name = unique();
      await kube.create(configmaps, map(name, { a: 'by hand' }));
      expect(await kindOf(kube.apply(configmaps, map(name, { a: 'ours' }), us))).toBe('Conflict');
    });

    test('owner references are kept apart by uid', async () => {
      const name = unique();
      const owner = (uid: string) => ({ apiVersion: 'v1', kind: 'ConfigMap', name: `o-${uid}`, uid });
      await kube.apply(configmaps, map(name, {}, { ownerReferences: [owner('u1')] }), us);
      const both = await kube.apply(configmaps, map(name, {}, { ownerReferences: [owner('u2')] }), them);
      expect(both.metadata.ownerReferences?.map((each) => each.uid)).toEqual(['u1', 'u2']);
      const one = await kube.apply(configmaps, map(name, {}), us);
      expect(one.metadata.ownerReferences?.map((each) => each.uid)).toEqual(['u2']);
    });

    test('a version that does not hold is a Conflict, a uid that does not hold is Invalid', async () => {
      const name = unique();
      const made = await kube.apply(configmaps, map(name, { a: '1' }), us);
      const { uid, resourceVersion } = made.metadata;
      await kube.apply(configmaps, map(name, { a: '2' }, { uid, resourceVersion }), us);
      expect(await kindOf(kube.apply(configmaps, map(name, { a: '3' }, { resourceVersion }), us))).toBe('Conflict');
      expect(await kindOf(kube.apply(configmaps, map(name, { a: '3' }, { uid: 'other' }), us))).toBe('Invalid');
    });

    test('the status is written apart from the rest', async () => {
      const name = unique();
      const node = (more: object): KubeInput => ({ metadata: { name }, ...more });
      expect(await kindOf(kube.applyStatus(nodes, node({ status: {} }), us))).toBe('NotFound');
      await kube.apply(nodes, node({ spec: { unschedulable: true } }), us);
      const ignored = node({ spec: { unschedulable: true }, status: { capacity: { cpu: '1' } } });
      expect((await kube.apply(nodes, ignored, us)).status?.capacity).toBeUndefined();
      const ready = await kube.applyStatus(nodes, node({ status: { capacity: { cpu: '2' } } }), us);
      expect(ready.status?.capacity).toMatchObject({ cpu: '2' });
      expect(ready.spec?.unschedulable).toBe(true);
      const kept = await kube.apply(nodes, node({ spec: { unschedulable: true } }), us);
      expect(kept.status?.capacity).toMatchObject({ cpu: '2' });
      await kube.delete(nodes, { name });
    });
  });

  test('a watch from a version that the server has forgotten is Gone, a list goes on', async () => {
    const { resourceVersion } = await kube.list(configmaps, { namespace });
    await kube.create(configmaps, map(unique(), { v: '1' }));
    await forget();
    await kube.create(configmaps, map(unique(), { v: '2' }));
    const options = { namespace, resourceVersion, timeoutSeconds: 60, idleMs: 30_000 };
    const watch = async () => {
      for await (const event of kube.watch(configmaps, { ...options, signal: AbortSignal.timeout(10_000) })) void event;
    };
    expect(await kindOf(watch())).toBe('Gone');
    expect((await kube.list(configmaps, { namespace })).items.length).toBeGreaterThan(1);
  });
}

// What is kept on disk is written after changes, for as long as a pod lives: none of them may leave anything behind.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from '@jest/globals';
import { systemClock } from '../../../../lib/clock.ts';
import { createLogger } from '../../../../lib/runtime/logger.ts';
import { type Kept, SnapshotStore } from '../../../../sidecar/control/store.ts';
import { settle, TestClock } from '../../../support/clock.ts';

const logger = createLogger({ name: 'test', level: 'silent' });

/** Bytes of JavaScript that can be reached. Node gives the collector out at any time, not only with a flag at the start. */
async function reachable(): Promise<number> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  await settle();
  collect();
  return process.memoryUsage().heapUsed;
}

test('a change leaves nothing behind once it is written', async () => {
  const [few, many] = [2_000, 42_000];
  const stop = new AbortController();
  let changes = 0;
  const [atFew, atMany] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  // Each is written as soon as it has come, and the next one has come by then.
  const clock = { ...systemClock, sleep: () => Promise.resolve() };
  const collect = (): undefined => {
    changes += 1;
    if (changes === few) atFew.resolve();
    else if (changes === many) atMany.resolve();
    else store.touch();
  };
  const store = new SnapshotStore({ folder: '/nowhere', clock, logger, collect });
  const running = store.run(stop.signal);
  store.touch();
  await atFew.promise;
  const before = await reachable();
  store.touch();
  await atMany.promise;
  const after = await reachable();
  stop.abort();
  await running;
  // One that is remembered takes some two hundred and fifty bytes.
  expect((after - before) / (many - few)).toBeLessThan(100);
});

test('writes what there is when the process stops, also between a change and the writing of it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tabard-store-'));
  try {
    const clock = new TestClock();
    const stop = new AbortController();
    const kept = { self: { version: 'v1' }, destinations: [] } as unknown as Kept;
    const store = new SnapshotStore({ folder, clock, logger, collect: () => kept });
    const running = store.run(stop.signal);
    store.touch();
    await settle();
    stop.abort();
    await running;
    expect(JSON.parse(readFileSync(join(folder, 'snapshots.json'), 'utf8'))).toMatchObject({ self: { version: 'v1' } });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

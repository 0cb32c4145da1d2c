// The edge certificate in a folder as the kubelet projects it: taken, kept, replaced and gone, at every moment of a swap.
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { systemCode } from '../../../lib/errors.ts';
import { EdgeFiles } from '../../../sidecar/edge/files.ts';
import { TestClock } from '../../support/clock.ts';
import { kubeDeps } from '../../support/kubedeps.ts';
import { type TestLeaf, testAuthority, testLeaf } from '../../support/pki.ts';

const authority = await testAuthority({ now: new Date('2025-01-01T00:00:00Z') });
const clock = new TestClock('2026-01-01T00:00:00Z');
const leaf = (now = clock.now()): Promise<TestLeaf> => testLeaf(authority, { now, dnsNames: ['shop.example.com'] });

let folder: string;
let files: EdgeFiles;
let lines: ReturnType<typeof kubeDeps>['lines'];
let generations = 0;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tabard-edge-'));
  const deps = kubeDeps();
  lines = deps.lines;
  files = new EdgeFiles({ folder, clock, logger: deps.logger });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A new generation that is not linked yet; its path. */
function generation(content: Readonly<Record<string, string>>): string {
  generations += 1;
  const path = join(folder, `..${generations}`);
  mkdirSync(path);
  for (const [name, text] of Object.entries(content)) writeFileSync(join(path, name), text);
  return path;
}

/** What the kubelet does: one rename of the link. */
function swap(to: string): void {
  symlinkSync(to, join(folder, '..data_tmp'));
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
}

/** The writing end of a pipe, once somebody reads it. */
async function openedByReader(path: string): Promise<number> {
  for (;;) {
    try {
      return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (error) {
      if (systemCode(error) !== 'ENXIO') throw error;
      await delay(5);
    }
  }
}

const pair = ({ certificate, key }: TestLeaf) => ({ 'edge.crt': certificate, 'edge.key': key });
const messages = (): readonly unknown[] => lines.map(({ msg }) => msg);

describe('the edge certificate', () => {
  test('is taken when it comes, replaced when another comes, and gone when both files are', async () => {
    swap(generation({}));
    await files.refresh();
    expect([files.current(), messages()]).toEqual([undefined, []]);
    for (const each of [await leaf(), await leaf()]) {
      swap(generation(pair(each)));
      await files.refresh();
      await files.refresh();
      expect(files.current()?.serial).toBe(each.serial);
    }
    swap(generation({}));
    await files.refresh();
    expect(files.current()).toBeUndefined();
    expect(messages()).toEqual(['edge certificate in use', 'edge certificate in use', 'edge certificate is gone']);
  });

  test('that is bad leaves the one before in use, and is told once', async () => {
    const [good, other] = [await leaf(), await leaf()];
    swap(generation(pair(good)));
    await files.refresh();
    swap(generation({ ...pair(good), 'edge.key': other.key }));
    await files.refresh();
    await files.refresh();
    expect(files.current()?.serial).toBe(good.serial);
    expect(messages()).toEqual(['edge certificate in use', 'edge certificate refused']);
  });

  test('of a CA whose clock is ahead is taken when its time has come, though nothing is swapped again', async () => {
    const early = await leaf(new Date(clock.now().getTime() + 5 * 60_000));
    swap(generation(pair(early)));
    await files.refresh();
    expect(files.current()).toBeUndefined();
    await clock.advance(6 * 60_000);
    await files.refresh();
    expect(files.current()?.serial).toBe(early.serial);
  });

  test('is not taken for gone when the kubelet removes the old files while they are read', async () => {
    const [old, next] = [await leaf(), await leaf()];
    swap(generation(pair(old)));
    await files.refresh();
    // A pipe holds the reader at the first file until the second is away.
    const held = generation({ 'edge.key': old.key });
    execFileSync('mkfifo', [join(held, 'edge.crt')]);
    swap(held);
    const reading = files.refresh();
    const writer = await openedByReader(join(held, 'edge.crt'));
    swap(generation(pair(next)));
    rmSync(join(held, 'edge.key'));
    closeSync(writer);
    await reading;
    expect(files.current()?.serial).toBe(old.serial);
    await files.refresh();
    expect(files.current()?.serial).toBe(next.serial);
    expect(messages()).not.toContain('edge certificate is gone');
  });
});

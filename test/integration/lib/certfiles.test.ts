// The folder as the kubelet writes it: a `..data` link to a dated folder, replaced by rename; and as others write it.
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { systemClock } from '../../../lib/clock.ts';
import type { Authority } from '../../../lib/pki/ca.ts';
import { CertificateFiles } from '../../../lib/runtime/certfiles.ts';
import type { CredentialFault, Credentials } from '../../../lib/runtime/credentials.ts';
import { createLogger } from '../../../lib/runtime/logger.ts';
import { type TestLeaf, testAuthority, testLeaf } from '../../support/pki.ts';

jest.setTimeout(30_000);

let authority: Authority;
let first: TestLeaf;
let second: TestLeaf;
let folder: string;
let generation = 0;
let rejected: CredentialFault[];
let stop: AbortController;

beforeAll(async () => {
  authority = await testAuthority();
  first = await testLeaf(authority);
  second = await testLeaf(authority);
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tabard-certfiles-'));
  rejected = [];
  stop = new AbortController();
});

afterEach(async () => {
  stop.abort();
  await rm(folder, { recursive: true });
});

type Files = Readonly<Record<string, string>>;

const filesOf = (leaf: TestLeaf): Files => ({
  'tls.crt': leaf.certificate,
  'tls.key': leaf.key,
  'ca.crt': leaf.bundle,
});

async function writeFiles(into: string, files: Files): Promise<void> {
  await mkdir(into, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(into, name), text);
}

/** What the kubelet's atomic writer does: a new dated folder, a new link, a rename over the old link, the old folder removed. */
async function project(files: Files): Promise<void> {
  const name = `..2026_11_22_${generation++}`;
  await writeFiles(join(folder, name), files);
  await symlink(name, join(folder, '..data_tmp'));
  await rename(join(folder, '..data_tmp'), join(folder, '..data'));
  if (generation > 1) await rm(join(folder, `..2026_11_22_${generation - 2}`), { recursive: true, force: true });
}

function open(pollMs: number): CertificateFiles {
  return new CertificateFiles({
    folder,
    clock: systemClock,
    logger: createLogger({ name: 'test', level: 'silent' }),
    onRejected: (fault) => rejected.push(fault),
    pollMs,
  });
}

function nextChange(files: CertificateFiles, withinMs: number): Promise<Credentials> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no change within ${withinMs} ms`)), withinMs);
    const end = files.subscribe((credentials) => {
      clearTimeout(timer);
      end();
      resolve(credentials);
    });
  });
}

describe('a projected volume', () => {
  test('is read at once, and a swap is seen by the watch long before the next poll', async () => {
    await project(filesOf(first));
    const files = open(60_000);
    const running = files.run(stop.signal);
    await files.refresh();
    expect(files.current()?.key).toBe(first.key);
    const change = nextChange(files, 10_000);
    await project(filesOf(second));
    expect((await change).key).toBe(second.key);
    stop.abort();
    await running;
  });

  test('a swap is seen by the poll alone when the watch cannot be made', async () => {
    const real = folder;
    folder = join(real, 'later');
    const files = open(50);
    const running = files.run(stop.signal);
    const change = nextChange(files, 10_000);
    await project(filesOf(first));
    expect((await change).key).toBe(first.key);
    expect(rejected).toEqual(['unreadable']);
    stop.abort();
    await running;
    folder = real;
  });

  test.each<[string, CredentialFault, () => Files]>([
    ['the key of another certificate', 'key_mismatch', () => ({ ...filesOf(second), 'tls.key': first.key })],
    ['a garbled certificate', 'certificate_invalid', () => ({ ...filesOf(second), 'tls.crt': 'garbage' })],
    ['no trust bundle', 'bundle_invalid', () => ({ ...filesOf(second), 'ca.crt': '' })],
    ['a missing file', 'unreadable', () => ({ 'tls.crt': second.certificate, 'tls.key': second.key })],
    [
      'a file too large to be a certificate',
      'unreadable',
      () => ({ ...filesOf(second), 'ca.crt': 'x'.repeat(2 ** 21) }),
    ],
  ])('a swap to %s keeps the good pair, counts %s once, and the next good pair is taken', async (_name, fault, bad) => {
    await project(filesOf(first));
    const files = open(10);
    const running = files.run(stop.signal);
    await files.refresh();
    await project(bad());
    for (let reads = 0; reads < 5; reads += 1) await files.refresh();
    expect(files.current()?.key).toBe(first.key);
    expect(rejected).toEqual([fault]);
    const change = nextChange(files, 10_000);
    await project(filesOf(second));
    expect((await change).key).toBe(second.key);
    stop.abort();
    await running;
  });

  test('a hundred swaps under constant reading never show a mixed or a refused pair', async () => {
    const leaves = [first, second];
    await project(filesOf(first));
    const files = open(60_000);
    const seen: Credentials[] = [];
    files.subscribe((credentials) => seen.push(credentials));
    const done = new AbortController();
    const reader = (async () => {
      while (!done.signal.aborted) await files.refresh();
    })();
    for (let swap = 1; swap <= 100; swap += 1) await project(filesOf(leaves[swap % 2] ?? first));
    done.abort();
    await reader;
    expect(rejected).toEqual([]);
    expect(seen.length).toBeGreaterThan(1);
    expect(seen.every((each) => each.leaf.serialNumber === each.serial)).toBe(true);
    expect((await files.refresh()).good).toBe(true);
    expect(files.current()?.key).toBe(first.key);
  });
});

describe('a pod certificate', () => {
  const bundleOf = (leaf: TestLeaf): Files => ({
    'credential-bundle.pem': leaf.key + leaf.certificate,
    'ca.crt': leaf.bundle,
  });

  test('is read from the one file that the kubelet writes, and a refresh of it is taken over', async () => {
    await project(bundleOf(first));
    const files = open(10);
    const running = files.run(stop.signal);
    await files.refresh();
    expect(files.current()).toMatchObject({ key: first.key, certificate: first.certificate });
    const change = nextChange(files, 10_000);
    await project(bundleOf(second));
    expect((await change).key).toBe(second.key);
    stop.abort();
    await running;
    expect(rejected).toEqual([]);
  });

  test('counts beside a certificate and key that are apart, which may be of different ages', async () => {
    await project({ ...filesOf(first), ...bundleOf(second) });
    const files = open(60_000);
    await files.refresh();
    expect(files.current()?.key).toBe(second.key);
  });

  test.each<[string, CredentialFault, () => Files]>([
    ['an empty file', 'certificate_invalid', () => ({ ...bundleOf(second), 'credential-bundle.pem': '' })],
    [
      'a chain without its key',
      'key_invalid',
      () => ({ ...bundleOf(second), 'credential-bundle.pem': second.certificate }),
    ],
    [
      'a key without its chain',
      'certificate_invalid',
      () => ({ ...bundleOf(second), 'credential-bundle.pem': second.key }),
    ],
    [
      'the key behind the chain, as no kubelet writes it',
      'certificate_invalid',
      () => ({ ...bundleOf(second), 'credential-bundle.pem': second.certificate + second.key }),
    ],
    [
      'another key before the chain',
      'key_mismatch',
      () => ({ ...bundleOf(second), 'credential-bundle.pem': first.key + second.certificate }),
    ],
    ['no trust bundle', 'unreadable', () => ({ 'credential-bundle.pem': second.key + second.certificate })],
  ])('%s keeps the good one and is counted as %s', async (_name, fault, bad) => {
    await project(bundleOf(first));
    const files = open(60_000);
    await files.refresh();
    await project(bad());
    expect(await files.refresh()).toMatchObject({ good: false, fault });
    expect(files.current()?.key).toBe(first.key);
    expect(rejected).toEqual([fault]);
  });
});

describe('a plain folder', () => {
  test('half-written states are refused until the last file is there', async () => {
    await writeFiles(folder, filesOf(first));
    const files = open(60_000);
    await files.refresh();
    await writeFile(join(folder, 'tls.crt'), second.certificate);
    expect(await files.refresh()).toMatchObject({ good: false, fault: 'key_mismatch' });
    await writeFile(join(folder, 'tls.key'), second.key.slice(0, 50));
    expect(await files.refresh()).toMatchObject({ good: false, fault: 'key_invalid' });
    expect(files.current()?.key).toBe(first.key);
    await writeFile(join(folder, 'tls.key'), second.key);
    expect(await files.refresh()).toMatchObject({ good: true });
    expect(files.current()?.key).toBe(second.key);
    expect(rejected).toEqual(['key_mismatch', 'key_invalid']);
  });

  test('an empty folder gives nothing, and a pair that is put there later is found', async () => {
    const files = open(60_000);
    expect(await files.refresh()).toMatchObject({ good: false, fault: 'unreadable' });
    expect(files.current()).toBeUndefined();
    await writeFiles(folder, filesOf(first));
    expect(await files.refresh()).toMatchObject({ good: true });
  });
});

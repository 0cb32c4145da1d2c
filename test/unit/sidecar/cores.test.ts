// How many workers a container gets, and where its limits are read.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { readLimits, workersFor } from '../../../sidecar/cores.ts';

const GB = 2 ** 30;
const roomy = { cores: 4, memory: 4 * GB, parallelism: 8 };

describe('workers', () => {
  test.each([
    ['one without a CPU limit', { ...roomy, cores: Infinity }, 1],
    ['one for a part of a core', { ...roomy, cores: 0.1 }, 1],
    ['one for a core and a half', { ...roomy, cores: 1.5 }, 1],
    ['two for two cores', { ...roomy, cores: 2 }, 2],
    ['one for each whole core', { ...roomy, cores: 3.9 }, 3],
    ['no more than the memory limit has room for', { ...roomy, memory: 256 * 2 ** 20 }, 2],
    ['one, however small the memory limit is', { ...roomy, memory: 64 * 2 ** 20 }, 1],
    ['as many as cores where memory has no limit', { ...roomy, memory: Infinity }, 4],
    ['no more than the process may run on', { ...roomy, parallelism: 2 }, 2],
    ['no more than sixteen', { cores: 64, memory: Infinity, parallelism: 64 }, 16],
  ])('Auto takes %s', (_, limits, workers) => {
    expect(workersFor('Auto', limits)).toBe(workers);
  });

  test('a number is taken as it is', () => {
    expect(workersFor('3', { cores: Infinity, memory: 64 * 2 ** 20, parallelism: 1 })).toBe(3);
  });
});

describe('the limits of a container', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tabard-cgroup-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test.each([
    ['two cores and a gigabyte', '200000 100000\n', '1073741824\n', { cores: 2, memory: GB }],
    ['a tenth of a core', '10000 100000\n', 'max\n', { cores: 0.1, memory: Infinity }],
    ['a period of its own', '75000 50000\n', 'max\n', { cores: 1.5, memory: Infinity }],
    ['none', 'max 100000\n', 'max\n', { cores: Infinity, memory: Infinity }],
    ['what nobody understands', 'much\n', '\n', { cores: Infinity, memory: Infinity }],
  ])('are read: %s', (_, cpu, memory, limits) => {
    writeFileSync(join(folder, 'cpu.max'), cpu);
    writeFileSync(join(folder, 'memory.max'), memory);
    expect(readLimits(folder)).toMatchObject(limits);
  });

  test('are none where there is no cgroup v2', () => {
    expect(readLimits(join(folder, 'absent'))).toMatchObject({ cores: Infinity, memory: Infinity });
  });
});

// The table of threads in docs/conformance.md: every thread that it names is in a test of the files that it names.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from '@jest/globals';

const root = resolve(import.meta.dirname, '../../..');
const page = readFileSync(`${root}/docs/conformance.md`, 'utf8');
const [, section = ''] = page.split(/^## Threads$/m);
const rows = section
  .split(/^## /m, 1)
  .join('')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| complaint'))
  .map((line) => line.split(' | '));

/** `cert-manager#296 #897, autocert#58` as numbers. */
const numbersIn = (cell: string): readonly string[] => [...cell.matchAll(/#(\d+)/g)].map(([, number = '']) => number);

test('the table has rows, and each names threads and tests', () => {
  expect(rows.length).toBeGreaterThanOrEqual(13);
  for (const row of rows) expect([row.length, numbersIn(row[1] ?? '').length > 0]).toEqual([5, true]);
});

test.each(rows.map((row) => [row[0]?.slice(2) ?? '', row[1] ?? '', row[4] ?? ''] as const))(
  '%s: every thread is named in its tests',
  (_, threads, tests) => {
    const files = [...tests.matchAll(/`([^`]+)`/g)].map(([, path = '']) => readFileSync(`${root}/${path}`, 'utf8'));
    const named = new Set(files.flatMap(numbersIn));
    expect(numbersIn(threads).filter((number) => !named.has(number))).toEqual([]);
  },
);

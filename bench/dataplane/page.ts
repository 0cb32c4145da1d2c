// Writes what a run found into docs/benchmarks.md, between two markers, and its chart beside it.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const docs = join(import.meta.dirname, '../../docs');
const page = join(docs, 'benchmarks.md');
const picture = join(docs, 'img/dataplane.svg');
const [begin, end] = ['<!-- dataplane: written by make bench-dataplane -->', '<!-- dataplane: end -->'];

/** Replaces what is between the markers. Throws when they are not there. */
export function writePage(text: string, svg: string): void {
  const before = readFileSync(page, 'utf8');
  const [from, to] = [before.indexOf(begin), before.indexOf(end)];
  if (from < 0 || to < from) throw new Error('docs/benchmarks.md has lost the markers of the data-plane benchmark');
  writeFileSync(page, `${before.slice(0, from + begin.length)}\n${text}\n${before.slice(to)}`);
  mkdirSync(dirname(picture), { recursive: true });
  writeFileSync(picture, svg);
}

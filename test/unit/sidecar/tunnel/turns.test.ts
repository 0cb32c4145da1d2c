// Whose turn it is: sources go on one after the other, each with a few blocks, and none is left behind.
import { expect, test } from '@jest/globals';
import { Turns, type TurnTaker } from '../../../../sidecar/tunnel/turns.ts';

/** A source that has so many blocks, and after each of which it waits for its turn; `at once` or when it is asked `later`. */
class Source implements TurnTaker {
  isQueued = false;
  readonly queued = 0;
  readonly #name: string;
  readonly #told: string[];
  #blocks: number;
  again: (() => void) | undefined;

  constructor(name: string, blocks: number, told: string[]) {
    this.#name = name;
    this.#blocks = blocks;
    this.#told = told;
  }

  turn(): boolean {
    this.#told.push(this.#name);
    this.#blocks -= 1;
    if (this.#blocks > 0) this.again?.();
    return false;
  }
}

/** What turns were given to sources with so many blocks, once nobody waits any more. */
function orderOf(blocks: Readonly<Record<string, number>>, when: 'at once' | 'later'): string {
  const turns = new Turns();
  const told: string[] = [];
  const later: (() => void)[] = [];
  for (const [name, count] of Object.entries(blocks)) {
    const source = new Source(name, count, told);
    const again = (): void => turns.add(source);
    source.again = when === 'at once' ? again : () => void later.push(again);
    turns.add(source);
  }
  for (let looks = 0; looks < 1_000; looks += 1) {
    const waits = turns.goOn();
    if (!waits && later.length === 0) break;
    for (const again of later.splice(0)) again();
  }
  return told.join('');
}

test.each<readonly [string, Readonly<Record<string, number>>, string]>([
  ['one after the other with four blocks each', { a: 9, b: 6 }, 'aaaabbbbaaaabba'],
  ['the next goes on where one has no more', { a: 2, b: 1, c: 5 }, 'aabccccc'],
  ['one alone goes on all the time', { a: 10 }, 'aaaaaaaaaa'],
])('sources: %s', (_what, blocks, order) => {
  expect(orderOf(blocks, 'at once')).toBe(order);
  expect(orderOf(blocks, 'later')).toBe(order);
});

test('of very many sources none is left behind, whether they come again at once or later', () => {
  const names = Array.from({ length: 40 }, (_, index) => String.fromCodePoint(0x100 + index));
  const blocks = Object.fromEntries(names.map((name, index) => [name, 1 + (index % 6)]));
  const all = names.flatMap((name, index) => Array.from({ length: 1 + (index % 6) }, () => name)).sort();
  for (const when of ['at once', 'later'] as const) expect(orderOf(blocks, when).split('').sort()).toEqual(all);
});

// Which clauses of rules hold for a call, found by a look-up per kind of condition instead of a walk over all rules: each value that a clause
// names leads to a set of clauses (bits of 32-bit words), and a clause holds when its bit is in the set of every kind. Pure.
import { type Block, inBlock, type Words } from './ipblock.ts';

/** A set of clauses: bit `n & 31` of word `n >> 5`. Never written to once the index is made. */
export type ClauseSet = Int32Array;

/** Clauses by one kind of value that they name. A clause that names none holds for every value. */
export class ValueIndex<K> {
  readonly #any: ClauseSet;
  readonly #sets = new Map<K, ClauseSet>();

  /** `lists`: what each clause names; undefined = it does not ask. */
  constructor(lists: readonly (readonly K[] | undefined)[]) {
    this.#any = unrestricted(lists);
    for (const [clause, values] of lists.entries()) {
      for (const value of values ?? [])
        put(
          entry(this.#sets, value, () => this.#any.slice()),
          clause,
        );
    }
  }

  /** Clauses that hold for a value; of one that nobody has, those that do not ask. */
  of(value: K | undefined): ClauseSet {
    if (value === undefined || this.#sets.size === 0) return this.#any;
    return this.#sets.get(value) ?? this.#any;
  }
}

/** One range and the clauses that name it. */
interface Range {
  readonly words: Words;
  readonly set: ClauseSet;
}

/** Ranges of one family and length, by a hash of their leading bits. */
interface Ranges {
  readonly bits: number;
  readonly found: Map<number, Range[]>;
}

/** Clauses by address ranges: one look-up for each length of range that is in use. */
export class RangeIndex {
  /** Clauses that do not ask. */
  readonly any: ClauseSet;
  /** By the number of words of an address: 1 or 4. */
  readonly #ranges = new Map<number, Ranges[]>();

  /** `lists`: the ranges of each clause; undefined = it does not ask. */
  constructor(lists: readonly (readonly Block[] | undefined)[]) {
    this.any = unrestricted(lists);
    for (const [clause, blocks] of lists.entries()) for (const block of blocks ?? []) this.#add(block, clause);
  }

  /** Whether any clause asks for an address. */
  get asks(): boolean {
    return this.#ranges.size > 0;
  }

  /** Sets whose union are the clauses that hold for an address; false = it is none. */
  of(address: Words | false): readonly ClauseSet[] {
    const sets = [this.any];
    if (address === false) return sets;
    for (const { bits, found } of this.#ranges.get(address.length) ?? []) {
      const range = found.get(hashOf(address, bits))?.find(({ words }) => inBlock({ words, bits }, address));
      if (range !== undefined) sets.push(range.set);
    }
    return sets;
  }

  #add({ words, bits }: Block, clause: number): void {
    const family = entry(this.#ranges, words.length, () => []);
    const known = family.find((each) => each.bits === bits);
    const ranges = known ?? { bits, found: new Map<number, Range[]>() };
    if (known === undefined) family.push(ranges);
    const near = entry(ranges.found, hashOf(words, bits), () => []);
    let range = near.find((each) => inBlock({ words, bits }, each.words));
    if (range === undefined) near.push((range = { words, set: new Int32Array(this.any.length) }));
    put(range.set, clause);
  }
}

/** Equal for addresses that share their leading bits. */
function hashOf(words: Words, bits: number): number {
  let hash = 0;
  for (let index = 0, left = bits; left > 0; index += 1, left -= 32) {
    const word = words[index] ?? 0;
    // A shift by 32 would be one by 0.
    hash = Math.imul(hash ^ (left >= 32 ? word : word & ~(-1 >>> left)), 0x9e3779b1);
  }
  return hash;
}

/** A set of none of so many clauses. */
export function emptySet(clauses: number): ClauseSet {
  return new Int32Array(Math.ceil(clauses / 32));
}

/** The clauses that ask for nothing. */
export function unrestricted(lists: readonly (readonly unknown[] | undefined)[]): ClauseSet {
  const set = emptySet(lists.length);
  for (const [clause, values] of lists.entries()) if (values === undefined) put(set, clause);
  return set;
}

/** Puts a clause into a set that is being made. */
export function put(set: ClauseSet, clause: number): void {
  set[clause >> 5] = (set[clause >> 5] ?? 0) | (1 << (clause & 31));
}

/** One character more in the hash of a text (FNV-1a, which needs no more than one multiplication each). Whoever looks up by it compares the text, too. */
export function mixed(hash: number, code: number): number {
  return Math.imul(hash ^ code, 0x01000193);
}

/** Whether a text has another at a place. For the few characters of a name, faster than `startsWith`. */
export function hasAt(text: string, name: string, at: number): boolean {
  if (text.length - at < name.length) return false;
  for (let index = 0; index < name.length; index += 1)
    if (text.charCodeAt(at + index) !== name.charCodeAt(index)) return false;
  return true;
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

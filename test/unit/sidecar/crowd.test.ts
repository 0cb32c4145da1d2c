import { describe, expect, test } from '@jest/globals';
import { ByKey } from '../../../sidecar/bykey.ts';
import { Crowd, type Placed } from '../../../sidecar/crowd.ts';

interface Member extends Placed {
  readonly name: number;
}

const member = (name: number): Member => ({ name, place: -1 });
const names = (crowd: Crowd<Member>): readonly number[] => [...crowd].map(({ name }) => name).sort((a, b) => a - b);

describe('a crowd', () => {
  test('has those who came and did not leave, whatever the order in which they left', () => {
    const crowd = new Crowd<Member>();
    const all = Array.from({ length: 100 }, (_, name) => member(name));
    for (const each of all) crowd.add(each);
    const gone = all
      .filter(({ name }) => (name * 37) % 100 < 60)
      .sort((a, b) => ((a.name * 13) % 100) - ((b.name * 13) % 100));
    for (const each of gone) expect(crowd.delete(each)).toBe(true);
    expect(crowd.size).toBe(40);
    expect(names(crowd)).toEqual(all.filter((each) => !gone.includes(each)).map(({ name }) => name));
  });

  test('says of one that has left, never came or is in another that it is not there', () => {
    const [crowd, other] = [new Crowd<Member>(), new Crowd<Member>()];
    const [one, two] = [member(1), member(2)];
    crowd.add(one);
    other.add(two);
    expect([crowd.delete(two), crowd.delete(member(3)), crowd.delete(one), crowd.delete(one)]).toEqual([
      false,
      false,
      true,
      false,
    ]);
    expect([crowd.size, other.size]).toEqual([0, 1]);
  });

  test('meets each of them once while each leaves as it is met', () => {
    const crowd = new Crowd<Member>();
    for (let name = 0; name < 50; name += 1) crowd.add(member(name));
    const met: number[] = [];
    for (const each of crowd) {
      met.push(each.name);
      crowd.delete(each);
    }
    expect(met.sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, name) => name));
    expect(crowd.size).toBe(0);
  });

  test('meets all that stay while others leave and come', () => {
    const crowd = new Crowd<Member>();
    const all = Array.from({ length: 50 }, (_, name) => member(name));
    for (const each of all) crowd.add(each);
    const met = new Set<number>();
    for (const each of crowd) {
      met.add(each.name);
      const leaves = all[(each.name * 7 + 3) % 50];
      if (leaves !== undefined && leaves.name % 2 === 1) crowd.delete(leaves);
      crowd.add(member(100 + each.name));
    }
    for (const { name } of all) if (name % 2 === 0) expect(met.has(name)).toBe(true);
  });
});

describe('things by their keys', () => {
  test('are found until they are dropped, by numbers that rise for ever', () => {
    const things = new ByKey<number, { readonly name: string }>();
    for (let number = 1; number <= 10_000; number += 1) {
      things.set(number, { name: `thing ${number}` });
      if (number > 32) expect(things.delete(number - 32)).toBe(true);
    }
    expect(things.size).toBe(32);
    expect(things.get(9_968)).toBeUndefined();
    expect(things.get(9_969)?.name).toBe('thing 9969');
    expect(things.get(10_000)?.name).toBe('thing 10000');
    expect([things.delete(1), things.delete(10_001)]).toEqual([false, false]);
    expect([...things.values()]).toHaveLength(32);
  });

  test('can be gone through while they are dropped', () => {
    const things = new ByKey<number, { readonly number: number }>();
    for (let number = 2; number <= 40; number += 2) things.set(number, { number });
    const met: number[] = [];
    for (const { number } of things.values()) {
      met.push(number);
      things.delete(number);
    }
    expect(met).toHaveLength(20);
    expect(things.size).toBe(0);
  });

  test('say which came first, whoever took whose place', () => {
    const things = new ByKey<string, { readonly name: string }>();
    expect(things.oldest).toBeUndefined();
    for (const name of ['one', 'two', 'three']) things.set(name, { name });
    things.delete('one');
    things.set('four', { name: 'four' });
    expect(things.oldest).toBe('two');
    things.delete('two');
    things.delete('three');
    expect([things.oldest, things.get('four')]).toEqual(['four', { name: 'four' }]);
    things.set('four', { name: 'another' });
    expect([...things.values()]).toEqual([{ name: 'another' }]);
  });
});

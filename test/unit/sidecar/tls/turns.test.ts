import { expect, test } from '@jest/globals';
import { HandshakeTurns } from '../../../../sidecar/tls/turns.ts';

/** Turns that pass when the test says so. */
function turns(most?: number) {
  const waiting: (() => void)[] = [];
  const order: string[] = [];
  const handshakes = new HandshakeTurns({ later: (run) => waiting.push(run), ...(most === undefined ? {} : { most }) });
  const begin = (address: string, name: string): void => {
    void handshakes.begin(address).then((taken) => void order.push(taken ? name : `${name} is turned away`));
  };
  const finish = (name: string): void => void handshakes.finish().then(() => void order.push(name));
  /** One turn, in which others are served. */
  const pass = async (): Promise<void> => {
    expect(waiting.length).toBeLessThanOrEqual(1);
    waiting.shift()?.();
    await new Promise((done) => setImmediate(done));
  };
  const passAll = async (): Promise<void> => {
    await pass();
    while (waiting.length > 0) await pass();
  };
  return { handshakes, order, begin, finish, pass, passAll, waiting };
}

test('who comes alone begins at once, and again in a later turn', async () => {
  const { begin, order, pass, waiting } = turns();
  begin('a', 'first');
  await pass();
  expect([order, waiting.length]).toEqual([['first'], 0]);
  begin('a', 'second');
  await Promise.resolve();
  await Promise.resolve();
  expect(order).toEqual(['first', 'second']);
});

test('of many that come at once one begins in a turn', async () => {
  const { begin, order, pass } = turns();
  for (let number = 0; number < 4; number += 1) begin('a', `${number}`);
  for (const after of [2, 3, 4]) {
    await pass();
    expect(order).toHaveLength(after);
  }
  expect(order).toEqual(['0', '1', '2', '3']);
});

test('addresses take turns, so that one that floods waits behind itself', async () => {
  const { begin, order, passAll } = turns();
  for (let number = 0; number < 5; number += 1) begin('flood', `flood ${number}`);
  begin('b', 'healthy b');
  begin('c', 'healthy c');
  begin('b', 'second of b');
  await passAll();
  expect(order).toEqual([
    'flood 0',
    'flood 1',
    'healthy b',
    'healthy c',
    'flood 2',
    'second of b',
    'flood 3',
    'flood 4',
  ]);
});

test('who has begun is finished before others begin, in a turn of its own', async () => {
  const { begin, finish, order, pass, passAll } = turns();
  begin('a', 'one begins');
  begin('a', 'two begins');
  finish('one ends');
  await pass();
  expect(order).toEqual(['one begins', 'one ends']);
  await passAll();
  expect(order).toEqual(['one begins', 'one ends', 'two begins']);
});

test('the end of a handshake never comes in the turn of its verification, also when nobody else waits', async () => {
  const { finish, order, pass } = turns();
  finish('end');
  await Promise.resolve();
  await Promise.resolve();
  expect(order).toEqual([]);
  await pass();
  expect(order).toEqual(['end']);
});

test('when too many wait, the newest of the address that has the most is turned away, and nobody of another', async () => {
  const { handshakes, begin, order, pass, passAll } = turns(4);
  for (let number = 0; number < 5; number += 1) begin('flood', `flood ${number}`);
  begin('b', 'healthy');
  expect(handshakes.waiting).toBe(4);
  begin('flood', 'late flood');
  expect(handshakes.waiting).toBe(4);
  await pass();
  expect(order).toEqual(expect.arrayContaining(['flood 4 is turned away', 'late flood is turned away']));
  await passAll();
  expect(order.filter((name) => !name.endsWith('away'))).toEqual([
    'flood 0',
    'flood 1',
    'healthy',
    'flood 2',
    'flood 3',
  ]);
  expect(handshakes.waiting).toBe(0);
});

test('where all addresses have as many, the one that came last is turned away, and leaves nothing behind', async () => {
  const { handshakes, begin, order, passAll } = turns(2);
  for (const address of ['a', 'b', 'c', 'd']) begin(address, address);
  await passAll();
  expect(order).toEqual(['a', 'd is turned away', 'b', 'c']);
  expect(handshakes.waiting).toBe(0);
});

test('without a word about when, turns are those of the event loop', async () => {
  const handshakes = new HandshakeTurns();
  const taken = await Promise.all(Array.from({ length: 100 }, (_, number) => handshakes.begin(`${number % 7}`)));
  expect(new Set(taken)).toEqual(new Set([true]));
  await handshakes.finish();
});

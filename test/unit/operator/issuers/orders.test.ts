// Orders that take their time: nobody stands by, the leaf is fetched when it is there, and what is no longer wanted is given up.
import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { AppError } from '../../../../lib/errors.ts';
import { Gate } from '../../../../operator/issuers/gate.ts';
import type { Issuer, LeafOrder, SignedLeaf } from '../../../../operator/issuers/issuer.ts';
import { OpenOrders } from '../../../../operator/issuers/orders.ts';
import { settle, TestClock } from '../../../support/clock.ts';

const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const leaf: SignedLeaf = { chain: 'PEM', serial: '01', notBefore: new Date(0), notAfter: new Date(1) };
const never = new AbortController().signal;

/** An issuer whose orders end when the test says so. */
class SlowIssuer implements Issuer {
  readonly slow: boolean;
  readonly orders: {
    readonly order: LeafOrder;
    readonly signal: AbortSignal;
    readonly end: PromiseWithResolvers<SignedLeaf>;
  }[] = [];

  constructor(slow = true) {
    this.slow = slow;
  }

  state(): ReturnType<Issuer['state']> {
    return { ready: false, reason: 'IssuerNotReady', message: 'not asked for' };
  }

  sign(order: LeafOrder, signal: AbortSignal): Promise<SignedLeaf> {
    const end = Promise.withResolvers<SignedLeaf>();
    signal.addEventListener('abort', () => end.reject(signal.reason));
    this.orders.push({ order, signal, end });
    return end.promise;
  }
}

function bench(issuer = new SlowIssuer()) {
  const clock = new TestClock();
  const changed: string[] = [];
  const named = new Map<string, Issuer>([['corp', issuer]]);
  const orders = new OpenOrders({
    clock,
    issuers: { named: (name) => named.get(name) ?? { ready: false, reason: 'IssuerMissing', message: `no ${name}` } },
    changed: (key) => changed.push(key),
  });
  let made = 0;
  const ask = (wanted = 'a certificate', key = 'shop/web') =>
    orders.leaf(
      key,
      {
        issuer: 'corp',
        wanted,
        make: () => {
          made += 1;
          const identity = { trustDomain: 'cluster.local', namespace: 'shop', service: 'web' };
          return Promise.resolve({ ...pair, identity, dnsNames: [], lifetimeMs: 1, now: clock.now() });
        },
      },
      never,
    );
  return { clock, changed, named, orders, issuer, ask, made: () => made };
}

describe('an order at a slow issuer', () => {
  test('is not stood by: whoever ordered is called when it has come to an end, and fetches the leaf with its key', async () => {
    const { clock, changed, orders, issuer, ask, made } = bench();
    const first = ask();
    await clock.advance(250);
    expect(await first).toBeUndefined();
    expect(orders.of('shop/web')).toMatchObject({
      wanted: 'a certificate',
      settled: false,
      since: new Date('2026-01-01T00:00:00Z'),
    });
    await clock.advance(90_000);
    expect(changed).toEqual([]);
    issuer.orders[0]?.end.resolve(leaf);
    await settle();
    expect(changed).toEqual(['shop/web']);
    expect(orders.of('shop/web')?.settled).toBe(true);
    expect(await ask()).toEqual({ leaf, privateKey: pair.privateKey });
    expect({ made: made(), asked: issuer.orders.length, left: orders.of('shop/web') }).toEqual({
      made: 1,
      asked: 1,
      left: undefined,
    });
  });

  test('that is quick is had at once', async () => {
    const { issuer, ask, changed } = bench();
    const asked = ask();
    await settle();
    issuer.orders[0]?.end.resolve(leaf);
    expect(await asked).toMatchObject({ leaf });
    expect(changed).toEqual(['shop/web']);
  });

  test('says what it waits for, each thing once', async () => {
    const { clock, changed, orders, issuer, ask } = bench();
    void ask();
    await clock.advance(250);
    for (const why of ['a person', 'a person', 'the signer']) issuer.orders[0]?.order.waits?.(why);
    expect(changed).toEqual(['shop/web', 'shop/web']);
    expect(orders.of('shop/web')?.waitsFor).toBe('the signer');
  });

  test('that ends badly says so to who fetches it, and the next one is another', async () => {
    const { clock, issuer, ask } = bench();
    void ask();
    await clock.advance(250);
    issuer.orders[0]?.end.reject(new AppError('issuer_failed', 'somebody denied it'));
    await settle();
    await expect(ask()).rejects.toThrow('somebody denied it');
    void ask();
    await settle();
    expect(issuer.orders).toHaveLength(2);
  });

  test.each([
    ['something else is wanted', ({ ask }: ReturnType<typeof bench>) => void ask('another certificate')],
    ['it is dropped', ({ orders }: ReturnType<typeof bench>) => orders.drop('shop/web')],
    ['the process stops', ({ orders }: ReturnType<typeof bench>) => void orders.close()],
    [
      'the issuer is another one now',
      ({ orders, named }: ReturnType<typeof bench>) => {
        named.set('corp', new SlowIssuer());
        expect(orders.of('shop/web')).toBeUndefined();
      },
    ],
  ])('is given up when %s', async (_name, act) => {
    const all = bench();
    void all.ask();
    await all.clock.advance(250);
    act(all);
    await settle();
    expect(all.issuer.orders[0]?.signal.aborted).toBe(true);
  });

  test('of hundreds of services wait side by side', async () => {
    const { clock, issuer, ask } = bench();
    const asked = Array.from({ length: 500 }, (_, index) => ask('a certificate', `shop/web-${index}`));
    await clock.advance(250);
    expect((await Promise.all(asked)).filter((each) => each !== undefined)).toEqual([]);
    expect(issuer.orders).toHaveLength(500);
  });
});

test('an issuer that is not slow is waited for', async () => {
  const { clock, issuer, ask, orders } = bench(new SlowIssuer(false));
  const asked = ask();
  await clock.advance(60_000);
  expect(orders.of('shop/web')).toBeUndefined();
  issuer.orders[0]?.end.resolve(leaf);
  expect(await asked).toMatchObject({ leaf });
});

describe('a gate', () => {
  test('lets so many through at a time, in the order in which they came, and forgets who gave up', async () => {
    const gate = new Gate(1);
    const first = Promise.withResolvers<void>();
    const through: number[] = [];
    const walk = (number: number, signal = never): Promise<void> =>
      gate.through(async () => {
        through.push(number);
        if (number === 1) await first.promise;
      }, signal);
    const stop = new AbortController();
    const all = [walk(1), walk(2, stop.signal), walk(3), walk(4)];
    const givenUp = all[1]?.catch((error: unknown) => error);
    await settle();
    expect(through).toEqual([1]);
    stop.abort(new Error('enough'));
    expect(await givenUp).toMatchObject({ message: 'enough' });
    first.resolve();
    await Promise.all([all[0], all[2], all[3]]);
    expect(through).toEqual([1, 3, 4]);
  });
});

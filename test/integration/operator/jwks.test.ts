// Keys of token issuers by URL: fetched from a real HTTPS server by the operator's keeper, kept, renewed, given up; and what replicas tell sidecars of
// them. The Kubernetes API is a store; time is the test's.
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { JwtSpec } from '../../../lib/api/authentication.ts';
import type { TLSPolicy } from '../../../lib/api/tlspolicy.ts';
import { systemClock } from '../../../lib/clock.ts';
import type { ConfigMap, KubeInput, ObjectRef } from '../../../lib/kube/object.ts';
import { ObjectStore } from '../../../lib/kube/store.ts';
import { ReportStore } from '../../../operator/control/report.ts';
import { fetchJwks } from '../../../operator/jwks/fetch.ts';
import { JwksKeeper } from '../../../operator/jwks/keeper.ts';
import { JwksStandings, keysCondition } from '../../../operator/jwks/standings.ts';
import { KeptJwks } from '../../../operator/jwks/store.ts';
import { TokenBook } from '../../../operator/mesh/tokenbook.ts';
import { JwksServer } from '../../support/jwksserver.ts';
import { kubeDeps } from '../../support/kubedeps.ts';
import { testPolicy } from '../../support/policies.ts';
import { keySet, signingKey } from '../../support/tokens.ts';
import { until } from '../../support/until.ts';

jest.setTimeout(180_000);

/** A busy machine may take its time. */
const generous = 60_000;
const minute = 60_000;
/** When the test's clock begins. */
const startMs = Date.parse('2026-01-01T00:00:00Z');
const one = signingKey('one');
const two = signingKey('two');

/** An operator's keeper with its stores. */
class Bench {
  readonly policies = new ObjectStore<TLSPolicy>();
  readonly configMaps = new ObjectStore<ConfigMap>();
  readonly deps = kubeDeps();
  readonly kept = new KeptJwks(this.configMaps, 'tabard-system');
  readonly book = new TokenBook((source) => this.kept.keysAt(source));
  readonly reports = new ReportStore(this.deps.clock);
  standings = new JwksStandings();
  writes = 0;
  /** Requests under way. */
  fetching = 0;
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #generation = 0;

  constructor() {
    this.policies.replace([]);
    this.configMaps.replace([]);
    this.kept.subscribe(() => this.book.revised());
  }

  /** A newly started leader. */
  start(hosts: readonly string[] = []): void {
    const { clock, logger, metrics } = this.deps;
    this.#stop = new AbortController();
    this.standings = new JwksStandings();
    const keeper = new JwksKeeper({
      client: {
        apply: (_resource, object: KubeInput) => Promise.resolve(this.#apply(object) as never),
        delete: (_resource, ref: ObjectRef) => {
          this.configMaps.delete(`${ref.namespace}/${ref.name}`);
          return Promise.resolve();
        },
      },
      clock,
      logger,
      kubeMetrics: metrics,
      policies: this.policies,
      configMaps: this.configMaps,
      namespace: 'tabard-system',
      standings: this.standings,
      reports: this.reports,
      userAgent: 'test',
      hosts,
      fetch: (source, deps, signal) => {
        this.fetching += 1;
        return fetchJwks(source, { ...deps, clock: systemClock }, signal).finally(() => {
          this.fetching -= 1;
        });
      },
    });
    this.#running = keeper.run(this.#stop.signal);
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('lease_lost'));
    // What waits for the clock goes with the signal, or when time moves on.
    await Promise.all([this.#running.catch(() => undefined), this.deps.clock.advance(minute)]);
  }

  put(...jwt: readonly JwtSpec[]): void {
    this.#generation += 1;
    this.policies.set(testPolicy('api', { authentication: { jwt } }, { generation: this.#generation }));
  }

  /** A sidecar says that it was shown a token of this issuer with a key that it does not know. */
  wants(issuer: string, namespace = 'shop'): void {
    const texts = { selfVersion: '', bundleFingerprint: '', serial: '', notAfter: '' };
    const report = { ...texts, podName: 'api-1', podUid: `${namespace}-1`, plaintext: [], keysWanted: [issuer] };
    this.reports.accept({ namespace, service: 'api' }, report);
  }

  get policy(): TLSPolicy {
    const policy = this.policies.get('shop/api');
    if (policy === undefined) throw new Error('there is no policy');
    return policy;
  }

  /** The kids that sidecars are told. */
  get kids(): readonly (string | undefined)[] {
    return this.book.of(this.policy)?.jwt.flatMap(({ keys }) => keys.map(({ kid }) => kid)) ?? [];
  }

  get condition(): string {
    const { status, reason, message } = keysCondition(this.policy, this.standings) ?? {};
    return `${status} ${reason}: ${message}`;
  }

  async says(words: RegExp): Promise<void> {
    await until(() => words.test(this.condition), `${words}, not ${this.condition}`, generous).catch(
      (error: unknown) => {
        throw new Error(`${words} was expected, not "${this.condition}"`, { cause: error });
      },
    );
  }

  /** Lets time pass, a minute at a turn, until something is so. */
  async pass(condition: () => boolean, what: string): Promise<void> {
    const end = performance.now() + generous;
    while (!condition()) {
      if (performance.now() > end) throw new Error(`not so after ${generous} ms: ${what}`);
      await this.deps.clock.advance(minute);
      await systemClock.sleep(10);
    }
  }

  #apply(object: KubeInput): ConfigMap {
    this.writes += 1;
    const { metadata, ...rest } = object;
    const map = {
      ...rest,
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        uid: 'u',
        creationTimestamp: '2026-01-01T00:00:00Z',
        ...metadata,
        resourceVersion: String(this.writes),
      },
    } as unknown as ConfigMap;
    this.configMaps.set(map);
    return map;
  }
}

let server: JwksServer;
let bench: Bench;
beforeEach(async () => {
  server = await JwksServer.start();
  server.answer = { body: keySet(one) };
  bench = new Bench();
});
afterEach(async () => {
  await bench.stop();
  await server.stop();
});

const byUrl = (more: Partial<JwtSpec> = {}): JwtSpec => ({
  issuer: 'https://issuer',
  jwksUri: server.url,
  caBundle: server.caBundle,
  ...more,
});

describe('keys by URL', () => {
  test('are fetched once for all who name them, and reach the sidecars', async () => {
    bench.put(byUrl(), byUrl({ issuer: 'https://other' }));
    bench.start();
    await bench.says(/^True Fetched: 2 keys of 2 issuers are in force$/);
    expect([bench.kids, server.asked]).toEqual([['one', 'one'], 1]);
  });

  test('are renewed as the server says, and a new key is there before the old one goes', async () => {
    server.answer = { body: keySet(one), headers: { 'cache-control': 'public, max-age=120' } };
    bench.put(byUrl());
    bench.start();
    await bench.says(/^True/);
    const told = bench.book.of(bench.policy);
    await bench.deps.clock.advance(119_000);
    expect(server.asked).toBe(1);
    await bench.pass(() => server.asked >= 3, 'asked again');
    // Nothing is told anew where nothing is new.
    expect(bench.book.of(bench.policy)).toBe(told);
    server.answer = { body: keySet(one, two) };
    await bench.pass(() => bench.kids.length === 2, 'both keys');
    server.answer = { body: keySet(two) };
    await bench.pass(() => bench.kids.join() === 'two', 'the new key alone');
  });

  test('are looked at again only when their time has come, however often the policy changes', async () => {
    bench.put(byUrl());
    bench.start();
    await bench.says(/^True/);
    for (let turn = 0; turn < 20; turn += 1) bench.put(byUrl({ clockSkew: `${turn}s` }));
    await bench.deps.clock.advance(10_000);
    expect([server.asked, bench.writes]).toEqual([1, 1]);
  });

  test('of a policy that is gone are forgotten', async () => {
    bench.put(byUrl());
    bench.start();
    await bench.says(/^True/);
    bench.policies.delete('shop/api');
    await bench.pass(() => bench.configMaps.size === 0, 'the ConfigMap is gone');
  });
});

describe('a key that is not known', () => {
  const issuer = 'https://issuer';
  const clock = () => bench.deps.clock;

  test('has its source asked at once, also where its time is far, and reaches the sidecars', async () => {
    server.answer = { body: keySet(one), headers: { 'cache-control': 'max-age=3600' } };
    bench.put(byUrl());
    bench.start();
    await bench.says(/^True/);
    await clock().advance(60_000);
    server.answer = { body: keySet(one, two) };
    const sinceMs = clock().now().getTime();
    bench.wants(issuer);
    await until(() => bench.kids.length === 2, 'both keys', generous);
    expect(clock().now().getTime() - sinceMs).toBe(0);
  });

  test('that nobody ever publishes costs its issuer one request a minute at most, however many ask', async () => {
    bench.put(byUrl());
    bench.start();
    await bench.says(/^True/);
    const asked = server.asked;
    const sinceMs = clock().now().getTime();
    for (let second = 0; second < 240; second += 1) {
      for (let pod = 0; pod < 10; pod += 1) bench.wants(issuer);
      await clock().advance(1_000);
      await systemClock.sleep(1);
      await until(() => bench.fetching === 0, 'an answer', generous);
    }
    const minutes = (clock().now().getTime() - sinceMs) / minute;
    // Ten seconds apart at first, then 20, then 40, then a minute.
    expect(server.asked - asked).toBeGreaterThanOrEqual(4);
    expect(server.asked - asked).toBeLessThanOrEqual(4 + Math.ceil(minutes));
    // What is published in the end is found all the same.
    server.answer = { body: keySet(two) };
    bench.wants(issuer);
    await bench.pass(() => bench.kids.join() === 'two', 'the new key');
  });

  test('is looked for after a failure sooner than the failure alone would have it', async () => {
    server.answer = { status: 503, body: '' };
    bench.put(byUrl());
    bench.start();
    await bench.says(/503/);
    await bench.pass(() => server.asked >= 6, 'asked ever less often');
    server.answer = { body: keySet(one) };
    await clock().advance(minute);
    if (bench.kids.length === 0) bench.wants(issuer);
    await until(() => bench.kids.join() === 'one', 'the key', generous);
  });

  test.each<readonly [string, string, string]>([
    ['an issuer that the policies of the namespace do not name', 'https://stranger', 'shop'],
    ['a pod of another namespace', 'https://issuer', 'other'],
  ])('is nothing to hurry for: %s', async (_, who, namespace) => {
    bench.put(byUrl());
    bench.start();
    await bench.says(/^True/);
    await clock().advance(30_000);
    bench.wants(who, namespace);
    await clock().advance(30_000);
    await systemClock.sleep(50);
    expect(server.asked).toBe(1);
  });
});

describe('a server that does not answer as it should', () => {
  test.each<readonly [string, () => void, RegExp]>([
    ['with an error', () => (server.answer = { status: 500, body: 'no' }), /answers with status 500/],
    [
      'with another place',
      () => (server.answer = { status: 302, headers: { location: server.url }, body: '' }),
      /status 302/,
    ],
    ['with a page', () => (server.answer = { body: '<html>' }), /no usable key set: it is not/],
    ['with far too much', () => (server.answer = { body: 'x'.repeat(200_000) }), /sent over 131072 bytes/],
    [
      'with a private key',
      () => (server.answer = { body: JSON.stringify({ keys: [one.privateKey.export({ format: 'jwk' })] }) }),
      /private key/,
    ],
  ])('%s leaves the issuer without keys, and the policy says so', async (_, spoil, why) => {
    spoil();
    bench.put(byUrl());
    bench.start();
    await bench.says(why);
    expect([bench.condition, bench.kids, bench.configMaps.size]).toEqual([
      expect.stringMatching(/^False NoKeys: .*none of its tokens is accepted$/),
      [],
      0,
    ]);
  });

  test('is not asked when its certificate is not trusted', async () => {
    const other = await JwksServer.start();
    await other.stop();
    bench.put(byUrl({ caBundle: other.caBundle }));
    bench.start();
    await bench.says(/a certificate that is not trusted/);
    expect(server.asked).toBe(0);
  });

  test('is not asked when its host is not among those that may be', async () => {
    bench.put(byUrl());
    bench.start(['login.example.com']);
    await bench.says(/localhost is not among the hosts that the operator may ask/);
    expect(server.asked).toBe(0);
  });

  test('is asked again after a while, and ever less often', async () => {
    server.answer = { status: 503, body: '' };
    bench.put(byUrl());
    bench.start();
    await bench.says(/503/);
    await bench.pass(() => server.asked >= 10, 'asked again and again');
    // Five seconds doubled to five minutes: ten tries take a quarter of an hour and more.
    expect(bench.deps.clock.now().getTime() - startMs).toBeGreaterThan(10 * minute);
    server.answer = { body: keySet(one) };
    await bench.pass(() => bench.kids.length === 1, 'keys at last');
  });

  test('leaves the last good keys in force for a day, also with a new leader, and no longer', async () => {
    bench.put(byUrl());
    bench.start();
    await bench.says(/^True/);
    server.answer = { status: 500, body: '' };
    await bench.pass(() => bench.condition.startsWith('False'), 'the condition says so');
    expect(bench.condition).toMatch(/^False FetchFailed: .* its 1 keys of \S+ stay in force/);
    await bench.stop();
    bench.start();
    await bench.says(/^False FetchFailed/);
    expect(bench.kids).toEqual(['one']);
    await bench.deps.clock.advance((23 * 60 + 50) * minute);
    expect(bench.kids).toEqual(['one']);
    await bench.pass(() => bench.kids.length === 0, 'the keys are given up');
    expect(bench.deps.clock.now().getTime() - startMs).toBeGreaterThan(24 * 60 * minute);
    expect(bench.condition).toMatch(/^False NoKeys/);
    server.answer = { body: keySet(two) };
    await bench.pass(() => bench.kids.join() === 'two', 'keys again');
  });
});

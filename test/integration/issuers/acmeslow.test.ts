// An ACME server that takes its time, against pebble: every answer is late, it thinks long before it looks at a challenge, and says when to ask
// again. An order bears it, asks no earlier than it is told, and is proved by a sidecar process as ever.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { systemClock } from '../../../lib/clock.ts';
import { parseCertificates } from '../../../lib/pki/bundle.ts';
import { type PebbleWorld, startPebbleWorld } from '../../support/acmeworld.ts';

/** The first run compiles pebble. */
const buildMs = 900_000;
const answerMs = 1_000;
const retryAfterSeconds = 3;

let world: PebbleWorld;

beforeAll(async () => {
  world = await startPebbleWorld({ refusedNonces: 15, sleepSeconds: 5, retryAfterSeconds });
}, buildMs);

afterAll(() => world?.end());

test('an order bears late answers, and asks no earlier than Retry-After says', async () => {
  const { bench, proxy } = world;
  /** When a question about an authorization or order that is not settled may come again, by its path. */
  const notBefore = new Map<string, number>();
  const early: string[] = [];
  let waits = 0;
  proxy.before = async (path) => {
    const wait = (notBefore.get(path) ?? 0) - performance.now();
    if (wait > 50) early.push(`${path}: ${Math.round(wait)} ms too early`);
    await systemClock.sleep(answerMs);
  };
  proxy.change = (body, path, headers) => {
    const seconds = Number(headers['retry-after'] ?? 0);
    const isOpen = /"status":\s*"(pending|processing)"/.test(body);
    if (seconds > 0 && isOpen) {
      waits += 1;
      notBefore.set(path, performance.now() + seconds * 1_000);
    } else notBefore.delete(path);
    return body;
  };
  const acme = await bench.acme('slow', {
    server: proxy.server,
    caBundle: Buffer.from(proxy.trust).toString('base64'),
    profile: 'default',
    solvers: [{ http01: {} }],
  });
  try {
    expect(await acme.settled()).toMatchObject({ ready: true });
    // Pebble thinks for a random time, which may be none.
    const hasWaited = (): boolean => waits > 0;
    for (let orders = 0; !hasWaited() && orders < 10; orders += 1) {
      const name = `slow-${orders}.example.test`;
      const { chain } = await acme.order([name]);
      expect(parseCertificates(chain)[0]?.subjectAltName).toBe(`DNS:${name}`);
    }
    expect(early).toEqual([]);
    expect(waits).toBeGreaterThan(0);
    // What it waited for was no failure: nothing makes the issuer look unwell.
    expect(acme.issuer.state(new Date())).toMatchObject({ ready: true });
  } finally {
    await acme.stop();
  }
}, 300_000);

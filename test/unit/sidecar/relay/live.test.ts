import { describe, expect, test } from '@jest/globals';
import type { Reason } from '../../../../lib/api/reasons.ts';
import { type LiveConnection, LiveConnections, type LiveFacts } from '../../../../sidecar/relay/live.ts';
import type { Ending, Relay, RelayEnd, Traffic } from '../../../../sidecar/relay/relay.ts';
import type { RequestsPhase } from '../../../../sidecar/relay/requests.ts';
import { settle, TestClock } from '../../../support/clock.ts';

class FakeRelay implements Relay {
  readonly finished: Promise<RelayEnd>;
  readonly #resolve: (end: RelayEnd) => void;
  seen: Traffic = { bytesIn: 1, bytesOut: 1, last: 'out', run: 1, isUnderWay: false, isAnswered: false };
  ended: string | undefined;
  /** Nobody answers when it is asked for its end. */
  isDeaf = false;
  asked = 0;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<RelayEnd>();
    this.finished = promise;
    this.#resolve = resolve;
  }

  traffic(): Traffic {
    return this.seen;
  }

  close(ending: Exclude<Ending, 'closed' | 'failed'>): void {
    this.asked += 1;
    if (this.isDeaf && this.asked === 1) return;
    this.ended ??= ending;
    this.#resolve({ bytesIn: 1, bytesOut: 1, ending });
  }

  cut(reason: Reason): void {
    this.ended ??= `cut ${reason}`;
    this.#resolve({ bytesIn: 1, bytesOut: 1, ending: 'failed', reason });
  }
}

const hour = 3_600_000;

function bench() {
  const clock = new TestClock();
  const live = new LiveConnections(clock);
  const add = (facts: Partial<LiveFacts> = {}, change: Partial<LiveConnection> = {}): FakeRelay => {
    const relay = new FakeRelay();
    const atMs = clock.now().getTime() + 12 * hour;
    const watched = live.add({
      facts: { direction: 'inbound', port: 80, address: '10.0.0.9', transport: 'mutual', ...facts },
      relay,
      deadline: { atMs, quietFromMs: atMs, reason: undefined },
      idleTimeoutMs: hour,
      ...change,
    });
    void relay.finished.then(() => live.remove(watched));
    return relay;
  };
  return { clock, live, add };
}

describe('live connections', () => {
  test('are counted by direction until they have finished', async () => {
    const { live, add } = bench();
    const first = add();
    add({ direction: 'outbound' });
    add({ direction: 'outbound' });
    expect([live.count('inbound'), live.count('outbound')]).toEqual([1, 2]);
    first.cut('reset');
    await settle();
    expect([live.count('inbound'), live.count('outbound')]).toEqual([0, 2]);
  });

  test('are ended when idle, but not while bytes come', async () => {
    const { clock, live, add } = bench();
    const stop = new AbortController();
    void live.run(stop.signal);
    const idle = add({}, { idleTimeoutMs: 5_000 });
    const busy = add({}, { idleTimeoutMs: 5_000 });
    for (let second = 0; second < 10; second += 1) {
      busy.seen = { ...busy.seen, bytesIn: busy.seen.bytesIn + 1 };
      await clock.advance(1_000);
    }
    expect([idle.ended, busy.ended]).toEqual(['idle', undefined]);
    stop.abort();
  });

  test('near the end of their time are closed in a pause between two calls', async () => {
    const { clock, live, add } = bench();
    const stop = new AbortController();
    void live.run(stop.signal);
    const start = clock.now().getTime();
    const talking = add({}, { deadline: { atMs: start + 10_000, quietFromMs: start + 5_000, reason: 'expired' } });
    // A call and its answer every 300 ms, as a client with a lasting connection makes them.
    for (let call = 0; call < 40 && talking.ended === undefined; call += 1) {
      talking.seen = { ...talking.seen, bytesIn: call, bytesOut: call };
      await clock.advance(300);
    }
    expect(talking.ended).toBe('aged');
    expect(clock.now().getTime() - start).toBeLessThan(10_000);
    stop.abort();
  });

  test('are closed between two transactions and not in the middle of one, where a client thinks', async () => {
    const { clock, live, add } = bench();
    const stop = new AbortController();
    void live.run(stop.signal);
    const start = clock.now().getTime();
    const deadline = { atMs: start + 120_000, quietFromMs: start + 60_000, reason: undefined };
    const [idle, talking] = [add({}, { deadline }), add({}, { deadline })];
    const statement = async (thinkMs: number): Promise<void> => {
      talking.seen = { ...talking.seen, bytesIn: talking.seen.bytesIn + 1, bytesOut: talking.seen.bytesOut + 1 };
      for (let ms = 0; ms < thinkMs && talking.ended === undefined; ms += 50) await clock.advance(50);
    };
    let isInside = false;
    while (talking.ended === undefined && clock.now().getTime() < deadline.atMs) {
      isInside = true;
      for (let statements = 0; statements < 4 && talking.ended === undefined; statements += 1) await statement(600);
      if (talking.ended !== undefined) break;
      isInside = false;
      await statement(3_000);
    }
    expect([talking.ended, isInside, idle.ended]).toEqual(['aged', false, 'aged']);
    stop.abort();
  });

  test('are asked for their end, and ended when nobody answers', async () => {
    const { clock, live, add } = bench();
    const stop = new AbortController();
    void live.run(stop.signal);
    const pass = async (ms: number): Promise<void> => {
      for (let passed = 0; passed < ms; passed += 50) await clock.advance(50);
    };
    const [deaf, long] = [add(), add()];
    deaf.isDeaf = true;
    long.isDeaf = true;
    long.seen = { ...long.seen, run: 1_000_000 };
    live.drain(25_000);
    await pass(750);
    expect([deaf.asked, long.asked]).toEqual([1, 0]);
    await pass(5_000);
    expect([deaf.ended, long.asked, long.ended]).toEqual(['drained', 1, undefined]);
    // It says the rest after all, for so long.
    for (let second = 0; second < 6; second += 1) {
      long.seen = { ...long.seen, bytesOut: long.seen.bytesOut + 1 };
      await pass(1_000);
    }
    expect(long.ended).toBeUndefined();
    await pass(5_000);
    expect(long.ended).toBe('drained');
    stop.abort();
  });

  test('have their clients asked to go elsewhere before that, where requests are read, and end when all is answered', async () => {
    const { clock, live, add } = bench();
    const stop = new AbortController();
    void live.run(stop.signal);
    const start = clock.now().getTime();
    const requests = {
      phase: 'busy' as RequestsPhase,
      asked: 0,
      retire: () => void (requests.asked += 1),
      lapse: () => undefined,
    };
    const deadline = {
      atMs: start + 10_000,
      quietFromMs: start + 8_000,
      retireFromMs: start + 4_000,
      reason: undefined,
    };
    const watched = add({}, { deadline, requests });
    await clock.advance(3_000);
    expect(requests.asked).toBe(0);
    await clock.advance(6_000);
    expect(requests.asked).toBeGreaterThan(0);
    // Quiet for long, but a stream is open.
    expect(watched.ended).toBeUndefined();
    requests.phase = 'over';
    await clock.advance(600);
    expect(watched.ended).toBe('aged');
    stop.abort();
  });

  test('are cut when what holds for them no longer allows them', () => {
    const { live, add } = bench();
    const plain = add({ transport: 'plaintext' });
    const mutual = add();
    expect(live.enforce(({ transport }) => (transport === 'plaintext' ? 'plaintext' : undefined))).toBe(1);
    expect([plain.ended, mutual.ended]).toEqual(['cut plaintext', undefined]);
  });

  test('are drained when quiet; the rest is cut at the end', async () => {
    const { clock, live, add } = bench();
    const stop = new AbortController();
    void live.run(stop.signal);
    const quiet = add();
    const waiting = add();
    waiting.seen = { ...waiting.seen, bytesOut: 0, last: 'in' };
    live.drain(25_000);
    await clock.advance(1_500);
    expect([quiet.ended, waiting.ended]).toEqual(['drained', undefined]);
    const late = new AbortController();
    const empty = live.empty(late.signal);
    late.abort();
    await empty;
    expect(live.endAll()).toBe(1);
    expect(waiting.ended).toBe('cut reset');
    stop.abort();
  });
});

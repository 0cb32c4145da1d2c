import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { createLogger } from '../../../lib/runtime/logger.ts';
import {
  AccessLog,
  type AccessLogDeps,
  type Carried,
  type Handshake,
  type Refusal,
  type Requested,
} from '../../../sidecar/accesslog.ts';
import type { Exchange } from '../../../sidecar/exchange.ts';
import { TestClock } from '../../support/clock.ts';

function bench(
  accessLog: 'None' | 'Denied' | 'All' = 'Denied',
  more: Partial<AccessLogDeps> & { oneIn?: number } = {},
) {
  const { oneIn = 1, ...deps } = more;
  const lines: Readonly<Record<string, unknown>>[] = [];
  const logger = createLogger({
    name: 'test',
    level: 'info',
    destination: { write: (line) => void lines.push(JSON.parse(line)) },
  });
  const clock = new TestClock();
  const leftOut = { repeated: 0, sampled: 0 };
  const metrics = () => ({ logLeftOut: (why: 'repeated' | 'sampled') => void (leftOut[why] += 1) });
  const log = new AccessLog({ logger, clock, policy: () => ({ accessLog, accessLogOneIn: oneIn }), metrics, ...deps });
  return { log, lines, clock, leftOut };
}

const refusal: Refusal = {
  direction: 'inbound',
  reason: 'unknown_ca',
  source: { address: '10.0.0.9', port: 4_000 },
  destination: { address: 'fd00::1', port: 80 },
};

describe('refused connections', () => {
  test('get one line with reason, places and a hint', () => {
    const { log, lines } = bench();
    log.refused({ ...refusal, detail: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
    expect(lines).toEqual([
      expect.objectContaining({
        level: 'warn',
        msg: 'connection refused',
        direction: 'inbound',
        reason: 'unknown_ca',
        detail: 'DEPTH_ZERO_SELF_SIGNED_CERT',
        'source.address': '10.0.0.9',
        'source.port': 4000,
        'destination.address': 'fd00::1',
        'destination.port': 80,
        'error.type': 'unknown_ca',
        hint: expect.stringContaining('not signed by a CA'),
      }),
    ]);
  });

  test('of one reason and peer get a line in ten seconds; the next one says how many were left out', async () => {
    const { log, lines, clock } = bench();
    for (let i = 0; i < 50; i += 1) log.refused({ ...refusal, source: { address: '10.0.0.9', port: i } });
    expect(lines.length).toBe(1);
    await clock.advance(10_000);
    log.refused(refusal);
    expect(lines[1]).toMatchObject({ suppressed: 49 });
  });

  test('of a caller who has proved who it is name it, and are limited by that, wherever it calls from', () => {
    const { log, lines } = bench();
    const peer = { identity: 'spiffe://cluster.local/ns/shop/svc/web', serial: 'AA' };
    log.refused({ ...refusal, reason: 'denied', peer });
    log.refused({ ...refusal, reason: 'denied', peer, source: { address: '10.0.0.10', port: 1 } });
    log.refused({
      ...refusal,
      reason: 'denied',
      peer: { ...peer, identity: 'spiffe://cluster.local/ns/shop/svc/job' },
    });
    expect(lines.map((line) => line['source.identity'])).toEqual([
      peer.identity,
      'spiffe://cluster.local/ns/shop/svc/job',
    ]);
  });

  test('of another reason or another peer have lines of their own', () => {
    const { log, lines } = bench();
    log.refused(refusal);
    log.refused({ ...refusal, reason: 'expired' });
    log.refused({ ...refusal, source: { address: '10.0.0.10', port: 1 } });
    log.refused({ ...refusal, direction: 'outbound' });
    expect(lines.length).toBe(4);
  });
});

describe('what was held back', () => {
  test('is told by itself where no further line comes, and all of it at the end', async () => {
    const { log, lines, clock, leftOut } = bench();
    const stop = new AbortController();
    const running = log.run(stop.signal);
    for (let port = 0; port < 5; port += 1) log.refused({ ...refusal, source: { address: '10.0.0.9', port } });
    await clock.advance(10_000);
    expect(lines.map(({ suppressed }) => suppressed)).toEqual([undefined, 4]);
    expect(lines[1]).toMatchObject({ 'source.port': 4, reason: 'unknown_ca' });
    log.refused({ ...refusal, reason: 'expired' });
    log.refused({ ...refusal, reason: 'expired' });
    stop.abort();
    await running;
    expect(lines.map(({ suppressed }) => suppressed)).toEqual([undefined, 4, undefined, 1]);
    expect(leftOut).toEqual({ repeated: 5, sampled: 0 });
  });

  test('is bounded, whoever knocks', () => {
    const { log, lines } = bench();
    for (let host = 0; host < 3_000; host += 1) {
      const source = { address: `10.0.${host >> 8}.${host & 255}`, port: 1 };
      log.refused({ ...refusal, source });
      log.refused({ ...refusal, source });
    }
    // Two thousand were forgotten, and what was held back of them was told then.
    expect(lines.filter(({ suppressed }) => suppressed === 1)).toHaveLength(2_000);
  });
});

const carried: Carried = {
  direction: 'outbound',
  source: { address: '10.0.0.9', port: 4_000 },
  destination: { address: '10.96.0.1', port: 80 },
  end: { bytesIn: 1, bytesOut: 2, ending: 'closed' },
  ms: 3.456,
};

describe('carried connections', () => {
  test('get a line only where the policy asks for it', () => {
    const quiet = bench('Denied');
    quiet.log.carried(carried);
    expect(quiet.lines).toEqual([]);
    const loud = bench('All');
    loud.log.carried({ ...carried, plain: 'not_in_mesh' });
    expect(loud.lines).toEqual([
      expect.objectContaining({
        level: 'info',
        msg: 'connection',
        'source.bytes': 1,
        'destination.bytes': 2,
        ms: 3.46,
        plain: 'not_in_mesh',
        ending: 'closed',
      }),
    ]);
  });

  test.each([
    ['revoked', 'Denied', 1],
    ['revoked', 'None', 0],
    // What applications do to each other is no refusal.
    ['reset', 'Denied', 0],
    ['reset', 'All', 1],
  ] as const)('that ended with %s under %s get %d lines', (reason, mode, count) => {
    const { log, lines } = bench(mode, { oneIn: 1_000_000 });
    log.carried({ ...carried, end: { ...carried.end, ending: 'failed', reason } });
    expect(lines).toHaveLength(count);
  });
});

const requested: Requested = {
  source: { address: '10.0.0.9', port: 4_000 },
  destination: { address: '10.0.0.10', port: 8_080 },
  exchange: {
    method: 'GET',
    target: '/orders/1?token=secret',
    host: 'api:8080',
    version: '1.1',
    status: 200,
    ms: 1.234,
    bytesIn: 100,
    bytesOut: 200,
  },
};
const withExchange = (more: Partial<Exchange>): Requested => ({
  ...requested,
  exchange: { ...requested.exchange, ...more },
});

describe('requests', () => {
  test('never show their query', () => {
    const { log, lines } = bench('All');
    log.request(requested);
    expect(lines).toEqual([
      expect.objectContaining({
        msg: 'request',
        'url.path': '/orders/1',
        'server.address': 'api',
        'server.port': 8080,
        'http.request.size': 100,
        'http.response.size': 200,
        ms: 1.23,
      }),
    ]);
    expect(JSON.stringify(lines)).not.toContain('secret');
  });

  test.each([
    ['a whole URL', 'http://api/a/b?c', '/a/b'],
    ['a URL without a path', 'http://api', undefined],
    ['the server itself', '*', '*'],
    ['CONNECT', 'api:443', undefined],
    ['two thousand octets', `/${'x'.repeat(2_000)}`, `/${'x'.repeat(1_023)}…`],
  ])('have of the target of %s the path alone', (_, target, path) => {
    const { log, lines } = bench('All');
    log.request(withExchange({ target }));
    expect(lines[0]?.['url.path']).toBe(path);
  });

  test('by methods of their own invention fill no label', () => {
    const { log, lines } = bench('All');
    log.request(withExchange({ method: 'FROBNICATE' }));
    expect(lines[0]).toMatchObject({
      'http.request.method': '_OTHER',
      'http.request.method_original': 'FROBNICATE',
    });
  });

  test.each([
    ['None', {}, 0],
    ['None', { status: 403, reason: 'denied' }, 0],
    ['Denied', {}, 0],
    ['Denied', { status: 500 }, 0],
    ['Denied', { status: 403, reason: 'denied' }, 1],
    ['All', {}, 0],
    ['All', { status: 404 }, 0],
    ['All', { status: 503 }, 1],
    ['All', { status: 0, reason: 'reset' }, 1],
  ] as const)('under %s with %j get %d lines when next to nothing is drawn', (mode, more, count) => {
    const { log, lines } = bench(mode, { oneIn: 1_000_000 });
    log.request(withExchange(more));
    expect(lines).toHaveLength(count);
  });

  test('that are denied are limited per reason and peer, with a hint and a count', async () => {
    const { log, lines, clock } = bench();
    for (let each = 0; each < 20; each += 1) log.request(withExchange({ status: 403, reason: 'denied' }));
    await clock.advance(10_000);
    log.request(withExchange({ status: 403, reason: 'denied' }));
    expect(lines).toHaveLength(2);
    expect(lines[1]).toMatchObject({ level: 'warn', reason: 'denied', suppressed: 19, hint: expect.any(String) });
  });
});

describe('handshakes', () => {
  const made: Handshake = { direction: 'outbound', endpoint: { address: '10.0.0.3', port: 16_006 }, ms: 2 };

  test('that are done get a line with All', () => {
    const { log, lines } = bench('All');
    log.handshake(made);
    expect(lines).toMatchObject([{ msg: 'handshake', level: 'info', 'tls.established': true }]);
    const quiet = bench('Denied');
    quiet.log.handshake(made);
    expect(quiet.lines).toEqual([]);
  });

  test('that failed get one whatever the policy says, limited', () => {
    const { log, lines } = bench('None');
    for (let each = 0; each < 3; each += 1) log.handshake({ ...made, reason: 'unknown_ca', detail: 'CODE' });
    expect(lines).toMatchObject([
      {
        msg: 'handshake failed',
        level: 'warn',
        'tls.established': false,
        'network.peer.address': '10.0.0.3',
        detail: 'CODE',
      },
    ]);
  });
});

describe('sampling', () => {
  const traced = (traceId: string) => withExchange({ trace: { traceId, spanId: 'b7ad6b7169203331' } });
  const id = (index: number) => createHash('sha256').update(String(index)).digest('hex').slice(0, 32);

  test('keeps of requests with a trace the same ones everywhere, whatever else each of them sees', () => {
    const [first, second] = [bench('All', { oneIn: 10 }), bench('All', { oneIn: 10 })];
    for (let index = 0; index < 2_000; index += 1) {
      first.log.request(traced(id(index)));
      second.log.carried(carried);
      second.log.request(traced(id(index)));
    }
    const kept = (lines: typeof first.lines) =>
      lines.filter(({ msg }) => msg === 'request').map((line) => line['trace_id']);
    expect(kept(second.lines)).toEqual(kept(first.lines));
    expect(kept(first.lines).length).toBeGreaterThan(150);
    expect(kept(first.lines).length).toBeLessThan(250);
    expect(first.leftOut.sampled).toBe(2_000 - kept(first.lines).length);
  });

  test('keeps what samplers by the highest random bits of the trace id keep', () => {
    const { log, lines } = bench('All', { oneIn: 4 });
    for (const random of ['00', 'bf', 'c0', 'ff']) log.request(traced(`0123456789abcdef01${random}000000000000`));
    expect(lines.map((line) => String(line['trace_id']).slice(18, 20))).toEqual(['c0', 'ff']);
  });

  test('keeps of connections in tunnels the same ones on both sides', () => {
    const kept = [0, 1].map((offset) => {
      const { log, lines } = bench('All', { oneIn: 5 });
      for (let each = 0; each < offset; each += 1) log.carried(carried);
      for (let stream = 1; stream < 500; stream += 1)
        log.carried({ ...carried, tunnel: { id: '0123456789abcdef', stream } });
      return lines.map((line) => line['stream']).filter((stream) => stream !== undefined);
    });
    expect(kept[1]).toEqual(kept[0]);
    expect(kept[0]?.length).toBeGreaterThan(80);
    expect(kept[0]?.length).toBeLessThan(120);
  });

  test('keeps of everything else evenly one in so many', () => {
    const { log, lines } = bench('All', { oneIn: 100 });
    for (let each = 0; each < 10_000; each += 1) log.carried(carried);
    expect(lines.length).toBeGreaterThanOrEqual(99);
    expect(lines.length).toBeLessThanOrEqual(101);
  });
});

import { describe, expect, test } from '@jest/globals';
import { createLogger } from '../../../lib/runtime/logger.ts';
import { AccessLog, type Refusal } from '../../../sidecar/accesslog.ts';
import { TestClock } from '../../support/clock.ts';

function bench(all: boolean = false) {
  const lines: Readonly<Record<string, unknown>>[] = [];
  const logger = createLogger({
    name: 'test',
    level: 'info',
    destination: { write: (line) => void lines.push(JSON.parse(line)) },
  });
  const clock = new TestClock();
  return { log: new AccessLog({ logger, clock, all: () => all }), lines, clock };
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
        source: '10.0.0.9:4000',
        destination: '[fd00::1]:80',
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

  test('of another reason or another peer have lines of their own', () => {
    const { log, lines } = bench();
    log.refused(refusal);
    log.refused({ ...refusal, reason: 'expired' });
    log.refused({ ...refusal, source: { address: '10.0.0.10', port: 1 } });
    log.refused({ ...refusal, direction: 'outbound' });
    expect(lines.length).toBe(4);
  });
});

describe('carried connections', () => {
  const carried = {
    direction: 'outbound' as const,
    source: { address: '10.0.0.9', port: 4_000 },
    destination: { address: '10.96.0.1', port: 80 },
    end: { bytesIn: 1, bytesOut: 2, ending: 'closed' as const },
    ms: 3.4,
  };

  test('get a line only where the policy asks for it', () => {
    const quiet = bench(false);
    quiet.log.carried(carried);
    expect(quiet.lines).toEqual([]);
    const loud = bench(true);
    loud.log.carried({ ...carried, plain: 'not_in_mesh' });
    expect(loud.lines).toEqual([
      expect.objectContaining({
        level: 'info',
        msg: 'connection',
        bytesIn: 1,
        bytesOut: 2,
        ms: 3,
        plain: 'not_in_mesh',
        ending: 'closed',
      }),
    ]);
  });
});

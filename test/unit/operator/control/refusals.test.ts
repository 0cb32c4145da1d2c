import { describe, expect, test } from '@jest/globals';
import { createLogger } from '../../../../lib/runtime/logger.ts';
import { Refusals } from '../../../../operator/control/refusals.ts';
import { StoodClock } from '../../../support/meshbench.ts';

function bench() {
  const lines: Readonly<Record<string, unknown>>[] = [];
  const counted: unknown[] = [];
  const clock = new StoodClock();
  const destination = { write: (text: string) => void lines.push(JSON.parse(text) as Record<string, unknown>) };
  const refusals = new Refusals({
    logger: createLogger({ name: 'operator', level: 'info', destination }),
    counter: { inc: (labels) => counted.push(labels?.['reason']), of: () => () => undefined },
    clock,
  });
  return { lines, counted, clock, refusals };
}

describe('refusals', () => {
  test('each is counted; a flood of them fills a counter, not the log', () => {
    const { lines, counted, clock, refusals } = bench();
    for (let turn = 0; turn < 100; turn += 1) refusals.note('unknown_ca', { address: '10.0.0.1', detail: 'no' });
    expect([counted.length, lines.length]).toEqual([100, 20]);
    clock.ms += 1_000;
    refusals.note('unknown_ca', { address: '10.0.0.1', detail: 'no' });
    refusals.note('unknown_ca', { address: '10.0.0.1', detail: 'no' });
    expect(lines).toHaveLength(21);
    expect(lines.at(-1)).toMatchObject({ reason: 'unknown_ca', address: '10.0.0.1', unlogged: 80, level: 'warn' });
  });

  test('after a quiet time there is a burst again, no larger than the first', () => {
    const { lines, clock, refusals } = bench();
    clock.ms += 3_600_000;
    for (let turn = 0; turn < 100; turn += 1) refusals.note('expired', { address: '10.0.0.1', detail: 'no' });
    expect(lines).toHaveLength(20);
  });

  test('an end in the ordinary course is counted and not worth a line', () => {
    const { lines, counted, refusals } = bench();
    refusals.count('idle', { address: '10.0.0.1', detail: 'no stream' });
    expect([counted, lines]).toEqual([['idle'], []]);
  });
});

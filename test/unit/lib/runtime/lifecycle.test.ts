// Start and ordered stop of a process.
import { EventEmitter } from 'node:events';
import { Writable } from 'node:stream';
import { describe, expect, test } from '@jest/globals';
import { Lifecycle } from '../../../../lib/runtime/lifecycle.ts';
import { createLogger } from '../../../../lib/runtime/logger.ts';
import { settle, TestClock } from '../../../support/clock.ts';

function lifecycle(stopTimeoutMs?: number) {
  const lines: { msg: string; level: string }[] = [];
  const write = (chunk: Buffer, _: unknown, done: () => void) => {
    lines.push(JSON.parse(chunk.toString()));
    done();
  };
  const clock = new TestClock();
  const logger = createLogger({ name: 'test', level: 'debug', destination: new Writable({ write }) });
  const life = new Lifecycle({ logger, clock, ...(stopTimeoutMs === undefined ? {} : { stopTimeoutMs }) });
  return { life, clock, lines };
}

const untilAborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));

describe('the life cycle', () => {
  test('stops stage after stage, each only when the one before is done', async () => {
    const { life, clock } = lifecycle();
    const seen: string[] = [];
    const part = (name: string, ms: number) => async (signal: AbortSignal) => {
      await untilAborted(signal);
      seen.push(`${name} told`);
      await clock.sleep(ms);
      seen.push(`${name} done`);
    };
    const first = life.stage('first');
    const second = life.stage('second');
    second.run('c', part('c', 0));
    first.run('a', part('a', 1_000));
    first.run('b', part('b', 2_000));
    const finished = life.finished();
    await settle();
    life.stop('test');
    expect(life.stopping.aborted).toBe(true);
    await clock.advance(10_000);
    expect(await finished).toBe(0);
    expect(seen).toEqual(['a told', 'b told', 'a done', 'b done', 'c told', 'c done']);
  });

  test('a part that fails stops everything, with exit code 1 and the failure as the reason', async () => {
    const { life, lines } = lifecycle();
    const failure = new Error('lost');
    const stage = life.stage('all');
    let reason: unknown;
    stage.run('watcher', async (signal) => {
      await untilAborted(signal);
      reason = signal.reason;
    });
    stage.run('bad', async () => {
      throw failure;
    });
    expect(await life.finished()).toBe(1);
    expect(reason).toBe(failure);
    expect(lines.some((line) => line.level === 'error' && line.msg === 'stopping after a failure')).toBe(true);
  });

  test('a part that throws before its first wait is no different', async () => {
    const { life } = lifecycle();
    life.stage('all').run('bad', () => {
      throw new Error('at once');
    });
    expect(await life.finished()).toBe(1);
  });

  test('a part that ends early is fine, and one that rejects with the reason it was given did its work', async () => {
    const { life, lines } = lifecycle();
    const stage = life.stage('all');
    stage.run('short', async () => undefined);
    stage.run('abrupt', async (signal) => {
      await untilAborted(signal);
      throw signal.reason;
    });
    await settle();
    life.stop('test');
    expect(await life.finished()).toBe(0);
    expect(lines.filter((line) => line.level === 'warn')).toEqual([]);
  });

  test('what does not stop in time is abandoned, later stages are still told, and the exit code says so', async () => {
    const { life, clock, lines } = lifecycle(5_000);
    const told: string[] = [];
    life.stage('stuck').run('stuck', () => new Promise(() => undefined));
    life.stage('later').run('later', async (signal) => {
      await untilAborted(signal);
      told.push('later');
    });
    const finished = life.finished();
    life.stop('test');
    await clock.advance(5_000);
    expect(await finished).toBe(1);
    expect(told).toEqual(['later']);
    expect(lines.find((line) => line.level === 'error')).toMatchObject({ stage: 'stuck', parts: ['stuck'] });
  });

  test('the first failure counts, and stopping twice is stopping once', async () => {
    const { life, lines } = lifecycle();
    life.stop('one');
    life.stop('two');
    expect(await life.finished()).toBe(0);
    expect(lines.filter((line) => line.msg === 'stopping')).toHaveLength(1);
  });

  test('a part that is started after the stop does not run', async () => {
    const { life } = lifecycle();
    const stage = life.stage('all');
    life.stop('test');
    await life.finished();
    let ran = false;
    stage.run('late', async () => {
      ran = true;
    });
    await settle();
    expect(ran).toBe(false);
  });

  test('SIGTERM stops, a second signal ends the process at once', async () => {
    const { life } = lifecycle();
    const exits: (number | string | null | undefined)[] = [];
    const emitter = new EventEmitter();
    const fake = Object.assign(emitter, { exit: (code?: number | string | null) => exits.push(code) });
    const undo = life.onSignals(fake as unknown as Pick<NodeJS.Process, 'on' | 'off' | 'exit'>);
    emitter.emit('SIGTERM', 'SIGTERM');
    expect([life.stopping.aborted, exits]).toEqual([true, []]);
    emitter.emit('SIGINT', 'SIGINT');
    expect(exits).toEqual([1]);
    undo();
    expect(emitter.listenerCount('SIGTERM')).toBe(0);
    expect(await life.finished()).toBe(0);
  });
});

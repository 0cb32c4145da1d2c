import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { LineSink } from '../../../../lib/runtime/linesink.ts';

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

/** A reader that takes so many octets at once, and none while it is stuck. */
function reader({ capacity = 100, most = Infinity } = {}) {
  const state = { got: '', stuck: false, gone: false, writes: 0, dropped: 0, told: [] as number[] };
  const sink = new LineSink({
    capacity,
    write: (octets) => {
      if (state.gone) throw Object.assign(new Error('gone'), { code: 'EPIPE' });
      if (state.stuck) throw Object.assign(new Error('later'), { code: 'EAGAIN' });
      state.writes += 1;
      const taken = octets.subarray(0, most);
      state.got += Buffer.from(taken).toString();
      return taken.length;
    },
    onDrop: () => void (state.dropped += 1),
    onFlow: (dropped) => {
      state.told.push(dropped);
      sink.write(`dropped ${dropped}\n`);
    },
  });
  return { sink, state };
}

describe('a sink of lines', () => {
  test('gathers lines of the same moment into one write', () => {
    const { sink, state } = reader();
    sink.write('a\n');
    sink.write('b\n');
    expect(state.got).toBe('');
    jest.advanceTimersByTime(20);
    expect(state).toMatchObject({ got: 'a\nb\n', writes: 1 });
  });

  test('writes much at once', () => {
    const { sink, state } = reader({ capacity: 100_000 });
    sink.write(`${'x'.repeat(20_000)}\n`);
    expect(state.writes).toBe(1);
  });

  test('goes on where a write has stopped in the middle of a line, also of characters of several octets', () => {
    const { sink, state } = reader({ most: 3 });
    sink.write('größer\n');
    jest.advanceTimersByTime(20);
    expect(state.got).not.toBe('');
    expect(Buffer.from(state.got).length).toBeGreaterThanOrEqual(9);
    expect(state.writes).toBe(3);
  });

  test('keeps what fits while nobody reads, drops the rest, and tells how much once it flows', () => {
    const { sink, state } = reader({ capacity: 10 });
    state.stuck = true;
    for (const line of ['1234\n', '5678\n', 'lost\n', 'lost\n']) {
      sink.write(line);
      jest.advanceTimersByTime(100);
    }
    expect(state).toMatchObject({ got: '', dropped: 2, told: [] });
    state.stuck = false;
    jest.advanceTimersByTime(100);
    expect(state.got).toBe('1234\n5678\ndropped 2\n');
    jest.advanceTimersByTime(1_000);
    expect(state.told).toEqual([2]);
  });

  test('says its last words when the process ends', () => {
    const { sink, state } = reader();
    sink.write('last\n');
    sink.end();
    expect(state.got).toBe('last\n');
  });

  test('counts everything as dropped once the reader is gone, and throws nothing', () => {
    const { sink, state } = reader();
    state.gone = true;
    sink.write('a\n');
    sink.write('b\n');
    jest.advanceTimersByTime(20);
    sink.write('c\n');
    sink.end();
    expect(state).toMatchObject({ got: '', dropped: 3, told: [] });
  });
});

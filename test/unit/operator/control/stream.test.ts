import { Writable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { LineStream } from '../../../../operator/control/stream.ts';

/** A reader that takes a chunk only when told to. */
class Reader extends Writable {
  readonly got: string[] = [];
  #taken: (() => void) | undefined;

  override _write(chunk: Buffer, _encoding: string, taken: () => void): void {
    this.got.push(chunk.toString().trim());
    this.#taken = taken;
  }

  async take(): Promise<void> {
    const taken = this.#taken;
    this.#taken = undefined;
    taken?.();
    await nextTurn();
  }
}

function bench() {
  const reader = new Reader();
  const events = { sent: [] as (number | undefined)[], superseded: 0 };
  const lines = new LineStream(reader, {
    sent: (changedMs) => events.sent.push(changedMs),
    superseded: () => {
      events.superseded += 1;
    },
  });
  const offer = (text: string, changedMs?: number) =>
    lines.offer({ version: text, bytes: Buffer.from(`${text}\n`) }, changedMs);
  return { reader, events, offer };
}

describe('a stream of lines', () => {
  test('a reader that keeps up gets every line', async () => {
    const { reader, offer } = bench();
    for (const text of ['a', 'b', 'c']) {
      offer(text);
      await reader.take();
    }
    expect(reader.got).toEqual(['a', 'b', 'c']);
  });

  test('a reader that does not gets the newest when it comes back, and only one line waited', async () => {
    const { reader, events, offer } = bench();
    offer('a');
    for (let turn = 0; turn < 1000; turn += 1) offer(`b${turn}`, 1000 + turn);
    expect(reader.writableLength).toBeLessThan(10);
    await reader.take();
    await reader.take();
    await reader.take();
    expect(reader.got).toEqual(['a', 'b999']);
    // It has been behind since the first change that it did not get.
    expect(events).toEqual({ sent: [undefined, 1000], superseded: 999 });
  });

  test('nothing is written to a stream that is over', async () => {
    const { reader, events, offer } = bench();
    offer('a');
    offer('b');
    reader.destroy();
    await reader.take();
    offer('c');
    await reader.take();
    expect([reader.got, events.sent.length]).toEqual([['a'], 1]);
  });
});

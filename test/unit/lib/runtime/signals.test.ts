// Waiting with a signal.
import { getEventListeners } from 'node:events';
import { describe, expect, test } from '@jest/globals';
import { aborted, orAborted } from '../../../../lib/runtime/signals.ts';

describe('waiting with a signal', () => {
  test('resolves when the signal is aborted, also when it already was', async () => {
    const stop = new AbortController();
    const waiting = aborted(stop.signal);
    stop.abort();
    await waiting;
    await aborted(stop.signal);
  });

  test('gives the outcome of the promise and leaves no listener behind', async () => {
    const { signal } = new AbortController();
    expect(await orAborted(Promise.resolve(7), signal)).toBe(7);
    await expect(orAborted(Promise.reject(new Error('no')), signal)).rejects.toThrow('no');
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  test('rejects with the reason of the signal when that comes first', async () => {
    const stop = new AbortController();
    const waiting = orAborted(new Promise(() => undefined), stop.signal);
    stop.abort(new Error('stopped'));
    await expect(waiting).rejects.toThrow('stopped');
    await expect(orAborted(Promise.resolve(7), stop.signal)).rejects.toThrow('stopped');
  });
});

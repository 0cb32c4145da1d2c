// Which relay a process takes: the fast one only after it has proved itself, and what it says when it has not.
import { describe, expect, test } from '@jest/globals';
import { chooseRelay } from '../../../../sidecar/relay/choice.ts';
import type { Half, HalfEvents, OpenHalf } from '../../../../sidecar/relay/half.ts';
import { handleParts } from '../../../../sidecar/relay/handles.ts';
import { selfTest } from '../../../../sidecar/relay/selftest.ts';
import { openStreamHalf } from '../../../../sidecar/relay/streamhalf.ts';
import { relayNames, relays } from '../../../support/relays.ts';

/** Halves that are right but for what `change` does to one. */
const changed =
  (change: (half: Half) => Partial<Half>): OpenHalf =>
  (socket, options) => {
    const half = openStreamHalf(socket, options);
    const own: Half = {
      start: (events) => half.start(events),
      write: (bytes, lent) => half.write(bytes, lent),
      end: () => half.end(),
      pause: () => half.pause(),
      resume: () => half.resume(),
      reset: () => half.reset(),
      abort: () => half.abort(),
      destroy: () => half.destroy(),
      get queued() {
        return half.queued;
      },
    };
    return Object.assign(own, change(half));
  };

const telling = (half: Half, change: (events: HalfEvents) => Partial<HalfEvents>): Partial<Half> => ({
  start: (events) =>
    half.start({
      data: (bytes, lent) => events.data(bytes, lent),
      ended: () => events.ended(),
      drained: () => events.drained(),
      closed: (reason) => events.closed(reason),
      ...change(events),
    }),
});

const faulty: readonly (readonly [string, OpenHalf])[] = [
  [
    'changes a byte',
    changed((half) =>
      telling(half, (events) => ({
        data: (bytes) => {
          const copy = Buffer.from(bytes);
          copy[copy.length >> 1] = 255;
          events.data(copy, false);
        },
      })),
    ),
  ],
  [
    'loses what it is given while it is busy',
    changed((half) => ({ write: (bytes, lent) => half.queued > 0 || half.write(bytes, lent) })),
  ],
  ['never says that the peer ended', changed((half) => telling(half, () => ({ ended: () => undefined })))],
  ['never says that there is room again', changed((half) => telling(half, () => ({ drained: () => undefined })))],
  [
    'ends in order where it was to reset',
    changed((half) => ({ abort: () => half.destroy(), reset: () => half.destroy() })),
  ],
  [
    'throws',
    () => {
      throw new Error('no such handle');
    },
  ],
];

describe('the self-test', () => {
  test.each(relayNames)('is passed by the %s relay', async (name) => {
    expect(await selfTest(relays[name], 60_000)).toBeUndefined();
  });

  test.each(faulty)('finds a half that %s', async (_, openHalf) => {
    expect(await selfTest(openHalf, 1_500)).toEqual(expect.any(String));
  });
});

describe('the choice', () => {
  test('is the fast relay on the Node that comes with the image', async () => {
    const { path, why } = await chooseRelay('Auto');
    expect({ path, why }).toEqual({ path: 'fast', why: `it passed its self-test on Node ${process.versions.node}` });
  });

  test('is the public relay, and says why, when the fast one fails its test', async () => {
    const { path, why, openHalf } = await chooseRelay('Auto', () =>
      changed((half) => telling(half, () => ({ data: () => undefined }))),
    );
    expect({ path, openHalf }).toEqual({ path: 'public', openHalf: openStreamHalf });
    expect(why).toBe('the fast path failed its self-test: plain to tls client: what came in did not go out');
  });

  test('is the public relay on a Node that nobody has tried', async () => {
    const choice = await chooseRelay('Auto', () => {
      handleParts('99.0.0');
      return relays.fast;
    });
    expect(choice).toMatchObject({
      path: 'public',
      why: 'the fast path is not there: nothing is known of Node 99.0.0',
    });
  });

  test('is the public relay where the settings ask for it', async () => {
    expect(await chooseRelay('Public')).toMatchObject({ path: 'public', why: 'the settings ask for it' });
  });
});

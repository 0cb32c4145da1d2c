// What a peer may not do, one rule at a time and at random: the tunnel ends with the rule's code, its streams see a reset, nothing is left.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Rule, rules } from '../../../../sidecar/tunnel/codes.ts';
import { encodeFrame, type Frame, frameTypes as types, WINDOW_BYTES } from '../../../../sidecar/tunnel/frame.ts';
import { encodeOpening } from '../../../../sidecar/tunnel/opening.ts';
import { FrameReader } from '../../../../sidecar/tunnel/reader.ts';
import { type SessionEnd, TunnelSession } from '../../../../sidecar/tunnel/session.ts';
import type { TunnelStream } from '../../../../sidecar/tunnel/stream.ts';
import { linkedHalves } from '../../../support/linkedhalves.ts';
import { runs } from '../../../support/runs.ts';
import { anOpening, listenTo, settled } from '../../../support/tunnelpair.ts';

interface Bench {
  readonly session: TunnelSession;
  readonly streams: TunnelStream[];
  readonly end: () => SessionEnd | undefined;
  /** Frames that the session has sent. */
  readonly answers: Frame[];
  readonly send: (...frames: readonly (Frame | Uint8Array)[]) => Promise<void>;
}

/** A session with a peer that sends whatever a test wants. */
function bench(role: 'dialling' | 'accepting' = 'accepting', accepts: boolean = true): Bench {
  const [half, raw] = linkedHalves({ highWater: 1_000_000 });
  const streams: TunnelStream[] = [];
  const answers: Frame[] = [];
  let end: SessionEnd | undefined;
  const session: TunnelSession = new TunnelSession({
    half,
    role,
    maxStreams: 10,
    nowMs: () => 0,
    events: {
      opened: (stream) => {
        streams.push(stream);
        if (accepts) session.accept(stream);
      },
      retired: () => undefined,
      ended: (how) => {
        end = how;
      },
    },
  });
  const reader = new FrameReader({
    data: () => true,
    frame: (type, stream, payload) => {
      answers.push({ type, stream, payload: new Uint8Array(payload) });
      return true;
    },
    violation: (rule) => {
      throw new Error(`the session itself broke ${rule}`);
    },
  });
  raw.start({
    data: (bytes) => reader.push(bytes, true),
    ended: () => raw.end(),
    drained: () => undefined,
    closed: () => undefined,
  });
  return {
    session,
    streams,
    answers,
    end: () => end,
    send: async (...frames) => {
      for (const frame of frames) raw.write(frame instanceof Uint8Array ? frame : encodeFrame(frame), true);
      await settled(15);
    },
  };
}

const open = (stream: number): Frame => ({ type: types.open, stream, payload: encodeOpening(anOpening) });
const frame = (type: number, stream: number, ...payload: readonly number[]): Frame => ({
  type,
  stream,
  payload: Uint8Array.from(payload),
});
const header = (type: number, length: number): Uint8Array =>
  Uint8Array.of(0, 0, 0, 1, type, length >> 16, length >> 8, length);

const cases: readonly (readonly [string, Rule, readonly (Frame | Uint8Array)[]])[] = [
  ['DATA that is longer than a receiver takes', 'frame_too_long', [open(1), header(types.data, 65_537)]],
  ['a control frame that is longer than a receiver takes', 'frame_too_long', [header(types.open, 1_025)]],
  ['DATA of nothing', 'bad_length', [open(1), header(types.data, 0)]],
  ['a PING of seven bytes', 'bad_length', [frame(types.ping, 0, 1, 2, 3, 4, 5, 6, 7)]],
  ['a GOAWAY without a code', 'bad_length', [frame(types.goaway, 0)]],
  ['a WINDOW of three bytes', 'bad_length', [open(1), frame(types.window, 1, 0, 0, 1)]],
  ['a PING on a stream', 'wrong_scope', [open(1), frame(types.ping, 1, 1, 2, 3, 4, 5, 6, 7, 8)]],
  ['an END of the tunnel', 'wrong_scope', [frame(types.end, 0)]],
  ['DATA of the tunnel', 'wrong_scope', [frame(types.data, 0, 1)]],
  ['DATA of a stream that never was', 'unknown_stream', [open(1), frame(types.data, 2, 1)]],
  ['a RESET of a stream that never was', 'unknown_stream', [frame(types.reset, 1, 0)]],
  ['the number of a stream twice', 'bad_open', [open(3), open(3)]],
  ['a number that falls', 'bad_open', [open(3), open(2)]],
  ['a number beyond the last', 'bad_open', [open(0x8000_0000)]],
  ['an OPEN of ten bytes', 'bad_open', [frame(types.open, 1, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0)]],
  ['an OPEN to port 0', 'bad_open', [frame(types.open, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)]],
  ['an address of five bytes', 'bad_open', [frame(types.open, 1, 0, 80, 0, 0, 0, 0, 0, 0, 5, 0, 1, 1, 2, 3, 4, 5)]],
  ['a WINDOW of nothing', 'bad_window', [open(1), frame(types.window, 1, 0, 0, 0, 0)]],
  ['credit beyond the most', 'bad_window', [open(1), frame(types.window, 1, 0x7f, 0xff, 0xff, 0xff)]],
  ['DATA after END', 'after_end', [open(1), frame(types.end, 1), frame(types.data, 1, 1)]],
  ['END after END', 'after_end', [open(1), frame(types.end, 1), frame(types.end, 1)]],
  ['an ACCEPT from the side that dialled', 'bad_answer', [open(1), frame(types.accept, 1)]],
];

describe('a violation', () => {
  test.each(cases)('%s ends the tunnel with %s', async (_, rule, frames) => {
    const { session, streams, answers, end, send } = bench();
    const before = frames.slice(0, -1);
    await send(...before);
    const ears = streams.map(listenTo);
    for (const stream of streams) stream.pause();
    await send(...frames.slice(before.length));
    expect(end()).toMatchObject({ cause: 'violation', rule });
    expect(answers.at(-1)).toMatchObject({ type: types.goaway, stream: 0 });
    expect(answers.at(-1)?.payload?.[0]).toBe(rules[rule]);
    for (const ear of ears) expect(await ear.closed).toBe('malformed');
    expect([session.streams, session.held]).toEqual([0, 0]);
  });

  test('more than was granted, to a reader that does not read, ends the tunnel with window_exceeded', async () => {
    const { session, streams, end, send } = bench();
    await send(open(1));
    const ears = streams.map(listenTo);
    for (const stream of streams) stream.pause();
    const payload = new Uint8Array(WINDOW_BYTES / 4);
    for (let i = 0; i < 4; i += 1) await send({ type: types.data, stream: 1, payload });
    expect([end(), session.held]).toEqual([undefined, WINDOW_BYTES]);
    await send(frame(types.data, 1, 1));
    expect(end()).toMatchObject({ cause: 'violation', rule: 'window_exceeded' });
    for (const ear of ears) expect(await ear.closed).toBe('malformed');
    expect([session.streams, session.held]).toEqual([0, 0]);
  });

  test.each([
    ['DATA', frame(types.data, 1, 1)],
    ['END', frame(types.end, 1)],
  ])('%s before the stream was accepted ends the tunnel', async (_, early) => {
    const { end, send } = bench('accepting', false);
    await send(open(1), early);
    expect(end()).toMatchObject({ cause: 'violation', rule: 'before_answer' });
  });

  test.each([
    ['an OPEN', 'bad_open', [open(1)]],
    ['a second ACCEPT', 'bad_answer', [frame(types.accept, 1), frame(types.accept, 1)]],
    ['a REFUSE after an ACCEPT', 'bad_answer', [frame(types.accept, 1), frame(types.refuse, 1, 11)]],
    ['DATA before the answer', 'before_answer', [frame(types.data, 1, 1)]],
  ] as const)('%s to the dialling side ends the tunnel', async (_, rule, frames) => {
    const { session, end, send } = bench('dialling');
    session.open(anOpening, () => undefined);
    await send(...frames);
    expect(end()).toMatchObject({ cause: 'violation', rule });
    expect(session.streams).toBe(0);
  });

  test('questions without end, whose answers cannot leave, end the tunnel', async () => {
    const [half, raw] = linkedHalves({ highWater: 1 });
    const ends: SessionEnd[] = [];
    const session = new TunnelSession({
      half,
      role: 'accepting',
      maxStreams: 10,
      nowMs: () => 0,
      events: { retired: () => undefined, ended: (how) => void ends.push(how) },
    });
    const ping = encodeFrame(frame(types.ping, 0, 1, 2, 3, 4, 5, 6, 7, 8));
    const many = Buffer.concat(Array.from({ length: 4_096 }, () => ping));
    // The peer never reads: only its own bytes move.
    for (let i = 0; i < 40 && ends.length === 0; i += 1) {
      raw.write(many, true);
      await settled(3);
      expect(session.held).toBeLessThan(3_000_000);
    }
    expect(ends).toMatchObject([{ cause: 'violation', rule: 'flood' }]);
  });
});

describe('what is no violation', () => {
  test('frames of a stream that has ended may still be under way', async () => {
    const { session, streams, end, send } = bench();
    await send(open(1));
    const [stream] = streams;
    if (stream === undefined) throw new Error('nothing was opened');
    listenTo(stream);
    stream.reset();
    await send(
      frame(types.data, 1, 1),
      frame(types.window, 1, 0, 0, 0, 1),
      frame(types.end, 1),
      frame(types.reset, 1, 0),
    );
    expect(end()).toBeUndefined();
    expect(session.streams).toBe(0);
  });

  test('what a later version adds: unknown types, unknown codes, bytes behind the known ones', async () => {
    const { streams, answers, end, send } = bench();
    const later = new Uint8Array([...encodeOpening(anOpening), 9, 9, 9]);
    await send(frame(77, 5, 1, 2, 3), { type: types.open, stream: 1, payload: later }, frame(99, 0));
    await send(frame(types.ping, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9), frame(types.window, 1, 0, 0, 0, 1, 7));
    expect(end()).toBeUndefined();
    expect(answers.map(({ type }) => type)).toEqual([types.accept, types.pong]);
    const [stream] = streams;
    if (stream === undefined) throw new Error('nothing was opened');
    const ear = listenTo(stream);
    await send(frame(types.reset, 1, 200));
    expect(await ear.closed).toBe('reset');
  });

  test('nor is GOAWAY: one that retires lets streams go on, one with a reason ends them with it', async () => {
    const { session, streams, end, send } = bench();
    await send(open(1), frame(types.goaway, 0, 0, 0, 0, 0, 1));
    expect([session.streams, session.isRetired, end()]).toEqual([1, true, undefined]);
    const [stream] = streams;
    if (stream === undefined) throw new Error('nothing was opened');
    const ear = listenTo(stream);
    await send(frame(types.goaway, 0, 6, 0, 0, 0, 1));
    expect(await ear.closed).toBe('revoked');
    expect(end()).toMatchObject({ cause: 'told', reason: 'revoked' });
  });

  test('GOAWAY with a rule says that we broke it', async () => {
    const { end, send } = bench();
    await send(frame(types.goaway, 0, rules.window_exceeded, 0, 0, 0, 0));
    expect(end()).toMatchObject({ cause: 'told', rule: 'window_exceeded' });
  });
});

test('whatever a peer sends, a session neither throws nor keeps anything after its end', async () => {
  const anything = fc.oneof(
    fc.record({
      type: fc.integer({ min: 1, max: 12 }),
      stream: fc.integer({ min: 0, max: 6 }),
      payload: fc.uint8Array({ maxLength: 40 }),
    }),
    fc.integer({ min: 1, max: 6 }).map(open),
    fc.uint8Array({ maxLength: 20 }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(anything, { maxLength: 40 }), async (frames) => {
      const { session, streams, end, send } = bench();
      await send(...frames);
      const ears = streams.map(listenTo);
      if (end() === undefined) session.close();
      await Promise.all(ears.map(({ closed }) => closed));
      expect([session.streams, session.held]).toEqual([0, 0]);
    }),
    runs(150),
  );
}, 60_000);

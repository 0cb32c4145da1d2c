// What a peer may not do, one rule at a time and at random: the tunnel ends with the rule's code, its streams see a reset, nothing is left.
import { readFileSync } from 'node:fs';
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
import { piecesOf, type Violation, violations } from '../../../support/tunnelvectors.ts';

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

/** A session of a vector's receiver, at the moment at which its peer sends the piece that breaks the rule. */
async function brought({ receiver, answers, reads, send }: Violation, pieces: readonly Uint8Array[]) {
  const met = bench(receiver, answers !== false);
  const { session, streams } = met;
  if (receiver === 'dialling') streams.push(session.open(anOpening, () => undefined));
  const [first, ...others] = pieces.slice(0, -1);
  if (first !== undefined) await met.send(first);
  const ears = streams.map(listenTo);
  if (reads === false) for (const stream of streams) stream.pause();
  for (const piece of others) await met.send(piece);
  expect([met.end(), send.length]).toEqual([undefined, pieces.length]);
  return { ...met, ears: [...ears, ...streams.slice(ears.length).map(listenTo)] };
}

const named = (violation: Violation): readonly [string, string, Rule, Violation] => [
  violation.receiver,
  violation.name,
  violation.rule,
  violation,
];

describe('a violation', () => {
  test.each(violations.filter(({ takes }) => takes !== false).map(named))(
    'the %s side ends the tunnel for %s with %s, its streams are reset, and nothing is left',
    async (_receiver, _name, rule, violation) => {
      const pieces = piecesOf(violation);
      const { session, answers, end, send, ears } = await brought(violation, pieces);
      if (violation.reads === false) expect(session.held).toBe(WINDOW_BYTES);
      expect(ears.length).toBeGreaterThan(0);
      await send(...pieces.slice(-1));
      expect(end()).toEqual({ cause: 'violation', reason: 'malformed', rule, streams: ears.length });
      expect(answers.at(-1)).toMatchObject({ type: types.goaway, stream: 0 });
      expect(answers.at(-1)?.payload?.[0]).toBe(violation.code);
      for (const ear of ears) expect(await ear.closed).toBe('malformed');
      expect([session.streams, session.held, session.isGone]).toEqual([0, 0, true]);
    },
  );

  test.each(violations.filter(({ takes }) => takes === false).map(named))(
    'the %s side ends the tunnel for %s with %s, and holds little until then',
    async (_receiver, _name, rule, violation) => {
      const [half, raw] = linkedHalves({ highWater: 1 });
      const { receiver } = violation;
      const ends: SessionEnd[] = [];
      const streams: TunnelStream[] = [];
      const session: TunnelSession = new TunnelSession({
        half,
        role: receiver,
        maxStreams: 10,
        nowMs: () => 0,
        events: {
          opened: (stream) => {
            streams.push(stream);
            session.accept(stream);
          },
          retired: () => undefined,
          ended: (how) => void ends.push(how),
        },
      });
      if (receiver === 'dialling') streams.push(session.open(anOpening, () => undefined));
      const [first, question] = piecesOf(violation);
      if (first === undefined || question === undefined) throw new Error('the vector has no question');
      raw.write(first, true);
      await settled(3);
      const ears = streams.map(listenTo);
      const many = Buffer.concat(Array.from({ length: 4_096 }, () => question));
      // The peer never reads: only its own bytes move.
      for (let i = 0; i < 40 && ends.length === 0; i += 1) {
        raw.write(many, true);
        await settled(3);
        expect(session.held).toBeLessThan(3_000_000);
      }
      expect(ends).toEqual([{ cause: 'violation', reason: 'malformed', rule, streams: 1 }]);
      for (const ear of ears) expect(await ear.closed).toBe('malformed');
      expect(session.streams).toBe(0);
    },
  );

  test('of every rule has a vector for both sides, with the code that the specification gives it', () => {
    const specified = readFileSync(new URL('../../../../docs/tunnel-protocol.md', import.meta.url), 'utf8');
    const table = [...specified.matchAll(/^\| (\d+) \| `(\w+)` \|/gm)].map(([, code, rule]) => [rule, Number(code)]);
    expect(Object.fromEntries(table)).toEqual(rules);
    for (const receiver of ['accepting', 'dialling'] as const) {
      const seen = violations.filter((each) => each.receiver === receiver).map(({ rule, code }) => [rule, code]);
      expect(Object.fromEntries(seen)).toEqual(rules);
    }
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

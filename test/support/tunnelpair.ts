// Two tunnel sessions over one link in memory, with what they tell.
import type { Reason } from '../../lib/api/reasons.ts';
import type { Opening } from '../../sidecar/tunnel/opening.ts';
import { type SessionEnd, TunnelSession } from '../../sidecar/tunnel/session.ts';
import type { TunnelStream } from '../../sidecar/tunnel/stream.ts';
import type { Answer } from '../../sidecar/tunnel/table.ts';
import { type LinkedHalf, type LinkOptions, linkedHalves } from './linkedhalves.ts';

/** Settings of a pair. */
export interface PairOptions extends LinkOptions {
  readonly maxStreams?: number;
  readonly firstStream?: number;
  readonly nowMs?: () => number;
  /** What to do with a stream that the dialling side opens; accepted by default. */
  readonly opened?: (stream: TunnelStream, opening: Opening, session: TunnelSession) => void;
}

/** The pair. */
export interface TunnelPair {
  readonly dialling: TunnelSession;
  readonly accepting: TunnelSession;
  readonly halves: readonly [LinkedHalf, LinkedHalf];
  readonly ends: { dialling: SessionEnd | undefined; accepting: SessionEnd | undefined };
  /** Streams on the accepting side, in the order in which they were opened. */
  readonly taken: TunnelStream[];
  readonly openings: Opening[];
  /** Opens a stream and waits for the answer. */
  open(): Promise<{ readonly stream: TunnelStream; readonly answer: Answer }>;
}

/** What tests open streams with. */
export const anOpening: Opening = {
  port: 8080,
  source: { address: '10.0.0.7', port: 40_000 },
  startedMs: 1_795_000_000_000,
};

/** Makes a pair. */
export function tunnelPair(options: PairOptions = {}): TunnelPair {
  const halves = linkedHalves(options);
  const ends: TunnelPair['ends'] = { dialling: undefined, accepting: undefined };
  const taken: TunnelStream[] = [];
  const openings: Opening[] = [];
  const shared = {
    maxStreams: options.maxStreams ?? 1_000,
    nowMs: options.nowMs ?? (() => performance.now()),
    ...(options.firstStream === undefined ? {} : { firstStream: options.firstStream }),
  };
  const accepting: TunnelSession = new TunnelSession({
    ...shared,
    half: halves[1],
    role: 'accepting',
    events: {
      opened: (stream, opening) => {
        taken.push(stream);
        openings.push(opening);
        if (options.opened === undefined) accepting.accept(stream);
        else options.opened(stream, opening, accepting);
      },
      retired: () => undefined,
      ended: (end) => {
        ends.accepting = end;
      },
    },
  });
  const dialling = new TunnelSession({
    ...shared,
    half: halves[0],
    role: 'dialling',
    events: {
      retired: () => undefined,
      ended: (end) => {
        ends.dialling = end;
      },
    },
  });
  const open: TunnelPair['open'] = () => {
    const { promise, resolve } = Promise.withResolvers<{ stream: TunnelStream; answer: Answer }>();
    const stream = dialling.open(anOpening, (answer) => resolve({ stream, answer }));
    return promise;
  };
  return { dialling, accepting, halves, ends, taken, openings, open };
}

/** What came out of a stream. */
export interface Heard {
  readonly bytes: () => Buffer;
  readonly ended: Promise<void>;
  readonly closed: Promise<Reason | undefined>;
  readonly drained: () => number;
}

/** Starts a stream and collects. */
export function listenTo(stream: TunnelStream): Heard {
  const parts: Buffer[] = [];
  const ended = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<Reason | undefined>();
  let drains = 0;
  stream.start({
    data: (bytes) => void parts.push(Buffer.from(bytes)),
    ended: () => ended.resolve(),
    drained: () => void (drains += 1),
    closed: (reason) => closed.resolve(reason),
  });
  return { bytes: () => Buffer.concat(parts), ended: ended.promise, closed: closed.promise, drained: () => drains };
}

/** Lets everything that is under way in memory arrive. */
export async function settled(turns: number = 50): Promise<void> {
  for (let i = 0; i < turns; i += 1) await new Promise((resolve) => setImmediate(resolve));
}

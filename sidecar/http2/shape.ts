// What a frame of each type may look like, before anybody knows what it means: its length, and whether it belongs to a stream (RFC 9113 section 6). Pure.
import { type ConnectionRule, frameTypes } from './codes.ts';
import type { FrameHead } from './frames.ts';

interface Shape {
  /** Octets of the payload. */
  readonly least: number;
  readonly most: number;
  /** On stream 0 and nowhere else, or never there; undefined = on both. */
  readonly ofConnection: boolean | undefined;
}

const any = Number.MAX_SAFE_INTEGER;
const shape = (least: number, most: number, ofConnection?: boolean): Shape => ({ least, most, ofConnection });

const shapes: ReadonlyMap<number, Shape> = new Map([
  [frameTypes.data, shape(0, any, false)],
  [frameTypes.headers, shape(0, any, false)],
  [frameTypes.priority, shape(5, 5, false)],
  [frameTypes.rstStream, shape(4, 4, false)],
  [frameTypes.settings, shape(0, any, true)],
  [frameTypes.pushPromise, shape(0, any, false)],
  [frameTypes.ping, shape(8, 8, true)],
  [frameTypes.goaway, shape(8, any, true)],
  [frameTypes.windowUpdate, shape(4, 4)],
  [frameTypes.continuation, shape(0, any, false)],
]);

/** The rule that a frame breaks by its length or its stream; types that nobody knows break none. */
export function shapeFault({ type, stream, length }: FrameHead): ConnectionRule | undefined {
  const wanted = shapes.get(type);
  if (wanted === undefined) return undefined;
  if (wanted.ofConnection !== undefined && wanted.ofConnection !== (stream === 0)) return 'wrong_stream';
  return length < wanted.least || length > wanted.most ? 'bad_frame_length' : undefined;
}

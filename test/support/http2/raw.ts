// Frames by hand, and a gate with a played application behind it: for what no client and no server of anybody's would send.
import { flags, frameTypes, preface } from '../../../sidecar/http2/codes.ts';
import { encodeLines, frame, headersFrames, type Line, numberFrame } from '../../../sidecar/http2/encode.ts';
import { type Http2Broken, Http2Gate, type Http2GateOptions } from '../../../sidecar/http2/gate.ts';
import { lend, PlayedHalf } from '../http1/application.ts';
import { gateOptions } from './throughgate.ts';

/** A frame that came out of a gate. */
export interface Came {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** Cuts octets into frames. */
export function framesOf(octets: Buffer): readonly Came[] {
  const frames: Came[] = [];
  for (let at = 0; at + 9 <= octets.length; ) {
    const length = octets.readUIntBE(at, 3);
    const [type = 0, set = 0] = [octets[at + 3], octets[at + 4]];
    const payload = octets.subarray(at + 9, at + 9 + length);
    frames.push({ type, flags: set, stream: octets.readUInt32BE(at + 5), payload });
    at += 9 + length;
  }
  return frames;
}

/** Lines as they are written here: `name: value`. */
export const lines = (...texts: readonly string[]): readonly Line[] =>
  texts.map((text) => {
    const colon = text.indexOf(':', 1);
    return { name: text.slice(0, colon), value: text.slice(colon + 1).replace(/^ /, '') };
  });

/** What a good request begins with. */
export const good = [':method: GET', ':scheme: http', ':path: /', ':authority: web'] as const;

/** HEADERS. */
export function headers(stream: number, texts: readonly string[], endStream = true): Buffer {
  return headersFrames(stream, endStream, encodeLines(lines(...texts)));
}

/** DATA. */
export function data(stream: number, octets: number, set = 0): Buffer {
  return frame(frameTypes.data, { stream, flags: set }, Buffer.alloc(octets));
}

export const settings = (...entries: readonly (readonly [number, number])[]): Buffer => {
  const payload = Buffer.alloc(entries.length * 6);
  for (const [index, [id, value]] of entries.entries()) {
    payload.writeUInt16BE(id, index * 6);
    payload.writeUInt32BE(value, index * 6 + 2);
  }
  return frame(frameTypes.settings, { stream: 0 }, payload);
};
export const settingsAck: Buffer = frame(frameTypes.settings, { stream: 0, flags: flags.ack });
export const ping: Buffer = frame(frameTypes.ping, { stream: 0 }, Buffer.alloc(8));
export const reset = (stream: number): Buffer => numberFrame(frameTypes.rstStream, stream, 8);
export const credit = (stream: number, octets: number): Buffer => numberFrame(frameTypes.windowUpdate, stream, octets);

/** A gate whose client and application are played. */
export class PlayedGate {
  readonly application = new PlayedHalf();
  readonly gate: Http2Gate;
  readonly broken: Http2Broken[] = [];
  /** `ended` and `closed`, as the client was told. */
  readonly told: string[] = [];
  got: Buffer = Buffer.alloc(0);

  constructor(options: Partial<Http2GateOptions> = {}) {
    this.gate = new Http2Gate(this.application, {
      ...gateOptions,
      broken: (each) => this.broken.push(each),
      ...options,
    });
    this.gate.start({
      data: (bytes) => void (this.got = Buffer.concat([this.got, bytes])),
      ended: () => void this.told.push('ended'),
      drained: () => void this.told.push('drained'),
      closed: (reason) => void this.told.push(`closed ${reason}`),
    });
  }

  /** Both have said their SETTINGS; what was said until then is forgotten. */
  static opened(options: Partial<Http2GateOptions> = {}): PlayedGate {
    const played = new PlayedGate(options);
    played.sends(preface, settings());
    played.says(settings(), settingsAck);
    played.sends(settingsAck);
    played.forget();
    return played;
  }

  /** The client sends. */
  sends(...frames: readonly Buffer[]): boolean {
    let room = true;
    lend(Buffer.concat(frames).toString('latin1'), (bytes) => void (room = this.gate.write(bytes, true)));
    return room;
  }

  /** The application says. */
  says(...frames: readonly Buffer[]): void {
    this.application.says(Buffer.concat(frames).toString('latin1'));
  }

  forget(): void {
    this.got = Buffer.alloc(0);
    this.application.got = '';
  }

  /** What the client has got. */
  get came(): readonly Came[] {
    return framesOf(this.got);
  }

  /** What the application has got. */
  get passed(): readonly Came[] {
    return framesOf(Buffer.from(this.application.got, 'latin1'));
  }

  /** Error code of the GOAWAY that the client has got. */
  get goaway(): number | undefined {
    return this.came.find(({ type }) => type === frameTypes.goaway)?.payload.readUInt32BE(4);
  }
}

// The way of requests through a gate of HTTP/2: every head is read and judged, bodies are only counted. What a denied stream still sends is
// swallowed, and its credit given back.

import type { Block } from './blocks.ts';
import { type ConnectionRule, errorCodes, flags, frameTypes, type MessageRule, preface } from './codes.ts';
import { encodeLines, type Line } from './encode.ts';
import type { Counted } from './floods.ts';
import { FrameFlow, type FrameHead, type FrameSink, type Verdict, verdicts } from './frames.ts';
import { areTrailers, RequestHead } from './head.ts';
import { creditFrame, type Denial, denialFrames, resetFrame } from './replies.ts';
import { shapeFault } from './shape.ts';
import { type ConnectionState, lowerCase } from './state.ts';
import { MAX_STREAMS, Stream } from './streams.ts';

/** What becomes of a request. */
export type Judgement =
  /**
   * `strip`: a field, in lower case, that the application must not get. `breached` judges it again while it is in flight. `untilMs`: when it
   * has to end, in milliseconds since the epoch; absent = by itself.
   */
  | { readonly kind: 'pass'; readonly strip?: string; readonly breached?: () => boolean; readonly untilMs?: number }
  /** Ask again when it has settled. It never rejects. */
  | { readonly kind: 'wait'; readonly until: Promise<void> }
  | { readonly kind: 'deny'; readonly denial: Denial };

/** What the way of requests leads to. */
export interface RequestSink {
  judge(head: RequestHead): Judgement;
  forward(octets: Buffer, lent: boolean): void;
  /** Frames of the gate's own for the client. */
  say(frames: Buffer): void;
  /** A request was answered by the gate. */
  denied(head: RequestHead, denial: Denial, octets: number): void;
  /** A stream is over before its answer was. */
  aborted(stream: Stream): void;
  /** A request is malformed; its stream was reset. */
  malformed(rule: MessageRule): void;
  broken(rule: ConnectionRule): void;
  /** All that has come is read, or waits. */
  settled(): void;
}

/** How long a stream lives whose end by the client is nothing to wonder about (as for Envoy). */
const YOUNG_MS = 1_000;
/** Requests of a connection that are taken on before others are served, some fifty microseconds each: a hundred may come in one packet. */
const MOST_AT_ONCE = 8;
const countedAs: ReadonlyMap<number, Counted> = new Map([
  [frameTypes.priority, 'priority_flood'],
  [frameTypes.ping, 'ping_flood'],
  [frameTypes.windowUpdate, 'window_update_flood'],
]);
const nothing: Buffer = Buffer.alloc(0);
const tooLarge: Denial = { status: 431, reason: 'malformed' };

/** Reads what the client sends. */
export class Requests implements FrameSink {
  readonly flow: FrameFlow = new FrameFlow(this);
  replacement: Buffer = nothing;
  readonly #state: ConnectionState;
  readonly #sink: RequestSink;
  readonly #head = new RequestHead();
  readonly #removed: ReadonlySet<string>;
  readonly #proved: Buffer | undefined;
  #prefaced = 0;
  #begun = false;
  #credit = 0;
  /** The block that waits for a judgement, or for its turn. */
  #waiting: Block | undefined;
  /** Requests that were taken on in this turn of the event loop. */
  #taken = 0;

  constructor(state: ConnectionState, sink: RequestSink) {
    this.#state = state;
    this.#sink = sink;
    const { removed, proved } = state.plan;
    this.#removed = new Set(removed);
    this.#proved = proved.length === 0 ? undefined : encodeLines(proved.map(lowerCase));
  }

  /** Something has begun that can only be read when the rest of it is there. */
  get partial(): boolean {
    if (this.#prefaced > 0 && this.#prefaced < preface.length) return true;
    return !this.flow.waits && (this.flow.held > 0 || this.#state.requests.isOpen);
  }

  take(bytes: Uint8Array, lent: boolean): void {
    if (!this.flow.waits) this.#taken = 0;
    const rest = this.#prefaced < preface.length ? this.#preface(bytes, lent) : bytes;
    if (rest === undefined) return;
    if (rest.length > 0) this.flow.take(rest, lent);
    this.#settle();
  }

  /** What was waited for is there. */
  go(): void {
    this.#taken = 0;
    this.flow.go();
    this.#settle();
  }

  begin(head: FrameHead): Verdict {
    const fault = this.#fault(head) ?? shapeFault(head);
    if (fault !== undefined) return this.#break(fault);
    const { type, stream } = head;
    switch (type) {
      case frameTypes.data:
        return this.#data(head);
      case frameTypes.headers:
      case frameTypes.continuation:
        return stream % 2 === 0 ? this.#break('wrong_stream') : verdicts.whole;
      case frameTypes.settings:
        return verdicts.whole;
      case frameTypes.rstStream:
        return this.#reset(stream);
      case frameTypes.windowUpdate:
        return this.#state.streams.isIdle(stream) ? this.#break('wrong_stream') : this.#counted(head);
      case frameTypes.ping:
        // It may be the answer to a PING of the gate's own.
        return this.#state.farewell.isAnnounced && isAck(head) ? verdicts.whole : this.#counted(head);
      default:
        return this.#counted(head);
    }
  }

  /** What a frame breaks by coming now. */
  #fault(head: FrameHead): ConnectionRule | undefined {
    const { type, length } = head;
    if (!this.#begun && (type !== frameTypes.settings || isAck(head))) return 'bad_preface';
    if (length > this.#state.application.maxFrame) return 'frame_too_large';
    if (this.#state.requests.interrupts(head)) return 'interrupted_block';
    return type === frameTypes.pushPromise ? 'unasked_push' : undefined;
  }

  frame(head: FrameHead, octets: Buffer, start: number, end: number): Verdict {
    if (head.type === frameTypes.settings) return this.#settings(head, octets, start, end);
    if (head.type === frameTypes.ping) return this.#answered(head, octets.subarray(start, end));
    const block = this.#waiting ?? this.#state.requests.take(head, octets, start, end);
    if (block === undefined) return verdicts.drop;
    return typeof block === 'string' ? this.#break(block) : this.#block(block);
  }

  forward(octets: Buffer, lent: boolean): void {
    this.#sink.forward(octets, lent);
  }

  /** The octets behind the preface, undefined where it is none. */
  #preface(bytes: Uint8Array, lent: boolean): Uint8Array | undefined {
    const count = Math.min(preface.length - this.#prefaced, bytes.length);
    const begun = Buffer.from(bytes.buffer, bytes.byteOffset, count);
    if (!begun.equals(preface.subarray(this.#prefaced, this.#prefaced + count))) {
      this.#break('bad_preface');
      return undefined;
    }
    this.#prefaced += count;
    this.#sink.forward(begun, lent);
    return bytes.subarray(count);
  }

  #settle(): void {
    if (this.#credit > 0) this.#sink.say(creditFrame(this.#credit));
    this.#credit = 0;
    this.#sink.settled();
  }

  #data({ stream: id, flags: set, length, padding }: FrameHead): Verdict {
    const { streams, floods } = this.#state;
    if (streams.isIdle(id)) return this.#break('wrong_stream');
    if (padding > length) return this.#break('bad_padding');
    const stream = streams.get(id);
    const ends = (set & flags.endStream) !== 0;
    const octets = length - padding;
    if (octets > 0) floods.sent();
    else if (!ends) {
      const flood = floods.spend('empty_frame_flood');
      if (flood !== undefined) return this.#break(flood);
    }
    if (stream === undefined) {
      // Of a stream that has ended in order the application knows what to think.
      if (!streams.isCut(id)) return verdicts.pass;
      this.#credit += length;
      return verdicts.drop;
    }
    if (stream.clientEnded) return this.#break('after_end');
    stream.bytesIn += length;
    if (stream.left >= 0) {
      const differs = octets > stream.left || (ends && octets < stream.left);
      if (differs) return this.#break('body_differs_from_content_length');
      stream.left -= octets;
    }
    if (ends) this.#ended(stream);
    return verdicts.pass;
  }

  #reset(id: number): Verdict {
    const { streams, floods } = this.#state;
    if (streams.isIdle(id)) return this.#break('wrong_stream');
    const stream = streams.get(id);
    if (stream === undefined || performance.now() - stream.askedMs < YOUNG_MS) {
      const flood = floods.spend('reset_flood');
      if (flood !== undefined) return this.#break(flood);
    }
    if (stream !== undefined) {
      streams.close(stream);
      this.#sink.aborted(stream);
    }
    return streams.isCut(id) ? verdicts.drop : verdicts.pass;
  }

  #counted({ type, stream }: FrameHead): Verdict {
    const flood = this.#state.floods.spend(countedAs.get(type) ?? 'unknown_frame_flood');
    if (flood !== undefined) return this.#break(flood);
    return this.#state.streams.isCut(stream) ? verdicts.drop : verdicts.pass;
  }

  /** An answer to a PING: the gate's own is for nobody else. */
  #answered(head: FrameHead, payload: Buffer): Verdict {
    const { farewell, streams } = this.#state;
    const goaway = farewell.answered(payload, streams.highest);
    if (goaway === undefined) return this.#counted(head);
    this.#sink.say(goaway);
    return verdicts.drop;
  }

  #settings(head: FrameHead, octets: Buffer, start: number, end: number): Verdict {
    const { application, client, floods } = this.#state;
    const flood = floods.spend('settings_flood');
    if (flood !== undefined) return this.#break(flood);
    if (isAck(head)) {
      if (end > start) return this.#break('bad_frame_length');
      application.acknowledged();
      this.#state.settle();
      return verdicts.pass;
    }
    if ((end - start) % 6 !== 0) return this.#break('bad_frame_length');
    this.#begun = true;
    const outcome = client.take(octets, start, end);
    if (typeof outcome === 'string') return this.#break(outcome);
    this.#state.settle();
    return this.#replace(outcome);
  }

  #block(block: Block): Verdict {
    const { streams, requests } = this.#state;
    const stream = streams.get(block.stream);
    if (stream !== undefined) return this.#trailers(stream, block);
    if (streams.isIdle(block.stream)) return this.#request(block);
    if (!streams.isCut(block.stream)) return this.#replace(requests.onward(block));
    requests.dropped();
    return verdicts.drop;
  }

  #trailers(stream: Stream, block: Block): Verdict {
    const { decoder } = this.#state.requests;
    if (stream.clientEnded) return this.#break('after_end');
    const isGood = block.endStream && decoder.overflow === undefined && areTrailers(decoder.fields);
    if (!isGood || decoder.fields.some(({ name }) => this.#removed.has(name))) return this.#break('bad_trailers');
    if (stream.left > 0) return this.#break('body_differs_from_content_length');
    this.#ended(stream);
    return this.#replace(this.#state.requests.onward(block));
  }

  #request(block: Block): Verdict {
    const head = this.#head;
    const { streams, requests, application, floods, farewell, refuseUnderscores } = this.#state;
    if (!farewell.takes(block.stream)) return this.#tooLate(block);
    const { overflow, fields } = requests.decoder;
    // A malformed request is not asked about twice.
    if (this.#waiting === undefined) {
      if (overflow !== undefined) return this.#tooLarge(block, overflow);
      const broken = head.read(fields, application, refuseUnderscores) ?? bodyFault(head, block);
      if (broken !== undefined) return this.#refuse(block, broken, errorCodes.protocolError);
      if (streams.size >= MAX_STREAMS) return this.#refuse(block, 'too_many_streams', errorCodes.refusedStream);
      if (this.#taken >= MOST_AT_ONCE) {
        setImmediate(() => this.go());
        return this.#wait(block);
      }
    }
    this.#taken += 1;
    const judgement = this.#sink.judge(head);
    if (judgement.kind === 'wait') {
      void judgement.until.then(() => this.go());
      return this.#wait(block);
    }
    this.#waiting = undefined;
    if (judgement.kind === 'deny') return this.#deny(block, judgement.denial);
    const stream = new Stream(block.stream, head, judgement);
    stream.bytesIn = block.octets.length;
    streams.open(stream);
    floods.asked();
    if (block.endStream) this.#ended(stream);
    return this.#replace(requests.onward(block, this.#edit(judgement.strip)));
  }

  #wait(block: Block): Verdict {
    this.#waiting = { ...block, octets: Buffer.from(block.octets) };
    return verdicts.wait;
  }

  #edit(strip: string | undefined) {
    const removed = this.#removed;
    const without = ({ name }: Line): boolean => name === strip || removed.has(name);
    return {
      ...(strip === undefined && removed.size === 0 ? {} : { without }),
      ...(this.#proved === undefined ? {} : { more: this.#proved }),
    };
  }

  #deny({ stream, endStream, octets }: Block, denial: Denial): Verdict {
    const head = this.#head;
    const denied = { stream, grpc: head.grpc, complete: endStream };
    this.#sink.say(denialFrames(denial, denied, this.#state.answerLines));
    this.#sink.denied(head, denial, octets.length);
    return this.#cut(stream);
  }

  #tooLarge({ stream, endStream }: Block, overflow: 'octets' | 'fields'): Verdict {
    this.#sink.malformed(overflow === 'octets' ? 'head_too_large' : 'too_many_fields');
    this.#sink.say(denialFrames(tooLarge, { stream, grpc: false, complete: endStream }, this.#state.answerLines));
    return this.#cut(stream);
  }

  /** Opened behind the last GOAWAY: the client may ask again elsewhere, whatever it is. */
  #tooLate({ stream }: Block): Verdict {
    this.#sink.say(resetFrame(stream, errorCodes.refusedStream));
    return this.#cut(stream);
  }

  #refuse({ stream }: Block, rule: MessageRule, code: number): Verdict {
    const flood = this.#state.floods.spend('reset_flood');
    if (flood !== undefined) return this.#break(flood);
    this.#sink.malformed(rule);
    this.#sink.say(resetFrame(stream, code));
    return this.#cut(stream);
  }

  #cut(id: number): Verdict {
    this.#state.streams.cut(id);
    this.#state.requests.dropped();
    return verdicts.drop;
  }

  #ended(stream: Stream): void {
    stream.clientEnded = true;
    if (stream.applicationEnded) this.#state.streams.close(stream);
  }

  #replace(instead: Buffer | undefined): Verdict {
    if (instead === undefined) return verdicts.pass;
    this.replacement = instead;
    return verdicts.replace;
  }

  #break(rule: ConnectionRule): Verdict {
    this.flow.finish();
    this.#sink.broken(rule);
    return verdicts.stop;
  }
}

function isAck({ flags: set }: FrameHead): boolean {
  return (set & flags.ack) !== 0;
}

/** RFC 9113 section 8.1.1: a length of a body that does not come. */
function bodyFault({ contentLength }: RequestHead, { endStream }: Block): MessageRule | undefined {
  return endStream && contentLength > 0 ? 'bad_content_length' : undefined;
}

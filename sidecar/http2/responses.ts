// The way of answers through a gate of HTTP/2: heads are read, fields are put behind their own, everything else goes on as it came. What the
// application still sends on a stream that the gate has ended is swallowed, and its credit given back.

import type { Block } from './blocks.ts';
import { type ConnectionRule, flags, frameTypes, MIN_MAX_FRAME } from './codes.ts';
import { encodeLines } from './encode.ts';
import { FrameFlow, type FrameHead, type FrameSink, type Verdict, verdicts } from './frames.ts';
import { grpcStatusOf, statusOf } from './head.ts';
import { creditFrame } from './replies.ts';
import { shapeFault } from './shape.ts';
import type { ConnectionState } from './state.ts';
import type { Stream } from './streams.ts';

/** What the way of answers leads to. */
export interface ResponseSink {
  forward(octets: Buffer, lent: boolean): void;
  /** Frames of the gate's own for the application. */
  tell(frames: Buffer): void;
  /** The answer of a stream is complete. */
  answered(stream: Stream): void;
  /** A stream is over before its answer was. */
  aborted(stream: Stream): void;
  broken(rule: ConnectionRule): void;
}

const nothing: Buffer = Buffer.alloc(0);
/** With these codes the application says that it was the client's frames that it did not like (CVE-2025-8671). */
const clientsFault: ReadonlySet<number> = new Set([0x1, 0x3, 0x5, 0x6]);

/** Reads what the application sends. */
export class Responses implements FrameSink {
  readonly flow: FrameFlow = new FrameFlow(this);
  replacement: Buffer = nothing;
  readonly #state: ConnectionState;
  readonly #sink: ResponseSink;
  readonly #allAdded: Buffer;
  #begun = false;
  #credit = 0;
  #ending = false;

  constructor(state: ConnectionState, sink: ResponseSink) {
    this.#state = state;
    this.#sink = sink;
    this.#allAdded = encodeLines(state.answerLines);
  }

  /** The application's SETTINGS have come: before them a client takes nothing (section 3.4). */
  get begun(): boolean {
    return this.#begun;
  }

  take(bytes: Uint8Array, lent: boolean): void {
    this.flow.take(bytes, lent);
    if (this.#credit > 0) this.#sink.tell(creditFrame(this.#credit));
    this.#credit = 0;
  }

  /** Lets the frame that is under way end and reads no other. */
  finishFrame(): void {
    this.#ending = true;
  }

  begin(head: FrameHead): Verdict {
    if (this.#ending) return verdicts.stop;
    const fault = this.#fault(head) ?? shapeFault(head);
    if (fault !== undefined) return this.#break(fault);
    switch (head.type) {
      case frameTypes.data:
        return this.#data(head);
      case frameTypes.headers:
      case frameTypes.continuation:
      case frameTypes.settings:
      case frameTypes.rstStream:
        return verdicts.whole;
      case frameTypes.goaway:
        // Nobody needs more words than that to say why.
        return head.length > MIN_MAX_FRAME ? this.#break('frame_too_large') : verdicts.whole;
      default:
        return this.#state.streams.isCut(head.stream) ? verdicts.drop : verdicts.pass;
    }
  }

  /** What a frame breaks by coming now. */
  #fault(head: FrameHead): ConnectionRule | undefined {
    if (!this.#begun && head.type !== frameTypes.settings) return 'bad_preface';
    if (head.length > this.#state.client.maxFrame) return 'frame_too_large';
    if (this.#state.answers.interrupts(head)) return 'interrupted_block';
    return head.type === frameTypes.pushPromise ? 'unasked_push' : undefined;
  }

  frame(head: FrameHead, octets: Buffer, start: number, end: number): Verdict {
    if (head.type === frameTypes.settings) return this.#settings(head, octets, start, end);
    if (head.type === frameTypes.rstStream) return this.#reset(head.stream, octets.readUInt32BE(start));
    if (head.type === frameTypes.goaway) return this.#replace(this.#state.farewell.said(octets.subarray(start, end)));
    const block = this.#state.answers.take(head, octets, start, end);
    if (block === undefined) return verdicts.drop;
    return typeof block === 'string' ? this.#break(block) : this.#block(block);
  }

  forward(octets: Buffer, lent: boolean): void {
    this.#sink.forward(octets, lent);
  }

  #data({ stream: id, flags: set, length }: FrameHead): Verdict {
    const { streams, floods } = this.#state;
    if (streams.isCut(id)) {
      this.#credit += length;
      return verdicts.drop;
    }
    if (length > 0) floods.answered();
    const stream = streams.get(id);
    if (stream === undefined) return verdicts.pass;
    stream.bytesOut += length;
    if ((set & flags.endStream) !== 0) this.#ended(stream);
    return verdicts.pass;
  }

  #reset(id: number, code: number): Verdict {
    const { streams, floods } = this.#state;
    const stream = streams.get(id);
    if (clientsFault.has(code)) {
      const flood = floods.spend('reset_flood');
      if (flood !== undefined) return this.#break(flood);
    }
    if (stream !== undefined) {
      streams.close(stream);
      if (!stream.applicationEnded) this.#sink.aborted(stream);
    }
    return streams.isCut(id) ? verdicts.drop : verdicts.pass;
  }

  #settings({ flags: set }: FrameHead, octets: Buffer, start: number, end: number): Verdict {
    const { application, client } = this.#state;
    if ((set & flags.ack) !== 0) {
      client.acknowledged();
      this.#state.settle();
      return verdicts.pass;
    }
    if ((end - start) % 6 !== 0) return this.#break('bad_frame_length');
    this.#begun = true;
    const outcome = application.take(octets, start, end);
    if (typeof outcome === 'string') return this.#break(outcome);
    this.#state.settle();
    return this.#replace(outcome);
  }

  #block(block: Block): Verdict {
    const { streams, answers } = this.#state;
    if (streams.isCut(block.stream)) {
      answers.dropped();
      return verdicts.drop;
    }
    if (answers.decoder.overflow !== undefined) return this.#break('block_too_large');
    const stream = streams.get(block.stream);
    const isHead = stream !== undefined && !stream.answered;
    if (isHead) {
      stream.status = statusOf(answers.decoder.fields);
      if (stream.status === 0) return this.#break('bad_status');
    }
    const more = isHead && stream.answered ? this.#more() : undefined;
    if (stream !== undefined) {
      stream.bytesOut += block.octets.length;
      if (block.endStream) {
        stream.grpcStatus = stream.grpc ? grpcStatusOf(answers.decoder.fields) : undefined;
        this.#ended(stream);
      }
    }
    return this.#replace(answers.onward(block, more === undefined ? {} : { more }));
  }

  /** What the head does not have yet. */
  #more(): Buffer | undefined {
    const { fields } = this.#state.answers.decoder;
    const missing = this.#state.answerLines.filter(({ name }) => !fields.some((field) => field.name === name));
    if (missing.length === 0) return undefined;
    return missing.length === this.#state.answerLines.length ? this.#allAdded : encodeLines(missing);
  }

  #ended(stream: Stream): void {
    if (stream.applicationEnded) return;
    stream.applicationEnded = true;
    this.#state.floods.completed();
    if (stream.clientEnded) this.#state.streams.close(stream);
    this.#sink.answered(stream);
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

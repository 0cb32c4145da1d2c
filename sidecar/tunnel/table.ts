// The streams of one tunnel by their numbers: which there are, which have no answer yet, and what frames of streams mean for them.
import type { Reason } from '../../lib/api/reasons.ts';
import { ByKey } from '../bykey.ts';
import { ELSEWHERE, type Rule, reasonOf } from './codes.ts';
import { frameTypes, MAX_STREAM, readUint32 } from './frame.ts';
import { MOST_PEER_BYTES, type PeerHeld } from './held.ts';
import type { Outbox } from './outbox.ts';
import { sessionPort } from './port.ts';
import { type StreamPort, TunnelStream } from './stream.ts';
import { Turns } from './turns.ts';

/** How an OPEN was answered. `elsewhere`: another tunnel may be tried. `late`: the peer is silent, or its application is. */
export type Answer =
  | { readonly kind: 'accepted' }
  | { readonly kind: 'refused'; readonly reason: Reason }
  | { readonly kind: 'elsewhere' }
  | { readonly kind: 'late' };

/** Settings of a table. */
export interface StreamTableOptions {
  readonly outbox: Outbox;
  /** Number of the first stream. */
  readonly first: number;
  /** What waits in all tunnels of the peer. */
  readonly peer: PeerHeld;
  /** The last stream has gone. */
  readonly onEmpty: () => void;
}

/** Longest wait for the end of a stream whose relay is done. */
const LINGER_STREAM_MS = 60_000;

/** Streams. */
export class StreamTable {
  readonly #streams = new ByKey<number, TunnelStream>();
  /** How many have no answer. */
  #asking = 0;
  readonly #turns = new Turns();
  readonly #port: StreamPort;
  readonly #outbox: Outbox;
  readonly #onEmpty: () => void;
  readonly #peer: PeerHeld;
  #next: number;
  #held = 0;

  constructor({ outbox, first, peer, onEmpty }: StreamTableOptions) {
    this.#peer = peer;
    this.#next = first;
    this.#outbox = outbox;
    this.#onEmpty = onEmpty;
    this.#port = sessionPort({
      outbox,
      hold: (bytes) => {
        this.#held += bytes;
        peer.bytes += bytes;
      },
      queue: (stream) => {
        this.#turns.add(stream);
        outbox.arm();
      },
      forget: (stream) => this.#forget(stream),
    });
  }

  /** How many there are. */
  get size(): number {
    return this.#streams.size;
  }

  /** Bytes that wait in all of them. */
  get held(): number {
    return this.#held;
  }

  /** The number that comes next. */
  get next(): number {
    return this.#next;
  }

  /** All numbers are used up. */
  get isSpent(): boolean {
    return this.#next > MAX_STREAM;
  }

  /** Whether there is an OPEN without an answer. */
  get isAsking(): boolean {
    return this.#asking > 0;
  }

  /** The next stream of our own. */
  ask(nowMs: number, answer: (answer: Answer) => void): TunnelStream {
    const stream = this.#add(this.#next);
    stream.unanswered = { sinceMs: nowMs, answer };
    this.#asking += 1;
    return stream;
  }

  /** A stream of the peer's; undefined when its number does not rise. */
  take(id: number): TunnelStream | undefined {
    return id < this.#next || id > MAX_STREAM ? undefined : this.#add(id);
  }

  /** DATA came. Answers the rule that it breaks. */
  data(id: number, bytes: Uint8Array, lent: boolean): Rule | undefined {
    const stream = this.#streams.get(id);
    if (stream === undefined) return this.#unknown(id);
    const broken = stream.receive(bytes, lent);
    if (this.#peer.bytes > MOST_PEER_BYTES && stream.isBehind) stream.shed();
    return broken;
  }

  /** Another frame of a stream came. */
  frame(type: number, id: number, payload: Uint8Array): Rule | undefined {
    const stream = this.#streams.get(id);
    if (stream === undefined) return this.#unknown(id);
    switch (type) {
      case frameTypes.accept:
        return this.#answered(stream, { kind: 'accepted' });
      case frameTypes.refuse:
        return this.#answered(stream, refusal(payload[0] ?? 0));
      case frameTypes.end:
        return stream.receiveEnd();
      case frameTypes.window:
        return payload.length < 4 ? 'bad_length' : stream.receiveWindow(readUint32(payload, 0));
      default:
        stream.lose(reasonOf(payload[0] ?? 0));
        return undefined;
    }
  }

  /** There is room to send in. */
  run(hasRoom: () => boolean): void {
    this.#turns.run(hasRoom);
  }

  /** A turn of the event loop was over, and there was still room. */
  goOn(): void {
    if (this.#turns.goOn()) this.#outbox.arm();
  }

  /** Waits no longer for answers to what was asked up to then: takes this one for them. */
  giveUp(askedMs: number, instead: Answer): void {
    if (this.#asking === 0) return;
    for (const stream of this.#streams.values()) {
      if (stream.unanswered === undefined || stream.unanswered.sinceMs > askedMs) continue;
      const answer = this.#take(stream);
      stream.reset();
      answer?.(instead);
    }
  }

  /** Ends what lingers for too long. */
  sweep(nowMs: number): void {
    for (const stream of this.#streams.values()) {
      if (stream.phase !== 'lingering') continue;
      if (stream.lingersSinceMs === 0) stream.lingersSinceMs = nowMs;
      else if (nowMs - stream.lingersSinceMs >= LINGER_STREAM_MS) stream.reset();
    }
  }

  /** The tunnel has ended in order. Answers how many streams it took with it. */
  severAll(): number {
    let lost = 0;
    for (const stream of this.#streams.values()) {
      const isLive = stream.phase !== 'lingering';
      if (!stream.sever() && isLive) lost += 1;
    }
    return lost;
  }

  /** The tunnel is over. Answers how many streams there were. */
  loseAll(reason: Reason): number {
    const lost = this.size;
    for (const stream of this.#streams.values()) stream.lose(reason);
    return lost;
  }

  #add(id: number): TunnelStream {
    const stream = new TunnelStream(this.#port, id);
    this.#streams.set(id, stream);
    this.#next = id + 1;
    return stream;
  }

  #answered(stream: TunnelStream, answer: Answer): Rule | undefined {
    const tell = this.#take(stream);
    if (tell === undefined) return 'bad_answer';
    if (answer.kind === 'accepted') stream.accepted();
    else stream.lose('reset');
    tell(answer);
    return undefined;
  }

  /** Who waits for the answer to this one, who waits for it no longer. */
  #take(stream: TunnelStream): ((answer: Answer) => void) | undefined {
    const { unanswered } = stream;
    if (unanswered === undefined) return undefined;
    stream.unanswered = undefined;
    this.#asking -= 1;
    return unanswered.answer;
  }

  /** Frames of a stream that has ended may still be under way; of one that never was there are none. */
  #unknown(id: number): Rule | undefined {
    return id === 0 ? 'wrong_scope' : id >= this.#next ? 'unknown_stream' : undefined;
  }

  #forget(stream: TunnelStream): void {
    if (!this.#streams.delete(stream.id)) return;
    this.#take(stream)?.({ kind: 'elsewhere' });
    if (this.#streams.size === 0) this.#onEmpty();
  }
}

function refusal(code: number): Answer {
  return code === ELSEWHERE ? { kind: 'elsewhere' } : { kind: 'refused', reason: reasonOf(code) };
}

// One stream of a tunnel, as a half of a relay: states, credit in both directions, and what waits. It knows frames by what they mean;
// bytes of frames are the session's business. Never more than a window waits here for a reader that does not read.
import type { Reason } from '../../lib/api/reasons.ts';
import { type Half, type HalfEvents, LINGER_MS } from '../relay/half.ts';
import { later } from '../relay/later.ts';
import type { Rule } from './codes.ts';
import { BLOCK_BYTES, DATA_BYTES, MAX_CREDIT, WINDOW_BYTES } from './frame.ts';
import type { Answer } from './table.ts';

/** From this size on a block leaves by itself and uncopied; smaller ones cost less when they leave together. */
const LARGE_BYTES = 32_768;

/** What a stream needs of its session. */
export interface StreamPort {
  /** Longest payload of DATA that may be sent now; 0 when none may. */
  readonly room: number;
  sendData(stream: number, bytes: Uint8Array): void;
  /** Sends it uncopied as one frame; false when that is not possible now. */
  sendBlock(stream: number, bytes: Uint8Array): boolean;
  sendEnd(stream: number): void;
  sendReset(stream: number, reason: Reason): void;
  sendWindow(stream: number, bytes: number): void;
  /** Asks for a call of `turn` when there is room: soon, where bytes wait, and in its turn where a source is to go on. */
  queue(stream: TunnelStream): void;
  /** Bytes that wait in the stream, more or (negative) fewer. */
  hold(bytes: number): void;
  /** Over: frames for it are ignored from now on. */
  forget(stream: TunnelStream): void;
}

/** `opening` until the accepting side has answered; `lingering` when its relay is done and the peer has not ended yet. */
export type StreamPhase = 'opening' | 'open' | 'lingering' | 'closed';

/** One stream. */
export class TunnelStream implements Half {
  readonly id: number;
  /** Waits for a turn; kept by the session. */
  isQueued = false;
  /** Since when an answer to its OPEN is waited for, and by whom; kept by the session. */
  unanswered: { readonly sinceMs: number; readonly answer: (answer: Answer) => void } | undefined;
  /** When it began to linger; kept by the session. */
  lingersSinceMs = 0;
  readonly #port: StreamPort;
  #phase: StreamPhase = 'opening';
  #events: HalfEvents | undefined;
  /** Bytes that may be sent, and that may come. */
  #credit = WINDOW_BYTES;
  #room = WINDOW_BYTES;
  /** Delivered and not granted again yet. */
  #used = 0;
  /** Made when something has to wait: most streams need neither this nor the next. */
  #out: Uint8Array[] | undefined;
  #outBytes = 0;
  /** Came while nobody read. */
  #in: Uint8Array[] | undefined;
  #held = true;
  #blocked = false;
  /** Credit without which a blocked source need not go on: what it would send next. */
  #wanted = 0;
  #ending = false;
  #sentEnd = false;
  #gotEnd = false;
  #toldEnd = false;
  #destroying = false;
  /** The tunnel is over, and this stream has got all that was for it. */
  #severed = false;
  #aborting: Reason | undefined;
  /** Bounds the flush before the end. */
  #last: NodeJS.Timeout | undefined;
  /** Why it is gone, for whoever starts it after that. */
  #lost: { readonly reason: Reason | undefined } | undefined;

  constructor(port: StreamPort, id: number) {
    this.#port = port;
    this.id = id;
  }

  get phase(): StreamPhase {
    return this.#phase;
  }

  get queued(): number {
    return this.#outBytes;
  }

  /** The accepting side has accepted. */
  accepted(): void {
    this.#phase = 'open';
  }

  start(events: HalfEvents): void {
    this.#events = events;
    if (this.#lost !== undefined) {
      const { reason } = this.#lost;
      later(() => events.closed(reason));
      return;
    }
    if (this.#holdsIn() || this.#gotEnd) later(() => this.resume());
    else this.#held = false;
  }

  write(bytes: Uint8Array, lent: boolean): boolean {
    if (this.#phase !== 'open' || this.#ending || bytes.length === 0) return true;
    if (this.#severed) {
      this.#close('reset', 'later');
      return true;
    }
    this.#wanted = bytes.length < LARGE_BYTES ? 0 : Math.min(bytes.length, BLOCK_BYTES);
    const at = this.#outBytes === 0 ? this.#send(bytes, this.#credit) : 0;
    // What would come next could only be copied here, and once more when it leaves.
    if (at === bytes.length) return bytes.length < DATA_BYTES || this.#port.room > 0 || this.#block();
    const rest = lent ? new Uint8Array(bytes.subarray(at)) : bytes.subarray(at);
    this.#out ??= [];
    this.#out.push(rest);
    this.#outBytes += rest.length;
    this.#port.hold(rest.length);
    if (this.#credit > 0) return this.#block();
    this.#blocked = true;
    return false;
  }

  end(): void {
    if (this.#phase !== 'open' || this.#ending) return;
    this.#ending = true;
    if (this.#outBytes === 0) this.#sendEnd();
  }

  pause(): void {
    this.#held = true;
  }

  resume(): void {
    if (this.#destroying || this.#aborting !== undefined) return;
    if (!this.#held || this.#events === undefined || this.#phase !== 'open') return;
    this.#held = false;
    while (this.#in !== undefined && !this.#held) {
      const bytes = this.#in.shift();
      if (bytes === undefined) break;
      this.#port.hold(-bytes.length);
      this.#deliver(bytes, false);
    }
    if (this.#held || this.#phase !== 'open') return;
    this.#grant();
    this.#tellEnd();
  }

  reset(reason: Reason = 'reset'): void {
    if (this.#phase === 'closed') return;
    this.#port.sendReset(this.id, reason);
    if (this.#phase === 'lingering') this.#over();
    else this.#close('reset', 'later');
  }

  abort(reason: Reason = 'reset'): void {
    if (this.#phase !== 'open' || this.#outBytes === 0) return this.reset(reason);
    this.#held = true;
    this.#aborting ??= reason;
    this.#last ??= setTimeout(() => this.reset(reason), LINGER_MS);
    return undefined;
  }

  destroy(): void {
    if (this.#phase === 'opening') return this.reset();
    if (this.#phase !== 'open' || this.#destroying) return undefined;
    this.#held = true;
    this.#destroying = true;
    this.end();
    if (this.#sentEnd) this.#linger();
    else this.#last ??= setTimeout(() => this.reset(), LINGER_MS);
    return undefined;
  }

  /** Sends at most one frame of what waits. True: wants another turn. */
  turn(): boolean {
    const first = this.#out?.[0];
    if (this.#phase !== 'open') return false;
    if (this.#out === undefined || first === undefined) return this.#goOn();
    if (this.#credit === 0) return false;
    const sent = this.#send(first, Math.min(this.#credit, DATA_BYTES));
    if (sent === first.length) this.#out.shift();
    else this.#out[0] = first.subarray(sent);
    this.#outBytes -= sent;
    this.#port.hold(-sent);
    if (this.#outBytes > 0) return this.#credit > 0;
    this.#flushed();
    return false;
  }

  /** Its reader has not taken what came. */
  get isBehind(): boolean {
    return this.#holdsIn();
  }

  /** Gives it up for want of memory. */
  shed(): void {
    if (this.#phase !== 'open') return;
    this.#port.sendReset(this.id, 'overload');
    this.#close('overload', 'later');
  }

  /** DATA came. Answers the rule that it breaks. */
  receive(bytes: Uint8Array, lent: boolean): Rule | undefined {
    if (this.#phase === 'opening') return 'before_answer';
    if (this.#gotEnd) return 'after_end';
    this.#room -= bytes.length;
    if (this.#room < 0) return 'window_exceeded';
    if (this.#phase === 'lingering' || this.#destroying) {
      // Nobody reads any more: the peer has to know, as it would of a closed socket.
      this.reset();
    } else if (this.#held || this.#holdsIn()) {
      this.#in ??= [];
      this.#in.push(lent ? new Uint8Array(bytes) : bytes);
      this.#port.hold(bytes.length);
    } else this.#deliver(bytes, lent);
    return undefined;
  }

  /** END came. */
  receiveEnd(): Rule | undefined {
    if (this.#phase === 'opening') return 'before_answer';
    if (this.#gotEnd) return 'after_end';
    this.#gotEnd = true;
    if (this.#phase === 'lingering') this.#over();
    else if (!this.#held && !this.#holdsIn()) this.#tellEnd();
    return undefined;
  }

  /** WINDOW came. */
  receiveWindow(bytes: number): Rule | undefined {
    if (bytes === 0 || this.#credit + bytes > MAX_CREDIT) return 'bad_window';
    this.#credit += bytes;
    if (this.#outBytes > 0 || this.#blocked) this.#port.queue(this);
    return undefined;
  }

  /**
   * The tunnel has ended in order. A stream that has got everything and owes nothing is still read to its end, as a TCP connection is whose
   * peer has closed it; any other is lost. True: it lives on.
   */
  sever(): boolean {
    const isWhole = this.#gotEnd && this.#outBytes === 0 && this.#phase === 'open';
    this.#severed = isWhole && !this.#destroying;
    if (!this.#severed) this.lose('reset');
    return this.#severed;
  }

  /** RESET came, or the tunnel is gone. */
  lose(reason: Reason): void {
    if (this.#phase === 'lingering') this.#over();
    else if (this.#phase !== 'closed') this.#close(reason, 'now');
  }

  #holdsIn(): boolean {
    return this.#in !== undefined && this.#in.length > 0;
  }

  #send(bytes: Uint8Array, most: number): number {
    let at = 0;
    const limit = Math.min(bytes.length, most);
    if (limit === bytes.length && limit >= LARGE_BYTES && this.#port.sendBlock(this.id, bytes)) at = limit;
    while (at < limit) {
      const { room } = this.#port;
      if (room === 0) break;
      const end = Math.min(limit, at + room);
      this.#port.sendData(this.id, at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
      at = end;
    }
    this.#credit -= at;
    return at;
  }

  #flushed(): void {
    if (this.#aborting !== undefined) return this.reset(this.#aborting);
    if (this.#ending) this.#sendEnd();
    if (this.#destroying) this.#linger();
    else if (this.#blocked) this.#port.queue(this);
    return undefined;
  }

  /** Has the source wait for a turn of this stream. */
  #block(): false {
    this.#blocked = true;
    this.#port.queue(this);
    return false;
  }

  /** Lets the source go on, once what it sends next could leave. */
  #goOn(): false {
    if (this.#blocked && this.#credit >= this.#wanted) {
      this.#blocked = false;
      this.#events?.drained();
    }
    return false;
  }

  #sendEnd(): void {
    this.#sentEnd = true;
    this.#port.sendEnd(this.id);
    if (this.#toldEnd) this.#close(undefined, 'later');
  }

  #deliver(bytes: Uint8Array, lent: boolean): void {
    this.#used += bytes.length;
    this.#events?.data(bytes, lent);
    if (!this.#held && this.#phase === 'open') this.#grant();
  }

  /** Half a window at a time: few frames, and the sender never has to stop for want of news. */
  #grant(): void {
    if (this.#used < WINDOW_BYTES / 2 || this.#gotEnd) return;
    this.#port.sendWindow(this.id, this.#used);
    this.#room += this.#used;
    this.#used = 0;
  }

  #tellEnd(): void {
    if (!this.#gotEnd || this.#toldEnd) return;
    this.#toldEnd = true;
    this.#events?.ended();
    if (this.#sentEnd && this.#phase === 'open') this.#close(undefined, 'later');
  }

  /** Our relay is done. What the peer does with its direction is nobody's business any more, but its number is in use until then. */
  #linger(): void {
    if (this.#phase !== 'open') return undefined;
    if (this.#gotEnd) return this.#close(undefined, 'later');
    this.#drop();
    // Nobody will read what came: a writer that waits for credit would not send what tells it so.
    if (this.#room < BLOCK_BYTES) {
      this.#port.sendWindow(this.id, WINDOW_BYTES - this.#room);
      this.#room = WINDOW_BYTES;
    }
    this.#phase = 'lingering';
    const events = this.#events;
    later(() => events?.closed());
    return undefined;
  }

  #close(reason: Reason | undefined, when: 'now' | 'later'): void {
    this.#drop();
    this.#over();
    this.#lost = { reason };
    const events = this.#events;
    if (when === 'now') events?.closed(reason);
    else later(() => events?.closed(reason));
  }

  #over(): void {
    this.#phase = 'closed';
    this.#port.forget(this);
  }

  #drop(): void {
    clearTimeout(this.#last);
    let held = this.#outBytes;
    for (const bytes of this.#in ?? []) held += bytes.length;
    if (held > 0) this.#port.hold(-held);
    this.#in = undefined;
    this.#out = undefined;
    this.#outBytes = 0;
  }
}

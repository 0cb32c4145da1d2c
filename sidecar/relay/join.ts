// A relay over any two halves. Half-close passes through both ways, a slow reader holds back the fast writer, and what ends out of
// order on one half resets the other, so that an application never takes a broken transfer for a whole one.
import type { Reason } from '../../lib/api/reasons.ts';
import type { Half, HalfEvents } from './half.ts';
import type { Ending, Leaving, Relay, RelayEnd, StartRelay, Traffic } from './relay.ts';

/** Starts a relay between two halves of which neither has been started. */
export const join: StartRelay = (near, far, over) => new JoinedHalves(near, far, over);

class JoinedHalves implements Relay {
  readonly #in: Way;
  readonly #out: Way;
  readonly #over: ((end: RelayEnd) => void) | undefined;
  #finished: PromiseWithResolvers<RelayEnd> | undefined;
  #end: RelayEnd | undefined;
  #last: Traffic['last'];
  #run = 0;
  #ending: Ending | undefined;
  /** Why the far side has been told the end. */
  #leaving: Leaving | undefined;
  #reason: Reason | undefined;
  #open = 2;

  constructor(near: Half, far: Half, over: ((end: RelayEnd) => void) | undefined) {
    this.#over = over;
    this.#in = new Way(near, far, this, 'in');
    this.#out = new Way(far, near, this, 'out');
    near.start(this.#in);
    far.start(this.#out);
  }

  /** Made for who asks: a connection that is carried needs none. */
  get finished(): Promise<RelayEnd> {
    this.#finished ??= Promise.withResolvers<RelayEnd>();
    if (this.#end !== undefined) this.#finished.resolve(this.#end);
    return this.#finished.promise;
  }

  traffic(): Traffic {
    const [into, out] = [this.#in, this.#out];
    const isUnderWay = into.isHeld || out.isHeld || (into.hasEnded && !out.hasEnded);
    const waits = into.source.queued + out.source.queued > 0;
    const isAnswered = out.hasEnded;
    const [last, run] = [this.#last, this.#run];
    return { bytesIn: into.bytes, bytesOut: out.bytes, last, run, isUnderWay: isUnderWay || waits, isAnswered };
  }

  close(ending: Leaving): void {
    if (this.#ending !== undefined) return;
    if (this.#leaving === undefined && !this.#in.hasEnded && !this.#out.hasEnded) {
      this.#leaving = ending;
      // What comes now would arrive nowhere.
      this.#in.source.pause();
      this.#out.source.end();
      return;
    }
    this.#ending = this.#leaving ?? ending;
    this.#in.source.destroy();
    this.#out.source.destroy();
  }

  cut(reason: Reason): void {
    if (!this.#fail(reason)) return;
    this.#in.source.reset(reason);
    this.#out.source.reset(reason);
  }

  /** Called by a way for what it has carried. */
  moved(way: 'in' | 'out', bytes: number): void {
    if (this.#last !== way) this.#run = 0;
    this.#last = way;
    this.#run += bytes;
  }

  /** Called by a way whose source has ended its direction. */
  ended(way: 'in' | 'out'): void {
    // It has said all, as it was asked to. Whether the near side wants to end, too, is seen only if it is read.
    if (way === 'out' && this.#leaving !== undefined) this.#in.source.resume();
  }

  /** Called by a way whose source has room again: the other way goes on. */
  goOn(way: 'in' | 'out'): void {
    (way === 'in' ? this.#out : this.#in).goOn();
  }

  /** Called by a way when its source is gone. */
  lost(sink: Half, reason: Reason | undefined): void {
    this.#open -= 1;
    if (reason !== undefined && this.#fail(reason)) sink.abort(reason);
    if (this.#open > 0) return;
    const [bytesIn, bytesOut, ending] = [
      this.#in.bytes,
      this.#out.bytes,
      this.#ending ?? this.#leaving ?? 'closed',
    ] as const;
    const end =
      this.#reason === undefined ? { bytesIn, bytesOut, ending } : { bytesIn, bytesOut, ending, reason: this.#reason };
    this.#end = end;
    this.#finished?.resolve(end);
    this.#over?.(end);
  }

  #fail(reason: Reason): boolean {
    if (this.#ending !== undefined) return false;
    this.#ending = 'failed';
    this.#reason = reason;
    return true;
  }
}

/** One direction: what its source tells. */
class Way implements HalfEvents {
  readonly source: Half;
  bytes = 0;
  /** The sink takes no more at the moment. */
  isHeld = false;
  hasEnded = false;
  readonly #sink: Half;
  readonly #relay: JoinedHalves;
  readonly #name: 'in' | 'out';

  constructor(source: Half, sink: Half, relay: JoinedHalves, name: 'in' | 'out') {
    this.source = source;
    this.#sink = sink;
    this.#relay = relay;
    this.#name = name;
  }

  data(bytes: Uint8Array, lent: boolean): void {
    this.bytes += bytes.length;
    this.#relay.moved(this.#name, bytes.length);
    if (this.#sink.write(bytes, lent)) return;
    this.isHeld = true;
    this.source.pause();
  }

  ended(): void {
    this.hasEnded = true;
    // What waits is the sink's now: who has been told the end need not tell of room any more.
    this.isHeld = false;
    this.#sink.end();
    this.#relay.ended(this.#name);
  }

  /** The source takes bytes, too: there is room for those of the other way. */
  drained(): void {
    this.#relay.goOn(this.#name);
  }

  goOn(): void {
    this.isHeld = false;
    this.source.resume();
  }

  closed(reason?: Reason): void {
    this.#relay.lost(this.#sink, reason);
  }
}

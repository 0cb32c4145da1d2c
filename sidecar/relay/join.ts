// A relay over any two halves. Half-close passes through both ways, a slow reader holds back the fast writer, and what ends out of
// order on one half resets the other, so that an application never takes a broken transfer for a whole one.
import type { Reason } from '../../lib/api/reasons.ts';
import type { Half, HalfEvents } from './half.ts';
import type { Ending, Relay, RelayEnd, StartRelay, Traffic } from './relay.ts';

/** Starts a relay between two halves of which neither has been started. */
export const join: StartRelay = (near, far) => new JoinedHalves(near, far);

class JoinedHalves implements Relay {
  readonly finished: Promise<RelayEnd>;
  readonly #in: Way;
  readonly #out: Way;
  readonly #resolve: (end: RelayEnd) => void;
  #last: Traffic['last'];
  #ending: Ending | undefined;
  #reason: Reason | undefined;
  #open = 2;

  constructor(near: Half, far: Half) {
    const { promise, resolve } = Promise.withResolvers<RelayEnd>();
    this.finished = promise;
    this.#resolve = resolve;
    this.#in = new Way(near, far, this, 'in');
    this.#out = new Way(far, near, this, 'out');
    near.start(this.#in);
    far.start(this.#out);
  }

  traffic(): Traffic {
    return { bytesIn: this.#in.bytes, bytesOut: this.#out.bytes, last: this.#last };
  }

  close(ending: Exclude<Ending, 'closed' | 'failed'>): void {
    if (this.#ending !== undefined) return;
    this.#ending = ending;
    this.#in.source.destroy();
    this.#out.source.destroy();
  }

  cut(reason: Reason): void {
    if (!this.#fail(reason)) return;
    this.#in.source.reset(reason);
    this.#out.source.reset(reason);
  }

  /** Called by a way for what it has carried. */
  moved(way: 'in' | 'out'): void {
    this.#last = way;
  }

  /** Called by a way when its source is gone. */
  lost(sink: Half, reason: Reason | undefined): void {
    this.#open -= 1;
    if (reason !== undefined && this.#fail(reason)) sink.abort(reason);
    if (this.#open > 0) return;
    const why = this.#reason === undefined ? {} : { reason: this.#reason };
    const [bytesIn, bytesOut] = [this.#in.bytes, this.#out.bytes];
    this.#resolve({ bytesIn, bytesOut, ending: this.#ending ?? 'closed', ...why });
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
    this.#relay.moved(this.#name);
    if (!this.#sink.write(bytes, lent)) this.source.pause();
  }

  ended(): void {
    this.#sink.end();
  }

  /** The source takes bytes, too: there is room for those of the other way. */
  drained(): void {
    this.#sink.resume();
  }

  closed(reason?: Reason): void {
    this.#relay.lost(this.#sink, reason);
  }
}

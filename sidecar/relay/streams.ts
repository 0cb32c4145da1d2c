// A relay on the public stream API: data handlers, `write` and `pause`. Half-close passes through both ways, a slow reader
// holds back the fast writer, and what ends out of order on one half resets the other, so that an application never takes
// a broken transfer for a whole one.
import type { Reason } from '../../lib/api/reasons.ts';
import type { Ending, Leg, Relay, RelayEnd, StartRelay, Traffic } from './relay.ts';

/** How long bytes already accepted may take to leave before a half is reset or destroyed after all. */
const LINGER_MS = 1_000;

/** Starts a relay between two halves of which neither has been read by anybody else. */
export const relayStreams: StartRelay = (near, far) => new StreamRelay(near, far);

class StreamRelay implements Relay {
  readonly finished: Promise<RelayEnd>;
  readonly #near: Leg;
  readonly #far: Leg;
  readonly #resolve: (end: RelayEnd) => void;
  #bytesIn = 0;
  #bytesOut = 0;
  #last: Traffic['last'];
  #ending: Ending | undefined;
  #reason: Reason | undefined;
  #open = 2;

  constructor(near: Leg, far: Leg) {
    this.#near = near;
    this.#far = far;
    const { promise, resolve } = Promise.withResolvers<RelayEnd>();
    this.finished = promise;
    this.#resolve = resolve;
    this.#watch(near, far);
    this.#watch(far, near);
    if (this.#ending !== undefined) return;
    pump(near, far, (count) => {
      this.#bytesIn += count;
      this.#last = 'in';
    });
    pump(far, near, (count) => {
      this.#bytesOut += count;
      this.#last = 'out';
    });
  }

  traffic(): Traffic {
    return { bytesIn: this.#bytesIn, bytesOut: this.#bytesOut, last: this.#last };
  }

  close(ending: Exclude<Ending, 'closed' | 'failed'>): void {
    if (this.#ending !== undefined) return;
    this.#ending = ending;
    for (const { stream } of [this.#near, this.#far]) {
      stream.pause();
      stream.end(() => stream.destroy());
      bound(() => stream.destroy());
    }
  }

  cut(reason: Reason): void {
    if (!this.#fail(reason)) return;
    this.#near.reset();
    this.#far.reset();
  }

  #fail(reason: Reason): boolean {
    if (this.#ending !== undefined) return false;
    this.#ending = 'failed';
    this.#reason = reason;
    return true;
  }

  #watch(leg: Leg, other: Leg): void {
    const { stream } = leg;
    stream.on('error', (error: Error) => {
      if (this.#fail(leg.explain?.(error) ?? 'reset')) flushThenReset(other);
    });
    stream.on('close', () => {
      this.#open -= 1;
      // Closed without having ended both ways: somebody destroyed it, or the peer went away without a word.
      if (!(stream.readableEnded && stream.writableFinished) && this.#fail('reset')) flushThenReset(other);
      if (this.#open === 0) this.#finish();
    });
    // A half that was lost before the relay began tells nobody any more.
    if (stream.destroyed) {
      this.#open -= 1;
      this.#fail('reset');
      other.reset();
      if (this.#open === 0) this.#finish();
    }
  }

  #finish(): void {
    const reason = this.#reason === undefined ? {} : { reason: this.#reason };
    this.#resolve({ bytesIn: this.#bytesIn, bytesOut: this.#bytesOut, ending: this.#ending ?? 'closed', ...reason });
  }
}

function pump(from: Leg, to: Leg, count: (bytes: number) => void): void {
  const source = from.stream;
  const sink = to.stream;
  source.on('data', (chunk: Buffer) => {
    count(chunk.length);
    if (sink.writable && !sink.write(chunk)) source.pause();
  });
  sink.on('drain', () => source.resume());
  source.on('end', () => sink.end());
  // An accepted socket was paused explicitly, which a data handler alone does not undo.
  source.resume();
}

/** The reset must not overtake bytes that the other side sent before it failed. */
function flushThenReset(leg: Leg): void {
  if (leg.stream.destroyed) return;
  leg.stream.pause();
  if (leg.stream.writableLength === 0) return leg.reset();
  const timer = bound(() => leg.reset());
  leg.stream.write('', () => {
    clearTimeout(timer);
    leg.reset();
  });
}

function bound(action: () => void): NodeJS.Timeout {
  return setTimeout(action, LINGER_MS).unref();
}

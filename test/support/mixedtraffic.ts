// Mixed traffic through a sidecar: short connections, one request each, and lasting ones that are used until they are closed. A
// connection of the mesh ends with its certificate (ADR 0007), at a quiet moment: that is counted apart and the connection opened
// again. What counts as failed is a request that was cut or not answered.
import { connect, type Socket } from 'node:net';

/** What came of it. */
export interface TrafficCounts {
  short: number;
  /** Requests on lasting connections. */
  lasting: number;
  /** Lasting connections that were closed at a quiet moment and opened again. */
  reopened: number;
  /** Requests that met the end of a lasting connection on their way, as with any keep-alive connection, and were sent again. */
  crossed: number;
  readonly failed: { readonly at: Date; readonly kind: string; readonly why: string }[];
}

const answerMs = 10_000;

/** One request and its answer; the text of what went wrong, or undefined. `closed` = the peer ended in order before any answer. */
async function ask(socket: Socket): Promise<'answered' | 'closed' | { readonly why: string }> {
  const text = `${Math.random()}\n`;
  return new Promise((resolve) => {
    let seen = '';
    const timer = setTimeout(() => done({ why: `no answer after ${answerMs} ms` }), answerMs);
    const onData = (chunk: Buffer): void => {
      seen += chunk.toString('latin1');
      if (seen === text) done('answered');
      else if (!text.startsWith(seen)) done({ why: 'another answer than was asked for' });
    };
    const onError = (error: Error): void => done({ why: error.message });
    const onEnd = (): void => done(seen === '' ? 'closed' : { why: 'the answer was cut short' });
    const done = (outcome: 'answered' | 'closed' | { readonly why: string }): void => {
      clearTimeout(timer);
      socket.off('data', onData).off('error', onError).off('end', onEnd).off('close', onEnd);
      resolve(outcome);
    };
    socket.on('data', onData).on('error', onError).on('end', onEnd).on('close', onEnd);
    socket.write(text);
  });
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Traffic to a port until `stop`. */
export class MixedTraffic {
  readonly counts: TrafficCounts = { short: 0, lasting: 0, reopened: 0, crossed: 0, failed: [] };
  readonly #port: number;
  readonly #workers: Promise<void>[] = [];
  #stopped = false;

  /** `port` is a sidecar's outbound port. */
  constructor(port: number) {
    this.#port = port;
  }

  start(short: number, lasting: number): this {
    for (let worker = 0; worker < short; worker += 1) this.#workers.push(this.#short());
    for (let worker = 0; worker < lasting; worker += 1) this.#workers.push(this.#lasting());
    return this;
  }

  async stop(): Promise<TrafficCounts> {
    this.#stopped = true;
    await Promise.all(this.#workers);
    return this.counts;
  }

  async #short(): Promise<void> {
    while (!this.#stopped) {
      const socket = this.#open();
      const outcome = await ask(socket);
      socket.destroy();
      if (outcome === 'answered') this.counts.short += 1;
      else this.#failed('short', outcome === 'closed' ? 'closed before the answer' : outcome.why);
      await pause(100);
    }
  }

  async #lasting(): Promise<void> {
    let socket = this.#open();
    while (!this.#stopped) {
      const outcome = await ask(socket);
      if (outcome === 'answered') this.counts.lasting += 1;
      else if (outcome === 'closed') this.counts.crossed += 1;
      else this.#failed('lasting', outcome.why);
      // An application with a moment of rest between its requests: one without any is cut when its certificate ends.
      await pause(900);
      const isOver = outcome !== 'answered' || socket.destroyed || socket.readableEnded;
      if (!isOver) continue;
      if (outcome === 'answered') this.counts.reopened += 1;
      socket.destroy();
      socket = this.#open();
    }
    socket.destroy();
  }

  #open(): Socket {
    const socket = connect({ host: '127.0.0.1', port: this.#port });
    socket.on('error', () => undefined);
    // Without a reader the end of a connection would not be seen between two requests.
    socket.resume();
    return socket;
  }

  #failed(kind: string, why: string): void {
    this.counts.failed.push({ at: new Date(), kind, why });
    if (this.counts.failed.length > 10_000) this.#stopped = true;
  }
}

/**
 * Times at which a process that takes part was not let run, or not answered by its disk, for long: on a machine that is that busy,
 * certificates that live for seconds prove nothing. Everybody who takes part is watched for it, each by what it does all the time.
 */
export class Stalls {
  readonly seen: { readonly who: string; readonly at: Date; readonly ms: number }[] = [];
  readonly #limitMs: number;
  readonly #timer: NodeJS.Timeout;

  constructor(limitMs: number) {
    this.#limitMs = limitMs;
    let last = performance.now();
    this.#timer = setInterval(() => {
      const now = performance.now();
      this.note('the test', now - last);
      last = now;
    }, 50);
  }

  /** Something of `who` that is a matter of milliseconds took this long. */
  note(who: string, ms: number): void {
    if (ms > this.#limitMs) this.seen.push({ who, at: new Date(), ms: Math.round(ms) });
  }

  /** Notes how long `work` takes. */
  async watch<T>(who: string, work: Promise<T>): Promise<T> {
    const begun = performance.now();
    try {
      return await work;
    } finally {
      this.note(who, performance.now() - begun);
    }
  }

  /** Whether there was one in the seconds before a moment. */
  before(at: Date, withinMs: number): boolean {
    return this.seen.some((stall) => Math.abs(at.getTime() - stall.at.getTime()) < withinMs + stall.ms);
  }

  /** Milliseconds between two moments in which somebody stood still; of several at once all count. */
  during(from: number, to: number): number {
    const parts = this.seen.map(({ at, ms }) => Math.min(to, at.getTime()) - Math.max(from, at.getTime() - ms));
    return parts.reduce((sum, part) => sum + Math.max(0, part), 0);
  }

  end(): void {
    clearInterval(this.#timer);
  }
}

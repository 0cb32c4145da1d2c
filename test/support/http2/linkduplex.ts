// A Duplex over one end of a link in memory, so that node:http2 can speak through it without a socket.
import { Duplex } from 'node:stream';
import type { LinkedHalf } from '../linkedhalves.ts';

/** The other side of a link, as a stream. */
export class LinkDuplex extends Duplex {
  readonly #half: LinkedHalf;
  #release: (() => void) | undefined;

  constructor(half: LinkedHalf) {
    super({ allowHalfOpen: true });
    this.#half = half;
    half.start({
      data: (bytes) => {
        if (!this.push(Buffer.from(bytes))) half.pause();
      },
      ended: () => void this.push(null),
      drained: () => {
        this.#release?.();
        this.#release = undefined;
      },
      closed: () => this.destroy(),
    });
  }

  override _read(): void {
    this.#half.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    if (this.#half.write(chunk, false)) done();
    else this.#release = done;
  }

  override _final(done: () => void): void {
    this.#half.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#half.reset();
    done(error);
  }
}

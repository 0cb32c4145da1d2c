// The application's half of a gate in unit tests: notes what it is given, and lends what it says as the fast path does.
import type { Half, HalfEvents } from '../../../sidecar/relay/half.ts';

/** A half that is played by the test. */
export class PlayedHalf implements Half {
  events: HalfEvents | undefined;
  /** Everything that it was given, Latin-1. */
  got = '';
  /** `end`, `reset`, `abort` and `destroy`, as they were called. */
  readonly calls: string[] = [];
  readonly queued = 0;
  /** What `write` answers. */
  room = true;
  /** Called after each write. */
  onWrite: (() => void) | undefined;

  start(events: HalfEvents): void {
    this.events = events;
  }

  write(bytes: Uint8Array): boolean {
    this.got += Buffer.from(bytes).toString('latin1');
    this.onWrite?.();
    return this.room;
  }

  end(): void {
    this.calls.push('end');
  }

  reset(): void {
    this.calls.push('reset');
  }

  abort(): void {
    this.calls.push('abort');
  }

  destroy(): void {
    this.calls.push('destroy');
  }

  pause(): void {}

  resume(): void {}

  /** What it sends, in pieces of a size. */
  says(text: string, size: number = text.length): void {
    for (let at = 0; at < text.length; at += size)
      lend(text.slice(at, at + size), (bytes) => this.events?.data(bytes, true));
  }
}

/** Hands octets over for the time of a call; afterwards they are something else. */
export function lend(text: string, use: (bytes: Buffer) => void): void {
  const bytes = Buffer.from(text, 'latin1');
  use(bytes);
  bytes.fill(0x58);
}

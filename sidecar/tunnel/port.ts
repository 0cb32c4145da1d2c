// What streams see of their session: the means to send frames about themselves, and nothing else.
import type { Reason } from '../../lib/api/reasons.ts';
import { codeOf } from './codes.ts';
import { frameTypes } from './frame.ts';
import type { Outbox } from './outbox.ts';
import type { StreamPort, TunnelStream } from './stream.ts';

/** The session's side of the port. */
export interface PortDeps {
  readonly outbox: Outbox;
  readonly queue: (stream: TunnelStream) => void;
  readonly hold: (bytes: number) => void;
  readonly forget: (stream: TunnelStream) => void;
}

/** The port of all streams of one session. */
export function sessionPort({ outbox, queue, hold, forget }: PortDeps): StreamPort {
  return {
    get room() {
      return outbox.room;
    },
    sendBlock: (stream, bytes) => outbox.block(stream, bytes),
    sendData: (stream, bytes) => outbox.data(frameTypes.data, stream, bytes),
    sendEnd: (stream) => outbox.control(frameTypes.end, stream),
    sendReset: (stream, reason: Reason) => outbox.control(frameTypes.reset, stream, Uint8Array.of(codeOf(reason))),
    sendWindow: (stream, bytes) => outbox.number(frameTypes.window, stream, bytes),
    queue,
    hold,
    forget,
  };
}

// Looks at the first bytes of an accepted connection without taking them: they are put back for whoever reads next. Costs
// one read buffer and a deadline, whatever the peer does.
import type { Socket } from 'node:net';
import { classify } from './hello.ts';

/** How the wait ended: enough bytes, the end or loss of the connection, or silence until the deadline. */
export interface Peeked {
  readonly outcome: 'tls' | 'plaintext' | 'silent' | 'closed';
  /** What arrived, at most one read; empty unless there was something. */
  readonly bytes: Buffer;
}

/** Waits for the first bytes of a paused socket. Never rejects. The socket must have an error handler of its own. */
export function peek(socket: Socket, deadlineMs: number): Promise<Peeked> {
  const { promise, resolve } = Promise.withResolvers<Peeked>();
  let held: Buffer = Buffer.alloc(0);
  const settle = (outcome: Peeked['outcome']): void => {
    clearTimeout(timer);
    socket.off('readable', read);
    socket.off('end', closed);
    socket.off('close', closed);
    if (held.length > 0 && !socket.destroyed) socket.unshift(held);
    resolve({ outcome, bytes: held });
  };
  const read = (): void => {
    const chunk: unknown = socket.read();
    if (Buffer.isBuffer(chunk)) held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const kind = classify(held);
    if (kind !== 'undecided') settle(kind);
  };
  const closed = (): void => settle('closed');
  const timer = setTimeout(() => settle(socket.destroyed ? 'closed' : 'silent'), deadlineMs);
  socket.on('readable', read);
  socket.on('end', closed);
  socket.on('close', closed);
  return promise;
}

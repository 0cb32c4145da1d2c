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
export async function peek(socket: Socket, deadlineMs: number): Promise<Peeked> {
  const { verdict, bytes } = await peekUntil(socket, deadlineMs, (held) => {
    const kind = classify(held);
    return kind === 'undecided' ? undefined : kind;
  });
  return { outcome: verdict, bytes };
}

/**
 * Waits until `decide` makes something of all that has arrived, or for the end, or the deadline. What was read is put back. Never
 * rejects. `decide` must bound what it waits for: nothing more is read once it has a verdict.
 */
export function peekUntil<Verdict>(
  socket: Socket,
  deadlineMs: number,
  decide: (held: Buffer) => Verdict | undefined,
): Promise<{ readonly verdict: Verdict | 'silent' | 'closed'; readonly bytes: Buffer }> {
  const { promise, resolve } = Promise.withResolvers<{ verdict: Verdict | 'silent' | 'closed'; bytes: Buffer }>();
  let held: Buffer = Buffer.alloc(0);
  const settle = (verdict: Verdict | 'silent' | 'closed'): void => {
    clearTimeout(timer);
    socket.off('readable', read);
    socket.off('end', closed);
    socket.off('close', closed);
    if (held.length > 0 && !socket.destroyed) socket.unshift(held);
    resolve({ verdict, bytes: held });
  };
  const read = (): void => {
    const chunk: unknown = socket.read();
    if (Buffer.isBuffer(chunk)) held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const verdict = decide(held);
    if (verdict !== undefined) settle(verdict);
  };
  const closed = (): void => settle('closed');
  const timer = setTimeout(() => settle(socket.destroyed ? 'closed' : 'silent'), deadlineMs);
  socket.on('readable', read);
  socket.on('end', closed);
  socket.on('close', closed);
  return promise;
}

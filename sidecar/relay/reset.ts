// Resetting a socket of Node's at any moment, also while the end of our direction is on its way. libuv then refuses (EINVAL,
// uv_tcp_close_reset(3)), and Node has forgotten the handle by that time: the connection would stand, and its descriptor stay, for ever.
import type { Socket } from 'node:net';
import { LINGER_MS } from './half.ts';

/** Sockets that are reset as soon as their end has left. */
const waiting = new WeakSet<Socket>();

/**
 * Resets a connection: at once, or when the end that is on its way has left, which takes a turn of the event loop where the peer reads, and
 * `LINGER_MS` at most. `above` is the TLS socket that `socket` carries, if there is one. Any time, more than once.
 */
export function resetSocket(socket: Socket, above: Socket = socket): void {
  // A socket under another that is being destroyed takes that along.
  if (socket.destroyed || above.destroyed || waiting.has(socket)) return;
  if (!isEnding(above)) return void socket.resetAndDestroy();
  waiting.add(socket);
  const late = setTimeout(() => above.destroy(), LINGER_MS).unref();
  above.once('close', () => clearTimeout(late));
  above.once('finish', () => {
    if (!socket.destroyed && !above.destroyed) socket.resetAndDestroy();
  });
}

/** All that was written has left, and the end after it has not. */
function isEnding({ writableEnded, writableFinished, writableLength }: Socket): boolean {
  return writableEnded && !writableFinished && writableLength === 0;
}

// One application's part of a conversation over a connection: how much it sends and when, when it ends its direction, when it reads. Both
// parts tell how much went and came, and its hash, so that a lost, doubled or moved byte is seen.
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';

/** What an application does with a connection. */
export interface Talk {
  /** How many bytes it sends. */
  readonly sends: number;
  /** When it begins to send: at once, or once the other side has ended its direction. */
  readonly begins: 'at once' | 'when the other has ended';
  /** When it ends its direction: after what it sent, or once the other side has ended, too. */
  readonly ends: 'when sent' | 'when the other has ended';
  /** It reads nothing before it is told to. */
  readonly holds?: boolean;
}

/** What became of it. */
export interface Talked {
  readonly sent: number;
  readonly sentHash: string;
  readonly received: number;
  readonly receivedHash: string;
  /** The other side has ended its direction. */
  readonly heardEnd: boolean;
  /** What the system said when the connection broke. */
  readonly error?: string;
}

/** A conversation that goes on. */
export interface Talking {
  readonly done: Promise<Talked>;
  /** Everything that it sends has left for the kernel. */
  isSent(): boolean;
  readOn(): void;
}

const BLOCK = 65_536;

/** Bytes of which no two blocks are alike. */
function block(number: number, length: number): Buffer {
  return Buffer.alloc(length, `${number} of a stream. `);
}

/** Talks until the connection is closed. */
export function talk(socket: Socket, { sends, begins, ends, holds = false }: Talk): Talking {
  const [sentHash, receivedHash] = [createHash('sha256'), createHash('sha256')];
  const { promise: done, resolve } = Promise.withResolvers<Talked>();
  let [sent, received] = [0, 0];
  let heardEnd = false;
  let error: string | undefined;
  const end = (): void => void socket.end();
  const send = (): void => {
    while (sent < sends && socket.writable) {
      const bytes = block(sent / BLOCK, Math.min(BLOCK, sends - sent));
      sentHash.update(bytes);
      sent += bytes.length;
      if (!socket.write(bytes)) return void socket.once('drain', send);
    }
    if (ends === 'when sent' || heardEnd) end();
  };
  if (holds) socket.pause();
  socket.on('data', (bytes: Buffer) => {
    receivedHash.update(bytes);
    received += bytes.length;
  });
  if (holds) socket.pause();
  socket.on('end', () => {
    heardEnd = true;
    if (begins === 'when the other has ended') send();
    else if (ends === 'when the other has ended' && sent >= sends) end();
  });
  socket.on('error', (thrown: NodeJS.ErrnoException) => {
    error = thrown.code ?? thrown.message;
  });
  socket.on('close', () =>
    resolve({
      sent,
      sentHash: sentHash.digest('hex'),
      received,
      receivedHash: receivedHash.digest('hex'),
      heardEnd,
      ...(error === undefined ? {} : { error }),
    }),
  );
  if (begins === 'at once') send();
  return { done, isSent: () => socket.writableFinished, readOn: () => void socket.resume() };
}

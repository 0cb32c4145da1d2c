// One question and its answer over TCP (RFC 7766): a connection of its own, bounded in time and size.
import { connect } from 'node:net';
import { AppError, messageOf } from '../../../../lib/errors.ts';

/** Where a name server listens. */
export interface NameServer {
  readonly host: string;
  readonly port: number;
}

/** `host`, `host:port` or `[v6]:port`; port 53 unless told. Undefined when it is none. */
export function parseNameServer(text: string): NameServer | undefined {
  const [, v6, host, port = '53'] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const name = v6 ?? host;
  if (name === undefined || Number(port) < 1 || Number(port) > 65_535) return undefined;
  return { host: name, port: Number(port) };
}

/** Sends a message; the answer. Rejects with AppError `issuer_failed`, or the signal's reason. */
export async function exchange(server: NameServer, message: Buffer, signal: AbortSignal): Promise<Buffer> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const socket = connect({ ...server, signal });
  let received = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (received.length < 2) return;
    const length = received.readUInt16BE(0);
    if (received.length >= 2 + length) resolve(received.subarray(2, 2 + length));
  });
  socket.on('error', reject);
  socket.on('close', () => reject(new Error('the connection was closed without an answer')));
  const framed = Buffer.alloc(2 + message.length);
  framed.writeUInt16BE(message.length);
  message.copy(framed, 2);
  socket.write(framed);
  try {
    return await promise;
  } catch (error) {
    signal.throwIfAborted();
    const where = `${server.host}:${server.port}`;
    throw new AppError('issuer_failed', `name server ${where}: ${messageOf(error)}`, { retryable: true, cause: error });
  } finally {
    socket.destroy();
  }
}

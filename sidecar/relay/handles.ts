// The parts of Node that the fast path stands on, by their shapes. None is public API: what is not as it was when this was written is
// found out here, before anything is called.
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { types } from 'node:util';
import { AppError, messageOf } from '../../lib/errors.ts';

/** A write that did not end at once. */
export interface WriteRequest {
  /** Set when it ended before `oncomplete` could be. */
  writeStatus: number | null | undefined;
  oncomplete: (status: number) => void;
  handle: StreamHandle;
  /** Memory that the write still reads. */
  buffer: unknown;
}

/** The C++ object under a TCP or a TLS socket. Errors are libuv's negative numbers. */
export interface StreamHandle {
  onread: () => Uint8Array | undefined;
  reading: boolean;
  /** Reads go into this memory from now on. Only its address is kept. */
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  writeBuffer(request: null, bytes: Uint8Array): number | WriteRequest;
  writev(request: null, chunks: readonly Uint8Array[], allBuffers: true): number | WriteRequest;
}

/** What reads and writes leave behind of their last call. */
export interface HandleParts {
  readonly state: Int32Array;
  /** Where in it: bytes read, or the error. */
  readonly readIndex: number;
  /** Where in it: the error of a write for which a request was made all the same. */
  readonly errorIndex: number;
}

/** Major versions of Node on which the tests of the fast path run: an unknown one could abort the process before any test fails. */
const knownMajors: readonly string[] = ['26'];

/** Finds the parts. Throws AppError `unsupported` when this Node has others. */
export function handleParts(version: string = process.versions.node): HandleParts {
  const [major = ''] = version.split('.');
  if (!knownMajors.includes(major)) throw new AppError('unsupported', `nothing is known of Node ${version}`);
  const { streamBaseState: state, kReadBytesOrError: readIndex, kLastWriteErr: errorIndex } = streamWrap();
  if (!types.isInt32Array(state) || typeof readIndex !== 'number' || typeof errorIndex !== 'number') {
    throw new AppError('unsupported', `Node ${version} keeps the state of its streams in another way`);
  }
  return { state, readIndex, errorIndex };
}

function streamWrap(): Readonly<Record<string, unknown>> {
  try {
    const node = process as unknown as { binding(name: string): Readonly<Record<string, unknown>> };
    return node.binding('stream_wrap');
  } catch (cause) {
    throw new AppError('unsupported', `the streams of Node cannot be reached: ${messageOf(cause)}`, { cause });
  }
}

/** The handle of a socket; null when it has none, as one that is closed. */
export function handleOf(socket: Socket | TLSSocket): StreamHandle | null {
  return (socket as unknown as { readonly _handle?: StreamHandle | null })._handle ?? null;
}

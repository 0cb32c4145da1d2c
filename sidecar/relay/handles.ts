// The parts of Node that the fast path stands on, by their shapes. None is public API: what is not as it was when this was written is
// found out here, before anything is called.
import type { Server, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { types } from 'node:util';
import { AppError, messageOf } from '../../lib/errors.ts';
import { type SystemCalls, systemCalls } from './systemcalls.ts';

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

/** What is asked of a handle and is not done at once: the end of our direction, or a connection. */
export interface HandleRequest {
  oncomplete: (status: number) => void;
}

/** Where one end of a connection is, as the system writes it. */
export interface SocketName {
  address?: string;
  port?: number;
}

/** The C++ object of a TCP connection. It has to be ended by `close` or `reset`, once; its descriptor is closed inside the call. */
export interface TcpHandle extends StreamHandle {
  /** The file descriptor; negative when there is none. */
  readonly fd: number;
  getpeername(name: SocketName): number;
  getsockname(name: SocketName): number;
  setNoDelay(on: boolean): number;
  setKeepAlive(on: boolean, delaySeconds: number): number;
  connect(request: HandleRequest, address: string, port: number): number;
  connect6(request: HandleRequest, address: string, port: number): number;
  /** 1: it is done already. */
  shutdown(request: HandleRequest): number;
  /** May not be called while a shutdown is under way: it would do nothing, and nothing could close the handle any more. */
  reset(): number;
  close(): void;
}

/** The C++ object of a listening socket. */
export interface ListeningHandle {
  onconnection: (status: number, accepted: TcpHandle | undefined) => void;
  setNoDelay(on: boolean): number;
  setKeepAlive(on: boolean, delaySeconds: number): number;
}

/** What the fast path is made of. */
export interface HandleParts {
  /** What reads and writes leave behind of their last call. */
  readonly state: Int32Array;
  /** Where in it: bytes read, or the error. */
  readonly readIndex: number;
  /** Where in it: the error of a write for which a request was made all the same. */
  readonly errorIndex: number;
  /** A TCP handle that is not connected. */
  newTcp(): TcpHandle;
  newConnect(): HandleRequest;
  newShutdown(): HandleRequest;
  /** Ways past the handles, where there are some. */
  readonly calls?: SystemCalls | undefined;
}

/** Major versions of Node on which the tests of the fast path run: an unknown one could abort the process before any test fails. */
const knownMajors: readonly string[] = ['26'];

/** Finds the parts. Throws AppError `unsupported` when this Node has others. */
export function handleParts(version: string = process.versions.node): HandleParts {
  const [major = ''] = version.split('.');
  if (!knownMajors.includes(major)) throw new AppError('unsupported', `nothing is known of Node ${version}`);
  const streams = binding('stream_wrap');
  const { streamBaseState: state, kReadBytesOrError: readIndex, kLastWriteErr: errorIndex } = streams;
  if (!types.isInt32Array(state) || typeof readIndex !== 'number' || typeof errorIndex !== 'number') {
    throw new AppError('unsupported', `Node ${version} keeps the state of its streams in another way`);
  }
  const tcp = binding('tcp_wrap');
  const [Tcp, Connect, Shutdown] = [tcp['TCP'], tcp['TCPConnectWrap'], streams['ShutdownWrap']];
  const type = (tcp['constants'] as Readonly<Record<string, unknown>> | undefined)?.['SOCKET'];
  if (!isMaker<TcpHandle>(Tcp) || !isMaker(Connect) || !isMaker(Shutdown) || typeof type !== 'number') {
    throw new AppError('unsupported', `Node ${version} makes its connections in another way`);
  }
  return {
    state,
    readIndex,
    errorIndex,
    newTcp: () => new Tcp(type),
    newConnect: () => new Connect(),
    newShutdown: () => new Shutdown(),
    calls: systemCalls(),
  };
}

function binding(name: string): Readonly<Record<string, unknown>> {
  try {
    const node = process as unknown as { binding(name: string): Readonly<Record<string, unknown>> };
    return node.binding(name);
  } catch (cause) {
    throw new AppError('unsupported', `the connections of Node cannot be reached: ${messageOf(cause)}`, { cause });
  }
}

type Maker<T> = new (type?: number) => T;

function isMaker<T = HandleRequest>(found: unknown): found is Maker<T> {
  return typeof found === 'function';
}

/** The handle of a socket; null when it has none, as one that is closed. */
export function handleOf(socket: Socket | TLSSocket): StreamHandle | null {
  return (socket as unknown as { readonly _handle?: StreamHandle | null })._handle ?? null;
}

/** The handle of a server that listens. Throws AppError `unsupported` when it has another. */
export function listeningHandleOf(server: Server): ListeningHandle {
  const { _handle: handle } = server as unknown as { readonly _handle?: Partial<ListeningHandle> | null };
  if (typeof handle?.onconnection !== 'function' || typeof handle.setNoDelay !== 'function') {
    throw new AppError('unsupported', `Node ${process.versions.node} accepts connections in another way`);
  }
  return handle as ListeningHandle;
}

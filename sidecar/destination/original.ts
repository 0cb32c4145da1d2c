// Where a captured connection wanted to go before nftables redirected it: SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST
// (linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h). Node has no socket option API, so getsockopt is called
// through node:ffi, which Node 26 has without a flag. Nothing is loaded until `openOriginalDestination` is called.
import { endianness } from 'node:os';
import { AppError, messageOf } from '../../lib/errors.ts';
import { formatIPv6 } from './address.ts';

/** An address and port as the application named them. IPv6 is in the canonical text form of RFC 5952. */
export interface OriginalDestination {
  readonly family: 4 | 6;
  readonly address: string;
  readonly port: number;
}

/** An accepted connection. */
export interface CapturedSocket {
  readonly remoteAddress?: string | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  /** The file descriptor, where it is no socket of Node's. */
  readonly descriptor?: number;
}

/**
 * The original destination of an accepted connection. `undefined` when the connection was not redirected: nothing is
 * tracked for it, its socket is closed already, or it was made to the listener's own address and port.
 */
export type OriginalDestinationReader = (socket: CapturedSocket) => OriginalDestination | undefined;

const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SOCK_STREAM = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOL_IP = 0;
const SOL_IPV6 = 41;
const SO_ORIGINAL_DST = 80;
const SOCKADDR_BYTES = 128;

const int = 'int32' as const;
const definitions = {
  // Addresses and not buffers, which would be looked up with every call for as long as the system takes.
  getsockopt: { arguments: [int, int, int, 'pointer', 'pointer'], return: int },
  socket: { arguments: [int, int, int], return: int },
  close: { arguments: [int], return: int },
} as const;

/** Answers into its own memory; the result is the system's. */
interface GetSockOpt {
  readonly value: Buffer;
  readonly length: Uint32Array;
  readonly ask: (fd: number, level: number, option: number) => number;
}

/**
 * Loads getsockopt, tests that it answers, and returns the reader (about 2 µs a call once warm).
 * Throws AppError `unsupported` where Node has no node:ffi or the call does not work.
 */
export function openOriginalDestination(): OriginalDestinationReader {
  const { value, length, ask } = loadGetSockOpt();
  const parse = remembering();
  return (socket) => {
    const fd = descriptorOf(socket);
    if (fd === undefined) return undefined;
    // On a dual-stack listener an IPv4 peer shows as ::ffff:a.b.c.d; the kernel answers SOL_IP for it.
    const level = socket.remoteAddress?.includes('.') === true ? SOL_IP : SOL_IPV6;
    length[0] = SOCKADDR_BYTES;
    if (ask(fd, level, SO_ORIGINAL_DST) !== 0) return undefined;
    const original = parse(value, length[0]);
    if (original === undefined || isLocal(original, socket)) return undefined;
    return original;
  };
}

/**
 * Reads a `struct sockaddr_in` or `sockaddr_in6`. `undefined` for any other family and for one that is cut short.
 * A link-local IPv6 address keeps its zone (`fe80::1%2`), without which it cannot be reached again.
 */
export function parseSockaddr(bytes: Buffer): OriginalDestination | undefined {
  if (bytes.length < 8) return undefined;
  const family = endianness() === 'LE' ? bytes.readUInt16LE(0) : bytes.readUInt16BE(0);
  const port = bytes.readUInt16BE(2);
  if (family === AF_INET) {
    return { family: 4, address: `${bytes[4]}.${bytes[5]}.${bytes[6]}.${bytes[7]}`, port };
  }
  if (family !== AF_INET6 || bytes.length < 28) return undefined;
  const address = formatIPv6(bytes.subarray(8, 24));
  const scope = endianness() === 'LE' ? bytes.readUInt32LE(24) : bytes.readUInt32BE(24);
  const linkLocal = bytes[8] === 0xfe && ((bytes[9] ?? 0) & 0xc0) === 0x80;
  return { family: 6, address: linkLocal && scope !== 0 ? `${address}%${scope}` : address, port };
}

/** Reads addresses, the last IPv4 one from memory: a pod talks to few others, and most of the time to one. */
function remembering(): (value: Buffer, length: number) => OriginalDestination | undefined {
  let [head, host] = [0, 0];
  let last: OriginalDestination | undefined;
  return (value, length) => {
    // Family and port, and the address.
    const [headNow, hostNow] = [value.readInt32LE(0), value.readInt32LE(4)];
    if (last !== undefined && headNow === head && hostNow === host) return last;
    const original = parseSockaddr(value.subarray(0, length));
    last = original?.family === 4 ? original : undefined;
    [head, host] = [headNow, hostNow];
    return original;
  };
}

function isLocal(original: OriginalDestination, socket: CapturedSocket): boolean {
  // Each of the two is a question to the system.
  if (original.port !== socket.localPort) return false;
  const address = socket.localAddress;
  return address === original.address || address === `::ffff:${original.address}`;
}

function loadGetSockOpt(): GetSockOpt {
  const ffi = process.getBuiltinModule('node:ffi');
  // The types promise the module, but Node 24 and builds without libffi have none.
  if ((ffi as unknown) === undefined) {
    throw new AppError(
      'unsupported',
      `Node ${process.version} has no node:ffi, which reading original destinations needs; run Node 26.1 or later`,
    );
  }
  try {
    // Null is the process itself: libc is in it already, whatever its file is called.
    const { functions } = ffi.dlopen(null, definitions);
    // Memory that never moves: what is smaller than this V8 may keep in its own heap.
    const value = Buffer.alloc(SOCKADDR_BYTES);
    const length = new Uint32Array(new ArrayBuffer(SOCKADDR_BYTES), 0, 1);
    const [valueAt, lengthAt] = [ffi.getRawPointer(value), ffi.getRawPointer(length)];
    const { getsockopt } = functions;
    const asked: GetSockOpt = {
      value,
      length,
      ask: (fd, level, option) => getsockopt(fd, level, option, valueAt, lengthAt),
    };
    selfTest(functions, asked);
    return asked;
  } catch (cause) {
    throw new AppError(
      'unsupported',
      `getsockopt cannot be called through node:ffi (${messageOf(cause)}); original destinations cannot be read on this platform`,
      { cause },
    );
  }
}

interface SelfTested {
  readonly socket: (family: number, type: number, protocol: number) => number;
  readonly close: (fd: number) => number;
}

/** Asks a socket of our own for its type: proves that arguments and the written-back value pass the border unharmed. */
function selfTest({ socket, close }: SelfTested, { value, length, ask }: GetSockOpt): void {
  const fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) throw new Error('socket() failed');
  length[0] = SOCKADDR_BYTES;
  const result = ask(fd, SOL_SOCKET, SO_TYPE);
  close(fd);
  if (result !== 0 || length[0] !== 4 || new Uint32Array(value.buffer, value.byteOffset, 1)[0] !== SOCK_STREAM) {
    throw new Error(`self-test answered ${result} with ${length[0]} bytes`);
  }
}

/** The file descriptor under a socket. Internal to Node, but the only way; absent once the socket is closed. */
export function descriptorOf(socket: CapturedSocket): number | undefined {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: number } | null };
  const descriptor = socket.descriptor ?? handle?.fd ?? -1;
  return descriptor >= 0 ? descriptor : undefined;
}

// Two questions to the system that go past the handles of bare connections, through node:ffi: a request object of Node's with its callback for the
// end of our direction, and an object with texts for each peer's name, cost more than all that the system does for them. A Node without
// node:ffi asks the handles.
import { endianness } from 'node:os';
import type { SocketName } from './handles.ts';

/** What is asked by the descriptor of a connection. */
export interface SystemCalls {
  /** Ends our direction (shutdown(2)). Nothing may wait to be sent. Where the connection has gone, there is nobody to be told. */
  end(descriptor: number): void;
  /** Where the other end of an IPv4 connection is (getpeername(2)); undefined for any other. */
  peer(descriptor: number): SocketName | undefined;
}

const SHUT_WR = 1;
const AF_INET = 2;
const SOCKADDR_BYTES = 128;

const int = 'int32' as const;
const definitions = {
  shutdown: { arguments: [int, int], return: int },
  getpeername: { arguments: [int, 'pointer', 'pointer'], return: int },
} as const;

/** Undefined where they cannot be called. */
export function systemCalls(): SystemCalls | undefined {
  const ffi = process.getBuiltinModule('node:ffi');
  // The types promise the module, but not every build has it. Where it is, an address is laid out as it is read here.
  if ((ffi as unknown) === undefined || endianness() !== 'LE') return undefined;
  try {
    const { functions } = ffi.dlopen(null, definitions);
    const { shutdown, getpeername } = functions;
    // Memory that never moves: what is smaller than this V8 may keep in its own heap.
    const value = Buffer.alloc(SOCKADDR_BYTES);
    const length = new Uint32Array(new ArrayBuffer(SOCKADDR_BYTES), 0, 1);
    const [valueAt, lengthAt] = [ffi.getRawPointer(value), ffi.getRawPointer(length)];
    const textOf = remembering();
    return {
      end: (descriptor) => void shutdown(descriptor, SHUT_WR),
      peer: (descriptor) => {
        length[0] = SOCKADDR_BYTES;
        if (getpeername(descriptor, valueAt, lengthAt) !== 0 || value.readUInt16LE(0) !== AF_INET) return undefined;
        return { address: textOf(value), port: value.readUInt16BE(2) };
      },
    };
  } catch {
    return undefined;
  }
}

/** The text of an address; the last one from memory: all containers of a pod have the same. */
function remembering(): (value: Buffer) => string {
  let [last, text] = [0, '0.0.0.0'];
  return (value) => {
    const now = value.readUInt32BE(4);
    if (now === last) return text;
    last = now;
    text = `${value[4]}.${value[5]}.${value[6]}.${value[7]}`;
    return text;
  };
}

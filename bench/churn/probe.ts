// Loaded into a sidecar before its own program (`--import`): answers each line of standard input with what the process holds. It is read as
// text, stripped of its types and given to Node as a module: a loader of TypeScript in the sidecar would be a part of what is measured.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { queryObjects } from 'node:v8';

/** What a process holds. */
export interface Held {
  /** Resident memory as it was found, before the collection. */
  readonly rssMb: number;
  /** The same after it, and after the C library has given back what is free: what a rush of connections needed for a moment is not in it. */
  readonly trimmedMb: number;
  /** JavaScript's heap after a collection. */
  readonly heapMb: number;
  /** Buffers and what else the heap keeps alive outside of itself, after a collection. */
  readonly buffersMb: number;
  /** Live objects of every kind. */
  readonly objects: number;
  /** Open files, sockets among them. */
  readonly files: number;
  /** Open sockets that no table of the kernel has: over for both sides, and never closed by this one. */
  readonly adrift: number;
  /** Timers, sockets and requests that Node would wait for. */
  readonly resources: number;
}

const megabyte = 2 ** 20;
/** The standard streams are sockets of another namespace. */
const FIRST_OWN = 3;
/** Of /proc/net/tcp and its like. */
const INODE_COLUMN = 9;

/** malloc_trim(3), where Node can call it. */
function trim(): void {
  const ffi = process.getBuiltinModule('node:ffi');
  // The types promise the module, but not every build has it.
  if ((ffi as unknown) === undefined) return;
  ffi.dlopen(null, { malloc_trim: { arguments: ['uint64'], return: 'int32' } }).functions.malloc_trim(0n);
}

function adrift(): number {
  const tables = ['tcp', 'tcp6', 'udp', 'udp6'].map((name) => readFileSync(`/proc/self/net/${name}`, 'utf8'));
  const lines = tables.flatMap((table) => table.split('\n'));
  const known = new Set(lines.map((line) => `socket:[${line.trim().split(/\s+/)[INODE_COLUMN]}]`));
  const own = readdirSync('/proc/self/fd').filter((descriptor) => Number(descriptor) >= FIRST_OWN);
  return own.map(target).filter((name) => name.startsWith('socket:') && !known.has(name)).length;
}

/** What a descriptor leads to; nothing, if it is the one that the list of them was read by. */
function target(descriptor: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return '';
  }
}

async function held(): Promise<Held> {
  const rssMb = process.memoryUsage.rss() / megabyte;
  // What was freed by finalizers of the first one goes with the second.
  for (let times = 0; times < 2; times += 1) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, external } = process.memoryUsage();
  trim();
  return {
    rssMb,
    trimmedMb: process.memoryUsage.rss() / megabyte,
    heapMb: heapUsed / megabyte,
    buffersMb: external / megabyte,
    objects: queryObjects(Object, { format: 'count' }),
    files: readdirSync('/proc/self/fd').length,
    adrift: adrift(),
    resources: process.getActiveResourcesInfo().length,
  };
}

const input = createInterface(process.stdin);
input.on('line', (text) => {
  const { id } = JSON.parse(text) as { readonly id: number };
  void held().then((answer) => process.stdout.write(`${JSON.stringify({ id, answer })}\n`));
});
// Whoever watches is gone: so is what is watched.
input.on('close', () => process.exit(1));

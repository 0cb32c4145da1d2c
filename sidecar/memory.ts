// Gives memory back that only the start needed: what the collector frees, and what the C library keeps of what was freed.
import type { Clock } from '../lib/clock.ts';

/** After it the start is over: the certificate is read, the control API has answered, the first probe was served. */
const SETTLE_MS = 3_000;
/** V8 forgets the bytecode of a function that has not run between so many collections: that of the start, which never runs again. */
const COLLECTIONS = 7;

/**
 * Waits for the end of the start, then gives back, once: about 3 MB that V8 would keep for as long as nothing happens, and 3 MB that
 * the allocator would. The first does nothing unless Node runs with --expose-gc, the second nothing where there is no glibc.
 */
export async function settleMemory(clock: Clock, signal: AbortSignal): Promise<void> {
  await clock.sleep(SETTLE_MS, signal);
  for (let done = 0; done < COLLECTIONS && !signal.aborted; done += 1) {
    await globalThis.gc?.({ type: 'major', execution: 'async', flavor: 'last-resort' });
  }
  trimAllocator();
}

/** malloc_trim(3), of all arenas. True: something was given back. */
export function trimAllocator(): boolean {
  const ffi = process.getBuiltinModule('node:ffi');
  // The types promise the module, but not every build has it; nor has every C library the function.
  if ((ffi as unknown) === undefined) return false;
  try {
    const { functions } = ffi.dlopen(null, { malloc_trim: { arguments: ['uint64'], return: 'int32' } });
    return functions.malloc_trim(0n) === 1;
  } catch {
    return false;
  }
}

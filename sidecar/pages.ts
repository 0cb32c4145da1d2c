// Pages of the program file that a process has looked at and does not need: Node's start touches 40 MB of its own file, what runs after it
// half of that. They are the file's and cannot have been written, so letting go of them loses nothing: whichever is needed again is
// mapped again from the kernel's cache, sixteen at a time. Where something of this is missing, nothing happens.
import { readFileSync } from 'node:fs';

/** A part of the address space. */
export interface Span {
  readonly start: bigint;
  readonly bytes: bigint;
}

/** madvise(2): what is mapped of a file is read anew when it is needed. */
const MADV_DONTNEED = 4;

/** What a mapping has of its own that the file has not: nothing, also not where the system has swapped it out. */
const nothingOwn = [/^Anonymous: +0 kB$/m, /^Private_Dirty: +0 kB$/m, /^Swap: +0 kB$/m];

/**
 * From the text of /proc/PID/smaps, the mappings of a file that the process may not write and never has: not those that the loader has
 * relocated before it made them read-only. Those differ from the file, and must not be let go.
 */
export function unwrittenSpans(smaps: string, file: string): readonly Span[] {
  return smaps.split(/^(?=[\da-f]+-[\da-f]+ )/m).flatMap((mapping) => {
    const [, start, end, path] = /^([\da-f]+)-([\da-f]+) r-[x-]p \S+ \S+ \S+ +(.+)$/m.exec(mapping) ?? [];
    if (start === undefined || end === undefined || path !== file) return [];
    if (!nothingOwn.every((line) => line.test(mapping))) return [];
    const from = BigInt(`0x${start}`);
    return [{ start: from, bytes: BigInt(`0x${end}`) - from }];
  });
}

/** Those of this process's program; none where the system does not tell. Reads some hundred kilobytes: to be asked once. */
export function programSpans(): readonly Span[] {
  try {
    return unwrittenSpans(readFileSync('/proc/self/smaps', 'latin1'), process.execPath);
  } catch {
    return [];
  }
}

/** Lets go of spans that `programSpans` has found. */
export function forgetPages(spans: readonly Span[]): void {
  const ffi = process.getBuiltinModule('node:ffi');
  // The types promise the module, but not every build has it.
  if ((ffi as unknown) === undefined) return;
  try {
    const { functions } = ffi.dlopen(null, { madvise: { arguments: ['uint64', 'uint64', 'int32'], return: 'int32' } });
    for (const { start, bytes } of spans) functions.madvise(start, bytes, MADV_DONTNEED);
  } catch {
    // They stay mapped then, and nothing else is different.
  }
}

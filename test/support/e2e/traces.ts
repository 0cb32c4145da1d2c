// Traces of a private key: every form in which its secret part may lie in a file or in the memory of a process, and where they are found.
import { createPrivateKey } from 'node:crypto';
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** A form of a key, by what it is called. */
export type Trace = readonly [name: string, bytes: Buffer];

/**
 * The forms of an elliptic curve key in PKCS#8 PEM: its scalar as DER and JWK hold it, reversed as OpenSSL's numbers lie in memory,
 * as hex and base64; and the PEM as text of one and of two bytes a character, and in base64 at each of the three alignments.
 */
export function tracesOf(pem: string): readonly Trace[] {
  const jwk = createPrivateKey(pem).export({ format: 'jwk' });
  const scalar = Buffer.from(jwk.d ?? '', 'base64url');
  if (scalar.length !== 32) throw new Error('the key is none of curve P-256');
  // The second line begins in the middle of the scalar; the first is half header, equal for all keys.
  const line = pem.trim().split('\n')[2] ?? '';
  if (line.length !== 64) throw new Error('the PEM is not of 64 characters a line');
  const encoded = [0, 1, 2].map((shift): Trace => {
    const text = Buffer.concat([Buffer.alloc(shift), Buffer.from(line)]).toString('base64');
    // The outermost characters depend on what is beside the line.
    return [`base64 of the PEM, shifted by ${shift}`, Buffer.from(text.slice(4, 80))];
  });
  return [
    ['scalar', scalar],
    ['scalar, reversed', Buffer.from(scalar).reverse()],
    ['hex', Buffer.from(scalar.toString('hex'))],
    ['upper-case hex', Buffer.from(scalar.toString('hex').toUpperCase())],
    ['base64', Buffer.from(scalar.toString('base64').slice(0, 42))],
    ['base64url', Buffer.from(scalar.toString('base64url').slice(0, 42))],
    ['PEM', Buffer.from(line)],
    ['PEM, two bytes a character', Buffer.from(line, 'utf16le')],
    ...encoded,
  ];
}

/** Names of the traces found in a text or in bytes. */
export function tracesIn(bytes: Buffer, traces: readonly Trace[]): readonly string[] {
  return traces.filter(([, trace]) => bytes.includes(trace)).map(([name]) => name);
}

/** Names of the traces found in the files of a folder and below, each with the file's name. */
export function tracesInFiles(folder: string, traces: readonly Trace[]): readonly string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .flatMap(({ parentPath, name }) => {
      const path = join(parentPath, name);
      return tracesIn(readFileSync(path), traces).map((trace) => `${name}: ${trace}`);
    });
}

const chunkBytes = 16 * 1024 * 1024;

/** What was found in the memory of a process. */
export interface MemoryScan {
  /** Names of the traces. */
  readonly found: readonly string[];
  /** Bytes that were read. */
  readonly bytes: number;
}

/** Looks through everything readable in the memory of a process, as root may. */
export function tracesInMemory(pid: number, traces: readonly Trace[]): MemoryScan {
  const overlap = Math.max(...traces.map(([, trace]) => trace.length));
  const found = new Set<string>();
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const buffer = Buffer.alloc(chunkBytes + overlap);
  let bytes = 0;
  try {
    for (const { start, end } of regionsOf(pid)) {
      for (let at = start; at < end; at += chunkBytes) {
        const read = readAt(memory, buffer, at, Math.min(chunkBytes + overlap, end - at));
        bytes += Math.min(read, chunkBytes);
        for (const name of tracesIn(buffer.subarray(0, read), traces)) found.add(name);
      }
    }
  } finally {
    closeSync(memory);
  }
  return { found: [...found].sort(), bytes };
}

function regionsOf(pid: number): readonly { readonly start: number; readonly end: number }[] {
  return readFileSync(`/proc/${pid}/maps`, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, start = '', end = '', rights = '', name = ''] =
        /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)$/.exec(line) ?? [];
      // Of the kernel's own pages none can be read.
      return rights.startsWith('r') && !name.startsWith('[v')
        ? [{ start: parseInt(start, 16), end: parseInt(end, 16) }]
        : [];
    });
}

/** Bytes read; a page that went away meanwhile counts as none. */
function readAt(file: number, into: Buffer, at: number, length: number): number {
  try {
    return readSync(file, into, 0, length, at);
  } catch {
    return 0;
  }
}

/** Bytes in the files of a folder and below. */
export function sizeOf(folder: string): number {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

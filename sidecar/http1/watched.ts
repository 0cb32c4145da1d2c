// Names of fields that a gate has to know of beyond those of framing: which of them a head has, as bits, found without a string per field.
import { octet, tokenOctet } from './octets.ts';

interface Name {
  readonly text: string;
  readonly bit: number;
}

/** A set of names of fields. */
export class WatchedNames {
  readonly #byLength: (Name[] | undefined)[] = [];

  /** At most 30 names, in any case; the first has bit 1, the second bit 2, the third bit 4 and so on. */
  constructor(names: readonly string[]) {
    for (const [index, name] of names.entries()) {
      const text = name.toLowerCase();
      (this.#byLength[text.length] ??= []).push({ text, bit: 1 << index });
    }
  }

  /** The bit of the name in [start, end), or zero. */
  bitOf(bytes: Buffer, start: number, end: number): number {
    const names = this.#byLength[end - start];
    if (names === undefined) return 0;
    for (const { text, bit } of names) if (isNamed(bytes, start, text)) return bit;
    return 0;
  }
}

/** The octets at `start` are this lower-case name, in any case. They are token octets, or the name's length of them is there. */
export function isNamed(bytes: Buffer, start: number, name: string): boolean {
  for (let at = 0; at < name.length; at += 1) {
    const code = bytes[start + at] ?? 0;
    const lower = code >= 0x41 && code <= 0x5a ? code | 0x20 : code;
    if (lower !== name.charCodeAt(at)) return false;
  }
  return true;
}

/** A head, which was read and found good, without the fields of these names and with field lines at its end. One copy. */
export function editedHead(head: Buffer, without: WatchedNames | undefined, add: Buffer | undefined): Buffer {
  const kept: Buffer[] = [];
  let from = 0;
  if (without !== undefined) {
    for (let at = lineAfter(head, 0); at < head.length - 2; ) {
      const next = lineAfter(head, at);
      if (without.bitOf(head, at, nameEnd(head, at)) !== 0) {
        kept.push(head.subarray(from, at));
        from = next;
      }
      at = next;
    }
  }
  kept.push(head.subarray(from, head.length - 2));
  if (add !== undefined) kept.push(add);
  return Buffer.concat([...kept, head.subarray(head.length - 2)]);
}

/** A good head has line feeds at the ends of its lines only. */
function lineAfter(head: Buffer, at: number): number {
  return head.indexOf(octet.lf, at) + 1;
}

function nameEnd(head: Buffer, start: number): number {
  let at = start;
  while (tokenOctet[head[at] ?? 0] === 1) at += 1;
  return at;
}

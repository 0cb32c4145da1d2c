// Addresses and address ranges as numbers, so that asking whether one lies in the other costs a few instructions. An IPv4 address
// mapped into IPv6 (RFC 4291 section 2.5.5.2) is the IPv4 address; otherwise the families never meet. Pure.
import { isIPv4, isIPv6 } from 'node:net';

/** An address: one 32-bit word for IPv4, four for IPv6. */
export type Words = readonly number[];

/** A range: an address and how many of its leading bits count. */
export interface Block {
  readonly words: Words;
  readonly bits: number;
}

const MAPPED_BITS = 96;

/** The words of an IP address, a zone index left out; undefined when the text is none. */
export function addressWords(text: string): Words | undefined {
  if (isIPv4(text)) return [word4(text)];
  if (!isIPv6(text)) return undefined;
  const zone = text.indexOf('%');
  const words = words6(zone < 0 ? text : text.slice(0, zone));
  return isMapped(words) ? words.slice(3) : words;
}

/** The range that a CIDR names, such as 10.0.0.0/8; host bits may be set and do not count. Undefined when the text is none. */
export function parseBlock(text: string): Block | undefined {
  const [, address = '', length = ''] = /^([0-9A-Fa-f:.]{2,45})\/(0|[1-9][0-9]{0,2})$/.exec(text) ?? [];
  const bits = Number(length);
  if (isIPv4(address)) return bits <= 32 ? { words: [word4(address)], bits } : undefined;
  if (!isIPv6(address) || bits > 128) return undefined;
  const words = words6(address);
  return isMapped(words) && bits >= MAPPED_BITS ? { words: words.slice(3), bits: bits - MAPPED_BITS } : { words, bits };
}

/** Whether an address lies in a range. */
export function inBlock({ words, bits }: Block, address: Words): boolean {
  if (words.length !== address.length) return false;
  let left = bits;
  for (let index = 0; left > 0; index += 1, left -= 32) {
    // A shift by 32 would be one by 0: the last word is compared whole where all of it counts.
    const mask = left >= 32 ? -1 : ~(-1 >>> left);
    if ((((words[index] ?? 0) ^ (address[index] ?? 0)) & mask) !== 0) return false;
  }
  return true;
}

function isMapped([first, second, third]: Words): boolean {
  return first === 0 && second === 0 && third === 0xffff;
}

function word4(text: string): number {
  let word = 0;
  let part = 0;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === 46) {
      word = (word << 8) | part;
      part = 0;
    } else part = part * 10 + code - 48;
  }
  return ((word << 8) | part) >>> 0;
}

function words6(text: string): Words {
  const last = text.lastIndexOf(':');
  const tail = text.slice(last + 1);
  const low = tail.includes('.') ? word4(tail) : undefined;
  const plain =
    low === undefined ? text : `${text.slice(0, last + 1)}${(low >>> 16).toString(16)}:${(low & 0xffff).toString(16)}`;
  const [head = '', rest] = plain.split('::');
  const before = groupsOf(head);
  const after = groupsOf(rest ?? '');
  const groups = [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after];
  return [0, 2, 4, 6].map((at) => (((groups[at] ?? 0) << 16) | (groups[at + 1] ?? 0)) >>> 0);
}

function groupsOf(text: string): readonly number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
}

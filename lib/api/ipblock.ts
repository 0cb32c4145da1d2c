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
  // As sockets that take both families show IPv4.
  const start = text.startsWith('::ffff:') && text.includes('.') ? 7 : 0;
  const four = word4(text, start);
  if (four !== undefined) return [four];
  if (!isIPv6(text)) return undefined;
  const zone = text.indexOf('%');
  const words = words6(zone < 0 ? text : text.slice(0, zone));
  return isMapped(words) ? words.slice(3) : words;
}

/** The range that a CIDR names, such as 10.0.0.0/8; host bits may be set and do not count. Undefined when the text is none. */
export function parseBlock(text: string): Block | undefined {
  const [, address = '', length = ''] = /^([0-9A-Fa-f:.]{2,45})\/(0|[1-9][0-9]{0,2})$/.exec(text) ?? [];
  const bits = Number(length);
  if (isIPv4(address)) return bits <= 32 ? { words: [word4(address, 0) ?? 0], bits } : undefined;
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

/** The word of the dotted IPv4 address from `start` to the end; undefined when it is none. Without what a regular expression costs. */
function word4(text: string, start: number): number | undefined {
  let word = 0;
  let part = 0;
  let digits = 0;
  let dots = 0;
  for (let index = start; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === DOT) {
      if (digits === 0) return undefined;
      word = (word << 8) | part;
      part = 0;
      digits = 0;
      dots += 1;
    } else {
      // Leading zeros are octal to some, and an address to nobody here.
      if (code < ZERO || code > NINE || (digits > 0 && part === 0)) return undefined;
      part = part * 10 + code - ZERO;
      digits += 1;
      if (part > 255) return undefined;
    }
  }
  return dots === 3 && digits > 0 ? ((word << 8) | part) >>> 0 : undefined;
}

const [DOT, ZERO, NINE, COLON] = [46, 48, 57, 58];

/** Of a text that is an IPv6 address. */
function words6(text: string): Words {
  const groups = [0, 0, 0, 0, 0, 0, 0, 0];
  let count = 0;
  let gap = -1;
  let value = 0;
  let start = 0;
  for (let index = 0; index <= text.length; index += 1) {
    const code = index < text.length ? text.charCodeAt(index) : COLON;
    if (code === DOT) {
      const low = word4(text, start) ?? 0;
      groups[count++] = low >>> 16;
      groups[count++] = low & 0xffff;
      break;
    }
    if (code !== COLON) {
      // The low bits of a digit are its value, those of a letter (either case) its value less nine.
      value = (value << 4) | ((code & 15) + (code > NINE ? 9 : 0));
      continue;
    }
    if (index > start) groups[count++] = value;
    else if (index < text.length && index > 0) gap = count;
    value = 0;
    start = index + 1;
  }
  return folded(groups, count, gap);
}

/** Two groups to a word, with the groups after `::` at the end. */
function folded(groups: readonly number[], count: number, gap: number): Words {
  const missing = 8 - count;
  const at = (index: number): number => {
    if (gap < 0 || index < gap) return groups[index] ?? 0;
    return index < gap + missing ? 0 : (groups[index - missing] ?? 0);
  };
  return [0, 2, 4, 6].map((index) => ((at(index) << 16) | at(index + 1)) >>> 0);
}

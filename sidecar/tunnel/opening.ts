// The payload of OPEN (docs/tunnel-protocol.md section 4.1): where the stream is to lead, and facts of the application's connection for
// the log of the accepting side. Bytes beyond those that are known belong to later versions and are ignored. Pure.
import { isIPv4, isIPv6 } from 'node:net';
import { formatIPv6 } from '../destination/address.ts';
import { readUint32 } from './frame.ts';

/** What a stream is opened with. */
export interface Opening {
  /** The port that the tunnel's own connection was made to: the application's. */
  readonly port: number;
  /** Where the application's connection comes from, as the dialling sidecar saw it. A claim of the peer: for logs, never for decisions. */
  readonly source: { readonly address: string; readonly port: number } | undefined;
  /** When the application connected, milliseconds since the epoch by the dialling side's clock. */
  readonly startedMs: number;
}

const FIXED_BYTES = 11;
const NO_ADDRESS = 0;
const nothing = new Uint8Array();

/** The payload. An address that is neither IPv4 nor IPv6 (a link-local one with its zone) is left out. */
export function encodeOpening({ port, source, startedMs }: Opening): Uint8Array {
  const { address: text = '', port: from = 0 } = source ?? {};
  const address = knownBytes(text);
  const { length } = address;
  const bytes = new Uint8Array(FIXED_BYTES + length);
  // Once for each connection: plain stores cost a fraction of a DataView.
  bytes[0] = port >>> 8;
  bytes[1] = port;
  const high = Math.floor(startedMs / 2 ** 32);
  bytes[2] = high >>> 8;
  bytes[3] = high;
  const low = startedMs % 2 ** 32;
  bytes[4] = low >>> 24;
  bytes[5] = low >>> 16;
  bytes[6] = low >>> 8;
  bytes[7] = low;
  bytes[8] = length;
  bytes[9] = from >>> 8;
  bytes[10] = from;
  for (let at = 0; at < length; at += 1) bytes[FIXED_BYTES + at] = address[at] ?? 0;
  return bytes;
}

/** What a payload says; undefined when it breaks the rule `bad_open`. */
export function decodeOpening(bytes: Uint8Array): Opening | undefined {
  if (bytes.length < FIXED_BYTES) return undefined;
  const port = readUint32(bytes, 0) >>> 16;
  const length = bytes[8] ?? 0;
  const isKnown = length === NO_ADDRESS || length === 4 || length === 16;
  if (port === 0 || !isKnown || bytes.length < FIXED_BYTES + length) return undefined;
  const startedMs = (readUint32(bytes, 0) & 65_535) * 2 ** 32 + readUint32(bytes, 4);
  if (length === NO_ADDRESS) return { port, startedMs, source: undefined };
  const address =
    length === 4
      ? quadText(readUint32(bytes, FIXED_BYTES))
      : formatIPv6(bytes.subarray(FIXED_BYTES, FIXED_BYTES + length));
  return { port, startedMs, source: { address, port: readUint32(bytes, 9) >>> 16 } };
}

/** Applications of one pod have one address or two: the last one's bytes are remembered. */
let lastText = '';
let lastBytes: Uint8Array = nothing;

function knownBytes(text: string): Uint8Array {
  if (text === lastText) return lastBytes;
  lastBytes = isIPv4(text) ? Uint8Array.from(text.split('.'), Number) : addressBytes(text);
  lastText = text;
  return lastBytes;
}

/** And so is the last one's text. */
let lastQuad = 0;
let lastQuadText = '0.0.0.0';

function quadText(quad: number): string {
  if (quad === lastQuad) return lastQuadText;
  lastQuad = quad;
  lastQuadText = `${quad >>> 24}.${(quad >>> 16) & 255}.${(quad >>> 8) & 255}.${quad & 255}`;
  return lastQuadText;
}

function addressBytes(address: string): Uint8Array {
  if (!isIPv6(address) || address.includes('%')) return nothing;
  const [head = '', tail] = address.split('::');
  const front = groupsOf(head);
  const back = groupsOf(tail ?? '');
  const zeros = Array.from({ length: 8 - front.length - back.length }, () => 0);
  return Uint8Array.from([...front, ...zeros, ...back].flatMap((group) => [group >> 8, group & 255]));
}

/** The 16-bit groups of one side of an IPv6 address; an IPv4 address at its end is two. */
function groupsOf(text: string): readonly number[] {
  return text.split(':').flatMap((group) => {
    if (group === '') return [];
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}

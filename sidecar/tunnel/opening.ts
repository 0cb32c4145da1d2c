// The payload of OPEN (docs/tunnel-protocol.md section 4.1): where the stream is to lead, and facts of the application's connection for
// the log of the accepting side. Bytes beyond those that are known belong to later versions and are ignored. Pure.
import { isIPv4, isIPv6 } from 'node:net';
import { formatIPv6 } from '../destination/address.ts';

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

/** The payload. An address that is neither IPv4 nor IPv6 (a link-local one with its zone) is left out. */
export function encodeOpening({ port, source, startedMs }: Opening): Uint8Array {
  const address = addressBytes(source?.address ?? '');
  const bytes = new Uint8Array(FIXED_BYTES + address.length);
  write(bytes, 0, port, 2);
  write(bytes, 2, Math.floor(startedMs / 2 ** 32), 2);
  write(bytes, 4, startedMs % 2 ** 32, 4);
  bytes[8] = address.length;
  write(bytes, 9, source?.port ?? 0, 2);
  for (let at = 0; at < address.length; at += 1) bytes[FIXED_BYTES + at] = address[at] ?? 0;
  return bytes;
}

/** Once for each connection: plain stores cost a fraction of a DataView. */
function write(bytes: Uint8Array, at: number, value: number, size: 2 | 4): void {
  for (let left = size - 1; left >= 0; left -= 1) bytes[at + size - 1 - left] = value >>> (8 * left);
}

/** What a payload says; undefined when it breaks the rule `bad_open`. */
export function decodeOpening(bytes: Uint8Array): Opening | undefined {
  if (bytes.length < FIXED_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const port = view.getUint16(0);
  const length = view.getUint8(8);
  if (port === 0 || ![NO_ADDRESS, 4, 16].includes(length) || bytes.length < FIXED_BYTES + length) return undefined;
  const address = bytes.subarray(FIXED_BYTES, FIXED_BYTES + length);
  return {
    port,
    startedMs: view.getUint16(2) * 2 ** 32 + view.getUint32(4),
    source: length === NO_ADDRESS ? undefined : { address: addressText(address), port: view.getUint16(9) },
  };
}

function addressBytes(address: string): ArrayLike<number> {
  if (isIPv4(address)) return quad(address);
  if (!isIPv6(address) || address.includes('%')) return new Uint8Array();
  const [head = '', tail] = address.split('::');
  const front = groupsOf(head);
  const back = groupsOf(tail ?? '');
  const zeros = Array.from({ length: 8 - front.length - back.length }, () => 0);
  return Uint8Array.from([...front, ...zeros, ...back].flatMap((group) => [group >> 8, group & 255]));
}

/** The bytes of an IPv4 address that is known to be one. */
function quad(address: string): readonly number[] {
  const bytes = [0];
  for (let at = 0; at < address.length; at += 1) {
    const digit = address.charCodeAt(at) - 48;
    if (digit < 0) bytes.push(0);
    else bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) * 10 + digit;
  }
  return bytes;
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

function addressText(bytes: Uint8Array): string {
  return bytes.length === 4 ? `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` : formatIPv6(bytes);
}

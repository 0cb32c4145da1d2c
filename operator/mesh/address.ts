// IP addresses and destination keys in one canonical text form, so that equal addresses are equal strings whoever wrote
// them: the API server, a socket (which shows IPv4 clients of a dual-stack listener as ::ffff:a.b.c.d) or a sidecar. Pure.
import { isIPv4, isIPv6 } from 'node:net';

/** Address family as EndpointSlice `addressType` names it. */
export type Family = 'IPv4' | 'IPv6';

/** An address and a TCP port. */
export interface SocketAddress {
  /** Canonical, see canonicalAddress. */
  readonly address: string;
  /** 1 to 65535. */
  readonly port: number;
}

const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/;

/**
 * The canonical text of an IP address: dotted IPv4, RFC 5952 IPv6 without a zone; an IPv4-mapped IPv6 address (RFC 4291
 * section 2.5.5.2) is the IPv4 address in it. Undefined when the text is no IP address.
 */
export function canonicalAddress(text: string): string | undefined {
  if (isIPv4(text)) return text;
  if (!isIPv6(text)) return undefined;
  const zone = text.indexOf('%');
  // The URL parser (WHATWG section 3.5) writes IPv6 exactly as RFC 5952 asks.
  const address = new URL(`http://[${zone < 0 ? text : text.slice(0, zone)}]`).hostname.slice(1, -1);
  const [, high, low] = mapped.exec(address) ?? [];
  if (high === undefined || low === undefined) return address;
  const bits = (Number.parseInt(high, 16) << 16) | Number.parseInt(low, 16);
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 0xff).join('.');
}

/** The family of a canonical address. */
export function familyOf(address: string): Family {
  return address.includes(':') ? 'IPv6' : 'IPv4';
}

/** The key of a destination: `10.0.0.1:80`, `[fd00::1]:80`. */
export function destinationKey({ address, port }: SocketAddress): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** What a destination key names, made canonical. Undefined for anything but `<ip>:<port>` (IPv6 in brackets). */
export function parseDestination(key: string): SocketAddress | undefined {
  const [, six, four, digits] =
    /^(?:\[([0-9A-Fa-f]*:[0-9A-Fa-f:.]{1,44})\]|([0-9.]{7,15})):([1-9][0-9]{0,4})$/.exec(key) ?? [];
  const text = six ?? four;
  if (text === undefined || digits === undefined) return undefined;
  const address = canonicalAddress(text);
  const port = Number(digits);
  return address === undefined || port > 65_535 ? undefined : { address, port };
}

// The bytes of an IP address as a certificate states them. Pure.
import { isIP } from 'node:net';
import { AppError } from '../errors.ts';

/** What stands before an IPv4 address in the form of IPv6. */
const mapped = Buffer.from('00000000000000000000ffff', 'hex');

/**
 * The 4 or 16 bytes of an IP address (RFC 5280 section 4.2.1.6). Throws AppError `pki_invalid` for anything else, also for a zone index, and
 * for an IPv4 address in the form of IPv6 (RFC 4291 section 2.5.5.2): some readers take that for the IPv4 address, others do not.
 */
export function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  if (isIP(address) !== 6 || address.includes('%')) {
    throw new AppError('pki_invalid', `"${address}" is not an IP address that a certificate can hold`);
  }
  // The URL parser writes the one canonical form of RFC 5952: hexadecimal groups only, "::" at most once.
  const [left = '', right] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const groups = (text: string): string[] => text.split(':').filter((group) => group !== '');
  const tail = groups(right ?? '');
  const head = groups(left);
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0');
  const bytes = Buffer.from([...head, ...zeros, ...tail].map((group) => group.padStart(4, '0')).join(''), 'hex');
  if (bytes.subarray(0, 12).equals(mapped)) {
    throw new AppError('pki_invalid', `"${address}" is an IPv4 address in the form of IPv6; write it as IPv4`);
  }
  return bytes;
}

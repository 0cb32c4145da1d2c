// The bytes of an IP address as a certificate states them. Pure.
import { isIP } from 'node:net';
import { AppError } from '../errors.ts';

/** The 4 or 16 bytes of an IP address (RFC 5280 section 4.2.1.6). Throws AppError `pki_invalid` for anything else, also for a zone index. */
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
  return Buffer.from([...head, ...zeros, ...tail].map((group) => group.padStart(4, '0')).join(''), 'hex');
}

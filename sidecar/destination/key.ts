// The name of a destination: `<ip>:<port>`, IPv6 in brackets. Also which addresses belong to the cluster. Pure.
import { BlockList, isIP } from 'node:net';

/** The key of a destination, as the control API writes it. An IPv4 address mapped into IPv6 is the IPv4 address. */
export function destinationKey(address: string, port: number): string {
  const plain = unmapped(address);
  return plain.includes(':') ? `[${plain}]:${port}` : `${plain}:${port}`;
}

/** `::ffff:10.0.0.1` as `10.0.0.1`; every other address as it is. */
export function unmapped(address: string): string {
  // Asked for with each connection, and nearly always of IPv4.
  if (!address.startsWith(':')) return address;
  const match = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  return match?.[1] ?? address;
}

/** A test for membership in a set of CIDRs. What is no CIDR is left out. */
export function rangeTest(cidrs: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [address = '', bits = ''] = cidr.split('/');
    const family = isIP(address);
    const prefix = /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN;
    if (family !== 0 && prefix <= (family === 4 ? 32 : 128))
      list.addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6');
  }
  return (address) => {
    const plain = unmapped(address);
    const family = isIP(plain);
    return family !== 0 && list.check(plain, family === 4 ? 'ipv4' : 'ipv6');
  };
}

// Every address of one cluster, derived from the first two octets of its IPv4 range, so that two clusters with two
// ranges never overlap. The IPv6 side is a unique local /48 (RFC 4193) that carries the same two octets.

import { ClusterError } from './failure.ts';

/** The addresses that a cluster uses. All of them live inside its own network namespace but for `hostLink`. */
export interface Addresses {
  /** The node, which is also the pods' gateway: the bridge carries these addresses. */
  readonly node4: string;
  readonly node6: string;
  /** Node and pods share these networks (CIDR). */
  readonly pods4: string;
  readonly pods6: string;
  /** Lengths of the two pod networks' prefixes. */
  readonly podBits4: number;
  readonly podBits6: number;
  /** First and last address that pods may get. */
  readonly podRange4: readonly [string, string];
  readonly podRange6: readonly [string, string];
  /** ClusterIP networks (CIDR). */
  readonly services4: string;
  readonly services6: string;
  /** The Service `kubernetes` and the Service `kube-dns`. */
  readonly apiService4: string;
  readonly apiService6: string;
  readonly dns4: string;
  readonly dns6: string;
  /** The two ends of the veth pair between the host and the cluster's namespace, in a /30. */
  readonly hostLink: string;
  readonly nodeLink: string;
}

/**
 * Derives the addresses from a range such as `10.199`.
 * Fails with a ClusterError when the range is not two octets of a private IPv4 network (RFC 1918).
 */
export function addressesOf(range: string): Addresses {
  const [a, b] = octets(range);
  const v4 = `${a}.${b}`;
  const v6 = `fdab:${((a << 8) | b).toString(16)}:0`;
  return Object.freeze({
    node4: `${v4}.0.1`,
    node6: `${v6}::1`,
    pods4: `${v4}.0.0/20`,
    pods6: `${v6}::/64`,
    podBits4: 20,
    podBits6: 64,
    podRange4: [`${v4}.0.10`, `${v4}.15.250`] as const,
    podRange6: [`${v6}::10`, `${v6}::ffff`] as const,
    services4: `${v4}.128.0/20`,
    services6: `${v6}:80::/112`,
    apiService4: `${v4}.128.1`,
    apiService6: `${v6}:80::1`,
    dns4: `${v4}.128.10`,
    dns6: `${v6}:80::a`,
    hostLink: `${v4}.255.1`,
    nodeLink: `${v4}.255.2`,
  });
}

function octets(range: string): readonly [number, number] {
  const match = /^(\d{1,3})\.(\d{1,3})$/.exec(range);
  const a = Number(match?.[1]);
  const b = Number(match?.[2]);
  const isPrivate = (a === 10 && b <= 255) || (a === 172 && b >= 16 && b <= 31) || (a === 192 && b === 168);
  if (!match || !isPrivate) {
    throw new ClusterError(`the range ${JSON.stringify(range)} is not the first two octets of a private IPv4 network`, {
      advice: 'give two octets such as 10.199, 172.20 or 192.168',
    });
  }
  return [a, b];
}

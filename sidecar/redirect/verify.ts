// Proves the redirect: a real connection to an address outside the pod must arrive at the outbound port, and its original
// destination must read back as what was asked for. From inside a pod nothing can come in over its interface, so of the inbound
// rule it is proved that the kernel holds it where it must be.
import { BlockList, connect, createServer, isIPv6, type Server, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { ports } from '../../lib/api/contract.ts';
import { AppError, messageOf, systemCode } from '../../lib/errors.ts';
import type { OriginalDestinationReader } from '../destination/original.ts';
import { type Exclusions, type Family, NAT_PRIORITY, TABLE } from './rules.ts';

/** What one family's proof showed. `unprovable` says why no connection could be tried; nothing can leave there either. */
export type Proof =
  | { readonly family: Family; readonly outcome: 'captured'; readonly target: string }
  | { readonly family: Family; readonly outcome: 'unprovable'; readonly why: 'no_address' | 'all_excluded' };

/** How to prove. */
export interface ProofOptions {
  readonly family: Family;
  readonly exclusions: Exclusions;
  readonly readOriginal: OriginalDestinationReader;
  /** How long one connection may take to arrive. */
  readonly timeoutMs: number;
}

/** Addresses that nobody has (RFC 5737, RFC 3849): where the rules fail, the attempt reaches no one. */
const documentation: Readonly<Record<Family, readonly string[]>> = {
  ip: ['192.0.2.1', '198.51.100.1', '203.0.113.1'],
  ip6: ['2001:db8::1'],
};
const loopback: Readonly<Record<Family, string>> = { ip: '127.0.0.1', ip6: '::1' };

/**
 * Tries a connection of one family. Throws AppError `redirect_failed` when it goes anywhere but to the outbound port.
 */
export async function proveOutbound(options: ProofOptions): Promise<Proof> {
  const { family, exclusions } = options;
  const own = ownAddresses(family);
  if (!own.includes(loopback[family])) return { family, outcome: 'unprovable', why: 'no_address' };
  const targets = [...documentation[family], ...own.filter((address) => address !== loopback[family])];
  const captured = targets.filter((address) => !isExcluded(address, exclusions.outboundCidrs));
  if (captured.length === 0) return { family, outcome: 'unprovable', why: 'all_excluded' };
  const port = freePort(exclusions.outboundPorts);
  const server = await listen(loopback[family]);
  try {
    for (const address of captured) {
      if (await arrives(server, address, port, options)) return { family, outcome: 'captured', target: address };
    }
  } finally {
    server.close();
  }
  return { family, outcome: 'unprovable', why: 'no_address' };
}

/** True: it arrived with the right original destination. False: this pod has no route to the address, so another is to be tried. */
async function arrives(server: Server, address: string, port: number, options: ProofOptions): Promise<boolean> {
  const arrival = Promise.withResolvers<boolean>();
  const target = isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
  const fail = (what: string): void => {
    arrival.reject(new AppError('redirect_failed', `a test connection to ${target} ${what}; the rules do not hold`));
  };
  const accept = (socket: Socket): void => {
    const original = options.readOriginal(socket);
    socket.resetAndDestroy();
    if (original?.address === address && original.port === port) arrival.resolve(true);
    else fail(`arrived with the original destination ${JSON.stringify(original) ?? 'unknown'}`);
  };
  server.on('connection', accept);
  const client = connect({ host: address, port });
  client.on('error', (error) => {
    // Once connected, a reset is our own `accept` and the outcome is known or about to be.
    const code = systemCode(error);
    if (code === 'ENETUNREACH' || code === 'EHOSTUNREACH' || code === 'EADDRNOTAVAIL') arrival.resolve(false);
    else if (code !== 'ECONNRESET') fail(`failed with ${messageOf(error)}`);
  });
  const timer = setTimeout(() => fail(`did not arrive within ${options.timeoutMs} ms`), options.timeoutMs);
  try {
    return await arrival.promise;
  } finally {
    clearTimeout(timer);
    server.off('connection', accept);
    client.destroy();
  }
}

/**
 * What is missing from the kernel's listing (`nft -j list table`) of one family's table; empty when all is there.
 * Looks at what capture stands on: both NAT chains at their hooks and their last rule, which redirects.
 */
export function missingRules(listing: string): readonly string[] {
  const { nftables } = JSON.parse(listing) as { readonly nftables: readonly Listed[] };
  const wanted = [
    { name: 'inbound', hook: 'prerouting', port: ports.inbound },
    { name: 'outbound', hook: 'output', port: ports.outbound },
  ];
  return wanted
    .filter(({ name, hook, port }) => {
      const chain = nftables.find((each) => each.chain?.name === name && each.chain.table === TABLE)?.chain;
      const last = nftables.filter((each) => each.rule?.chain === name).at(-1)?.rule;
      const hooked = chain?.type === 'nat' && chain.hook === hook && chain.prio === NAT_PRIORITY;
      return !hooked || !last?.expr.some((each) => each.redirect?.port === port);
    })
    .map(({ name }) => name);
}

/** The members of nft's JSON that are looked at (libnftables-json(5)). */
interface Listed {
  readonly chain?: {
    readonly name: string;
    readonly table: string;
    readonly type?: string;
    readonly hook?: string;
    readonly prio?: number;
  };
  readonly rule?: {
    readonly chain: string;
    readonly expr: readonly { readonly redirect?: { readonly port?: number } }[];
  };
}

function ownAddresses(family: Family): readonly string[] {
  const wanted = family === 'ip' ? 'IPv4' : 'IPv6';
  // A link-local address would need its zone and proves nothing that another does not.
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter((each) => each.family === wanted && !each.address.startsWith('fe80:'))
    .map((each) => each.address);
}

function isExcluded(address: string, cidrs: readonly string[]): boolean {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [network = '', bits] = cidr.split('/');
    const type = isIPv6(network) ? 'ipv6' : 'ipv4';
    list.addSubnet(network, bits === undefined ? (type === 'ipv6' ? 128 : 32) : Number(bits), type);
  }
  return list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}

function freePort(excluded: readonly number[]): number {
  let port = 80;
  while (excluded.includes(port)) port += 1;
  return port;
}

async function listen(host: string): Promise<Server> {
  const server = createServer();
  const listening = Promise.withResolvers<void>();
  server.once('error', listening.reject);
  server.listen({ host, port: ports.outbound }, listening.resolve);
  try {
    await listening.promise;
  } catch (cause) {
    throw new AppError(
      'redirect_failed',
      `port ${ports.outbound} of this pod cannot be used (${messageOf(cause)}); no container may listen on it`,
      { cause },
    );
  }
  return server;
}

// The address ranges of the cluster's pods and Services, for sidecars that cannot ask who is at an address: what lies in
// them is refused rather than reached in plaintext. Pure over what the API server tells.
import { BlockList, isIP, isIPv6 } from 'node:net';

/** Where ranges are known from. */
export interface RangeSources {
  /** CIDRs that the administrator names. */
  readonly configured: readonly string[];
  /** spec.cidrs of every ServiceCIDR (Kubernetes >= 1.33). */
  readonly serviceRanges: readonly string[];
  /** spec.podCIDRs of every node. Network plugins with an address management of their own leave them empty or wrong. */
  readonly podRanges: readonly string[];
  /** Addresses of injected pods and of Services, which show where those ranges fall short. */
  readonly addresses: Iterable<string>;
}

/** What is taken around an address that no range covers: as much as a node is usually given. */
const around = { 4: 24, 6: 64 } as const;

/**
 * The ranges, as few as possible, in a stable order. An address outside them all stands for its surroundings: wrong in
 * favour of refusing, and only while the control API is away.
 */
export function clusterRanges({ configured, serviceRanges, podRanges, addresses }: RangeSources): readonly string[] {
  const stated = [...configured, ...serviceRanges, ...podRanges].flatMap((text) => parseRange(text) ?? []);
  const covered = new BlockList();
  for (const range of stated) covered.addSubnet(textOf(range), range.bits, range.family === 4 ? 'ipv4' : 'ipv6');
  const shown = new Map<string, Range>();
  for (const address of addresses) {
    if (isIP(address) === 0 || covered.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')) continue;
    const range = parseRange(`${address}/${around[isIPv6(address) ? 6 : 4]}`);
    if (range !== undefined) shown.set(keyOf(range), range);
  }
  return collapse([...stated, ...shown.values()]).map((range) => `${textOf(range)}/${range.bits}`);
}

/** A range with its address as a number, host bits cleared. */
interface Range {
  readonly family: 4 | 6;
  readonly value: bigint;
  readonly bits: number;
}

const width = { 4: 32, 6: 128 } as const;

function parseRange(text: string): Range | undefined {
  const [address = '', length] = text.split('/');
  const kind = isIP(address);
  if (kind !== 4 && kind !== 6) return undefined;
  const bits = length === undefined ? width[kind] : Number(length);
  if (!Number.isInteger(bits) || bits < 0 || bits > width[kind]) return undefined;
  return masked({ family: kind, value: kind === 4 ? value4(address) : value6(address), bits });
}

function masked({ family, value, bits }: Range): Range {
  const host = BigInt(width[family] - bits);
  return { family, value: (value >> host) << host, bits };
}

function value4(address: string): bigint {
  return address.split('.').reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);
}

function value6(address: string): bigint {
  // An IPv4 tail (::ffff:10.0.0.1) is two groups like any others.
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address.split('%')[0] ?? '');
  const low = tail === null ? 0n : value4(tail[2] ?? '');
  const text =
    tail === null
      ? (address.split('%')[0] ?? '')
      : `${tail[1]}${(low >> 16n).toString(16)}:${(low & 0xffffn).toString(16)}`;
  const [head = '', rest] = text.split('::');
  const groups = (part: string): readonly string[] => (part === '' ? [] : part.split(':'));
  const zeros = rest === undefined ? 0 : 8 - groups(head).length - groups(rest).length;
  const all = [...groups(head), ...Array<string>(zeros).fill('0'), ...groups(rest ?? '')];
  return all.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n);
}

function textOf({ family, value }: Range): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => ((value >> shift) & 0xffn).toString()).join('.');
  const groups = Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - 16 * index)) & 0xffffn).toString(16));
  // The URL parser shortens an address as RFC 5952 wants it.
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

function keyOf({ family, value, bits }: Range): string {
  return `${family} ${value} ${bits}`;
}

/** Drops ranges inside others and joins halves into the whole, again and again. */
function collapse(ranges: readonly Range[]): readonly Range[] {
  const sorted = [...new Map(ranges.map((range) => [keyOf(range), range])).values()].sort(order);
  const kept: Range[] = [];
  for (const range of sorted) {
    const last = kept.at(-1);
    if (last !== undefined && contains(last, range)) continue;
    kept.push(range);
    for (let whole = joined(kept.at(-2), kept.at(-1)); whole !== undefined; whole = joined(kept.at(-2), kept.at(-1))) {
      kept.splice(-2, 2, whole);
    }
  }
  return kept;
}

function order(a: Range, b: Range): number {
  if (a.family !== b.family) return a.family - b.family;
  if (a.value !== b.value) return a.value < b.value ? -1 : 1;
  return a.bits - b.bits;
}

function contains(outer: Range, inner: Range): boolean {
  return (
    outer.family === inner.family &&
    outer.bits <= inner.bits &&
    masked({ ...inner, bits: outer.bits }).value === outer.value
  );
}

function joined(a: Range | undefined, b: Range | undefined): Range | undefined {
  if (a === undefined || b === undefined || a.family !== b.family || a.bits !== b.bits || a.bits === 0)
    return undefined;
  const whole = masked({ ...a, bits: a.bits - 1 });
  return a.value !== b.value && contains(whole, b) ? whole : undefined;
}

// Which endpoints one client gets of a Service that is too large to be sent whole, or that asks for affinity. By rendezvous
// hashing: each client ranks the endpoints in an order of its own, the same on every replica, and an endpoint that comes or goes
// changes only the lists it is in. Pure.
import { createHash } from 'node:crypto';

/** Services up to this many endpoints are sent whole. */
export const wholeUpTo = 100;
/** Endpoints that a client gets of a larger one: plenty for balance and for losing a zone, small enough to send often. */
export const subsetSize = 64;

/** Something with a name that is the same on every replica. */
export interface Ranked<T> {
  readonly item: T;
  /** 32 bits of the hash of the item's name. */
  readonly hash: number;
}

/** 32 bits of a text's SHA-256: an endpoint's name or a client's pod uid. */
export function hashOf(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE(0);
}

/** The `count` items that rank highest for a client, in the order in which they were given. */
export function subset<T>(items: readonly Ranked<T>[], client: number, count: number): readonly T[] {
  if (items.length <= count) return items.map(({ item }) => item);
  const scores = items.map(({ hash }) => mixed(hash ^ client));
  // Ties between 32-bit scores go to the earlier item, so that exactly `count` are taken.
  const order = scores.map((_, index) => index).sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b);
  const chosen = new Set(order.slice(0, count));
  return items.filter((_, index) => chosen.has(index)).map(({ item }) => item);
}

/** A bijection of 32 bits in which every bit of the result depends on every bit given (the finalizer of MurmurHash3). */
function mixed(bits: number): number {
  let mix = bits >>> 0;
  mix = Math.imul(mix ^ (mix >>> 16), 0x85ebca6b);
  mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2ae35);
  return (mix ^ (mix >>> 16)) >>> 0;
}

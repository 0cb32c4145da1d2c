// How long to wait before asking an ACME server again about an object that is in the works. Pure.

/** Looks after which a server is known to take its time, and the pause from then on. */
const manyLooks = 60;
const slowMs = 30_000;

/** The wait before look number `looks` (from 1) at an object that is still in the works; what the server asks for counts up to `mostMs`. */
export function pollMs(looks: number, asked: number | undefined, mostMs: number = 60_000): number {
  if (asked !== undefined) return Math.min(mostMs, Math.max(100, asked));
  return looks > manyLooks ? slowMs : Math.min(5_000, 250 * 2 ** Math.min(looks - 1, 8));
}

// How long to wait before asking an ACME server again about an object that is in the works. Pure.

/** The wait before look number `looks` (from 1) at an object that is still in the works. */
export function pollMs(looks: number, asked: number | undefined): number {
  if (asked !== undefined) return Math.min(60_000, Math.max(100, asked));
  return Math.min(5_000, 250 * 2 ** Math.min(looks - 1, 8));
}

// How long to wait before asking an ACME server again: what it says in Retry-After (RFC 9110 section 10.2.3), within bounds.
// Pure.

/** No server makes us wait longer than this on its word alone. */
const longestMs = 24 * 3_600_000;

/** Milliseconds of a Retry-After header: seconds or a date. Undefined when it is absent or means nothing. */
export function retryAfterMs(header: string | undefined, now: Date): number | undefined {
  const text = header?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Math.min(longestMs, Number(text) * 1_000);
  const at = /[A-Za-z]{3},/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) return undefined;
  return Math.min(longestMs, Math.max(0, at - now.getTime()));
}

/** The wait before look number `looks` (from 1) at an object that is still in the works. */
export function pollMs(looks: number, asked: number | undefined): number {
  if (asked !== undefined) return Math.min(60_000, Math.max(100, asked));
  return Math.min(5_000, 250 * 2 ** Math.min(looks - 1, 8));
}

// The Strict-Transport-Security header (RFC 6797) that a policy asks for. Pure.
import { parseDuration } from '../clock.ts';

/** What a policy says about it. */
export interface HstsSpec {
  /** How long browsers remember. Default 365d. */
  readonly maxAge?: string;
  readonly includeSubDomains?: boolean;
  readonly preload?: boolean;
  /** Says that somebody knows what preload means. */
  readonly preloadConfirmation?: 'HardlyReversible';
}

/** Least time that the preload lists of browsers take: a year. */
const preloadMs = 365 * 86_400_000;
const defaultMaxAge = '365d';

/**
 * Value of the header: `max-age` in seconds, then the flags. `preload` is left out, with a fault, where the lists of browsers would not take
 * the name: it can hardly be taken back, so that nobody gets on one by half a setting. Throws AppError for a `maxAge` that is no duration.
 */
export function hstsValue({
  maxAge = defaultMaxAge,
  includeSubDomains = false,
  preload = false,
  preloadConfirmation,
}: HstsSpec): {
  readonly value: string;
  readonly fault: string | undefined;
} {
  const ms = parseDuration(maxAge);
  const confirmed = preloadConfirmation === 'HardlyReversible';
  const listed = preload && confirmed && includeSubDomains && ms >= preloadMs;
  const flags = [...(includeSubDomains ? ['includeSubDomains'] : []), ...(listed ? ['preload'] : [])];
  return {
    value: [`max-age=${Math.floor(ms / 1_000)}`, ...flags].join('; '),
    fault:
      preload && !listed
        ? 'preload needs includeSubDomains, a maxAge of at least 365d and preloadConfirmation HardlyReversible, and is left out'
        : undefined,
  };
}

// Fetches a key set: HTTPS alone, its server verified, no redirect followed, bounded in time and size. What cannot be had is a sentence.
import type { TokenKey } from '../../lib/api/authentication.ts';
import { jwksLimits, readJwks } from '../../lib/api/jwks.ts';
import type { Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import type { JwksSource } from '../../lib/policy/authentication.ts';
import { HttpsClient } from '../issuers/https.ts';

/** What came of it. */
export type FetchedKeys =
  | {
      readonly ok: true;
      readonly keys: readonly TokenKey[] /** When to look again, milliseconds. */;
      readonly againMs: number;
    }
  | { readonly ok: false; readonly why: string };

/** With what it is fetched. */
export interface FetchDeps {
  readonly clock: Clock;
  readonly userAgent: string;
  /** Names of the hosts that may be asked; empty = any. */
  readonly hosts: readonly string[];
}

const timeoutMs = 10_000;

/** A set is looked at again after what its server says (Cache-Control: max-age), within these bounds. */
export const refresh = { leastMs: 60_000, usualMs: 300_000, mostMs: 3_600_000 } as const;

/** Fetches the keys of a source. Rejects only with the signal's reason. */
export async function fetchJwks(source: JwksSource, deps: FetchDeps, signal: AbortSignal): Promise<FetchedKeys> {
  const url = urlOf(source.url);
  if (url === undefined) return { ok: false, why: 'jwksUri is not an https URL without user and password' };
  const { clock, userAgent, hosts } = deps;
  if (hosts.length > 0 && !hosts.includes(url.hostname)) {
    return { ok: false, why: `${url.hostname} is not among the hosts that the operator may ask (value jwks.hosts)` };
  }
  const trust = source.caBundle === undefined ? undefined : Buffer.from(source.caBundle, 'base64').toString('utf8');
  const client = new HttpsClient({ clock, userAgent, trust, timeoutMs, maximumBytes: jwksLimits.bytes });
  try {
    const headers = { accept: 'application/jwk-set+json, application/json' };
    const { status, body, headers: answered } = await client.send({ method: 'GET', url, headers }, signal);
    if (status !== 200) return { ok: false, why: `${url.origin}${url.pathname} answers with status ${status}` };
    const read = readJwks(body);
    if (!read.ok) return { ok: false, why: `${url.origin}${url.pathname} has no usable key set: ${read.why}` };
    return { ok: true, keys: read.keys, againMs: againMs(answered['cache-control']) };
  } catch (error) {
    signal.throwIfAborted();
    return { ok: false, why: messageOf(error) };
  } finally {
    client.close();
  }
}

/** How long a set is good by its Cache-Control (RFC 9111 section 5.2.2), within bounds. */
export function againMs(cacheControl: string | undefined): number {
  const text = cacheControl?.toLowerCase() ?? '';
  if (/\bno-(?:cache|store)\b/.test(text)) return refresh.leastMs;
  const seconds = /(?:^|[\s,])max-age="?(\d{1,9})/.exec(text)?.[1];
  if (seconds === undefined) return refresh.usualMs;
  return Math.min(refresh.mostMs, Math.max(refresh.leastMs, Number(seconds) * 1_000));
}

function urlOf(text: string): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url?.protocol === 'https:' && url.username === '' && url.password === '' ? url : undefined;
}

// When to renew and when to try again. Pure and deterministic: the same certificate has the same moments on every replica
// and after every restart.
import { createHash } from 'node:crypto';
import { BACKDATE_MS } from '../../lib/pki/ca.ts';
import { backoffMs } from '../../lib/runtime/backoff.ts';

/** Points of percent that a renewal may come earlier than stated, so that services made together do not renew together. */
export const jitterPoints = 10;

/** What the times of a certificate follow from. */
export interface Times {
  readonly serial: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** When a certificate was issued: notBefore lies back by a fixed time, and may be cut at the CA's own beginning. */
export function issuedAt({ notBefore, notAfter }: Times): Date {
  return new Date(Math.min(notBefore.getTime() + BACKDATE_MS, notAfter.getTime()));
}

/**
 * When to renew: at `renewAt` percent of the time from issue to notAfter, minus 0 to 10 points drawn from the serial; never
 * by more than half of `renewAt`, so that a low setting does not become a loop of renewals.
 */
export function renewalTime(times: Times, renewAt: number): Date {
  const issuedMs = issuedAt(times).getTime();
  const points = renewAt - Math.min(jitterPoints, renewAt / 2) * fraction(times.serial);
  return new Date(Math.floor(issuedMs + ((times.notAfter.getTime() - issuedMs) * points) / 100));
}

/** However late a CA's window lies: the last tenth of a life is for things that go wrong. */
const latestPart = 0.9;

/** The moment that the CA wishes (RFC 9773) if it has one, else the policy's part of the life; never in the last tenth. */
export function renewalMoment(times: Times, renewAt: number, advisedAt: Date | undefined): Date {
  const startMs = times.notBefore.getTime();
  const latestMs = startMs + (times.notAfter.getTime() - startMs) * latestPart;
  const wishedMs = (advisedAt ?? renewalTime(times, renewAt)).getTime();
  return new Date(Math.min(wishedMs, latestMs));
}

/** What the wait before another try follows from. */
export interface RetryRequest {
  /** Failures in a row, from 1. */
  readonly failures: number;
  /** Until the certificate in use expires; 0 or less when there is none that is valid. */
  readonly remainingMs: number;
  /** Any text; spreads the waits of different services. */
  readonly seed: string;
}

/**
 * The wait before the next try: from 5 s, doubling, up to five minutes but never more than a twentieth of the remaining
 * life, so that twenty tries fit before it matters. Without a valid certificate, when pods wait: from 1 s up to 30 s.
 */
export function retryWaitMs({ failures, remainingMs, seed }: RetryRequest): number {
  const waiting = remainingMs <= 0;
  const maxMs = waiting ? 30_000 : Math.max(100, Math.min(300_000, remainingMs / 20));
  const initialMs = Math.min(waiting ? 1_000 : 5_000, maxMs);
  return backoffMs(failures, { initialMs, maxMs, jitter: 0.4 }, fraction(`${seed} ${failures}`));
}

const firstOutsideMs = 30_000;
const longestOutsideMs = 3_600_000;

/**
 * The wait before an issuer outside of the mesh is asked again: from half a minute, doubling, up to an hour. Public CAs count failed
 * validations. While a certificate still holds, twenty tries fit into what is left of it.
 */
export function outsideWaitMs({ failures, remainingMs }: Omit<RetryRequest, 'seed'>): number {
  const leftMs = remainingMs <= 0 ? Infinity : remainingMs;
  const maxMs = Math.max(firstOutsideMs, Math.min(longestOutsideMs, leftMs / 20));
  return backoffMs(failures, { initialMs: firstOutsideMs, maxMs, jitter: 0 });
}

/** A number from 0 up to but not including 1 that follows from a text alone. */
function fraction(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE(0) / 2 ** 32;
}

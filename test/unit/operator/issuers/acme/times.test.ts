// Retry-After, the pauses between looks, and renewal information.
import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { certificateId, lookAgainMs, momentIn, parseWindow } from '../../../../../operator/issuers/acme/ari.ts';
import { pollMs } from '../../../../../operator/issuers/acme/waits.ts';
import { retryAfterMs } from '../../../../../operator/issuers/https.ts';

const now = new Date('2026-11-22T10:00:00Z');

describe('Retry-After', () => {
  test.each<readonly [string | undefined, number | undefined]>([
    [undefined, undefined],
    ['', undefined],
    ['120', 120_000],
    ['0', 0],
    [' 5 ', 5_000],
    ['-1', undefined],
    ['1.5', undefined],
    ['soon', undefined],
    ['Sun, 22 Nov 2026 10:01:00 GMT', 60_000],
    ['Sun, 22 Nov 2026 09:00:00 GMT', 0],
    ['999999999', 86_400_000],
    ['99999999999', undefined],
  ])('%p is %p milliseconds', (header, ms) => {
    expect(retryAfterMs(header, now)).toBe(ms);
  });
});

describe('the pause before another look', () => {
  test('grows by itself, and is what the server says within bounds', () => {
    expect([1, 2, 3, 20, 100].map((looks) => pollMs(looks, undefined))).toEqual([250, 500, 1_000, 5_000, 30_000]);
    expect([0, 3_000, 7_200_000].map((asked) => pollMs(1, asked))).toEqual([100, 3_000, 60_000]);
    expect(pollMs(1, 7_200_000, 3_600_000)).toBe(3_600_000);
  });
});

/** The certificate of RFC 9773 appendix A. */
const example = `-----BEGIN CERTIFICATE-----
MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt
cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu
7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf
qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B
yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb
+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK
-----END CERTIFICATE-----`;

describe('renewal information', () => {
  test('names a certificate as RFC 9773 appendix A does', () => {
    expect(certificateId(new X509Certificate(example))).toBe('aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE');
  });

  test.each<readonly [unknown, boolean]>([
    [{ suggestedWindow: { start: '2026-11-01T00:00:00Z', end: '2026-11-02T00:00:00Z' } }, true],
    [{ suggestedWindow: { start: '2026-11-02T00:00:00Z', end: '2026-11-01T00:00:00Z' } }, false],
    [{ suggestedWindow: { start: '2026-11-02T00:00:00Z', end: '2026-11-02T00:00:00Z' } }, false],
    [{ suggestedWindow: { start: 'now', end: 'later' } }, false],
    [{ suggestedWindow: { start: 1, end: 2 } }, false],
    [{}, false],
    ['window', false],
    [null, false],
  ])('%j is a window: %p', (document, isWindow) => {
    expect(parseWindow(document) !== undefined).toBe(isWindow);
  });

  test('gives each certificate a moment of its own in the window, always the same', () => {
    const window = { start: new Date('2026-11-01T00:00:00Z'), end: new Date('2026-11-03T00:00:00Z') };
    const moments = ['01', '02', '03', '04'].map((serial) => momentIn(window, serial).getTime());
    expect(new Set(moments).size).toBe(4);
    expect(momentIn(window, '01').getTime()).toBe(moments[0]);
    for (const at of moments) {
      expect(at).toBeGreaterThanOrEqual(window.start.getTime());
      expect(at).toBeLessThan(window.end.getTime());
    }
  });

  test('is looked at again when the server says, from a minute to a day, every six hours if it does not', () => {
    expect([undefined, 0, 7_200_000, 1e12].map((ms) => lookAgainMs(ms))).toEqual([
      21_600_000, 60_000, 7_200_000, 86_400_000,
    ]);
  });
});

// When a CA is asked about renewal, and what is made of its answers and of its silence.
import { describe, expect, test } from '@jest/globals';
import { Advice } from '../../../../operator/certificates/advice.ts';
import { alpnCertificate } from '../../../../operator/issuers/acme/alpn.ts';
import type { Issuer } from '../../../../operator/issuers/issuer.ts';
import type { Renewal, RenewalAdvice } from '../../../../operator/issuers/renewal.ts';
import { kubeDeps } from '../../../support/kubedeps.ts';

const { signal } = new AbortController();
const hour = 3_600_000;

/** Advice of an issuer that answers so, and how often it was asked. */
function open(answer: (asked: number) => Promise<Renewal | undefined>) {
  const { clock, logger } = kubeDeps();
  let asked = 0;
  const issuer: Issuer & RenewalAdvice = {
    state: () => ({ ready: false, reason: 'IssuerNotReady', message: '' }),
    sign: () => Promise.reject(new Error('not asked for')),
    renewal: () => {
      asked += 1;
      return answer(asked);
    },
  };
  const advice = new Advice(clock, logger);
  const { certificate: chain } = alpnCertificate('shop.example.com', 'x', clock.now());
  const of = (more: Partial<{ chain: string; issuer: Issuer }> = {}) =>
    advice.of('shop/web', { chain, issuer, ...more }, signal);
  return { clock, advice, of, asked: () => asked, chain };
}

describe('advice', () => {
  const at = (day: number): Date => new Date(Date.UTC(2026, 5, day));

  test('is asked for as often as the CA says, and holds in between', async () => {
    const { clock, of, asked, advice } = open((count) => Promise.resolve({ renewAt: at(count), againMs: 6 * hour }));
    expect(await of()).toEqual(at(1));
    expect(await of()).toEqual(at(1));
    expect(asked()).toBe(1);
    expect(advice.dueMs('shop/web')).toBe(clock.now().getTime() + 6 * hour);
    await clock.advance(6 * hour);
    expect(await of()).toEqual(at(2));
  });

  test('that cannot be had leaves what was known, and is asked for again in an hour', async () => {
    const failing = (count: number): Promise<Renewal> =>
      count === 1 ? Promise.resolve({ renewAt: at(1), againMs: hour }) : Promise.reject(new Error('down'));
    const { clock, of, asked } = open(failing);
    await of();
    await clock.advance(hour);
    expect(await of()).toEqual(at(1));
    await clock.advance(hour - 1);
    expect(await of()).toEqual(at(1));
    expect(asked()).toBe(2);
    await clock.advance(1);
    await of();
    expect(asked()).toBe(3);
  });

  test('stays what it was while the issuer is away', async () => {
    const { clock, of, advice, chain, asked } = open(() => Promise.resolve({ renewAt: at(1), againMs: hour }));
    expect(advice.kept('shop/web')).toBeUndefined();
    await of();
    await clock.advance(2 * hour);
    const away = { ready: false, reason: 'IssuerNotReady', message: 'it is away' } as const;
    expect(await advice.of('shop/web', { chain, issuer: away }, signal)).toEqual(at(1));
    expect(advice.kept('shop/web')).toEqual(at(1));
    expect(asked()).toBe(1);
  });

  test('is about one certificate: a new one is asked for at once', async () => {
    const { clock, of, asked } = open(() => Promise.resolve({ renewAt: at(1), againMs: hour }));
    await of();
    await of({ chain: alpnCertificate('shop.example.com', 'y', clock.now()).certificate });
    expect(asked()).toBe(2);
  });

  test('of issuers that have none is none', async () => {
    const { of } = open(() => Promise.resolve(undefined));
    expect(await of()).toBeUndefined();
    const { of: silent } = open(() => Promise.resolve(undefined));
    const issuer: Issuer = {
      state: () => ({ ready: false, reason: 'IssuerNotReady', message: '' }),
      sign: () => Promise.reject(new Error('not asked for')),
    };
    expect(await silent({ issuer })).toBeUndefined();
  });
});

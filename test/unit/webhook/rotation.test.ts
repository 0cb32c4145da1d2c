import { describe, expect, test } from '@jest/globals';
import { type CaFacts, nextStep, type ServingFacts, type ServingStep } from '../../../webhook/rotation.ts';

const hourMs = 3_600_000;
const now = new Date('2026-06-01T00:00:00Z');
const at = (hours: number) => new Date(now.getTime() + hours * hourMs);
const ca = (fingerprint: string, madeAt: number, notAfter: number): CaFacts => ({
  fingerprint,
  madeAt: at(madeAt),
  notAfter: at(notAfter),
});

const fresh: ServingFacts = {
  current: ca('one', -10, 90),
  next: undefined,
  previous: [],
  leaf: { madeAt: at(-2), notAfter: at(10), isRight: true },
};

describe('nextStep', () => {
  test.each<{ name: string; facts: ServingFacts | undefined; published?: readonly string[]; step: ServingStep }>([
    { name: 'nothing is there', facts: undefined, step: 'create' },
    { name: 'all is young', facts: fresh, step: 'keep' },
    { name: 'the CA has ended', facts: { ...fresh, current: ca('one', -100, -1) }, step: 'create' },
    { name: 'the CA ends at this moment', facts: { ...fresh, current: ca('one', -100, 0) }, step: 'create' },
    {
      name: 'two thirds of the certificate have passed',
      facts: { ...fresh, leaf: { madeAt: at(-8), notAfter: at(4), isRight: true } },
      step: 'renew',
    },
    {
      name: 'a little less of the certificate has passed',
      facts: { ...fresh, leaf: { madeAt: at(-7.9), notAfter: at(4.1), isRight: true } },
      step: 'keep',
    },
    {
      name: 'the certificate has other names or another CA',
      facts: { ...fresh, leaf: { ...fresh.leaf, isRight: false } },
      step: 'renew',
    },
    { name: 'two thirds of the CA have passed', facts: { ...fresh, current: ca('one', -60, 30) }, step: 'prepare' },
    { name: 'the next CA is not told to the API server', facts: { ...fresh, next: ca('two', -5, 95) }, step: 'keep' },
    {
      name: 'the next CA is told, but not for long enough',
      facts: { ...fresh, next: ca('two', -0.9, 95) },
      published: ['one', 'two'],
      step: 'keep',
    },
    {
      name: 'the next CA is told for long enough',
      facts: { ...fresh, next: ca('two', -1, 95) },
      published: ['one', 'two'],
      step: 'promote',
    },
    {
      name: 'a second CA is not followed by a third',
      facts: { ...fresh, current: ca('one', -60, 30), next: ca('two', -5, 95) },
      step: 'keep',
    },
    {
      name: 'the new CA has not signed for long',
      facts: { ...fresh, previous: [ca('old', -90, 5)], leaf: { ...fresh.leaf, madeAt: at(-0.5) } },
      step: 'keep',
    },
    { name: 'the new CA has signed for long enough', facts: { ...fresh, previous: [ca('old', -90, 5)] }, step: 'drop' },
    {
      name: 'an old CA has ended',
      facts: { ...fresh, previous: [ca('old', -90, -1)], leaf: { ...fresh.leaf, madeAt: at(-0.5) } },
      step: 'drop',
    },
  ])('$name: $step', ({ facts, published = ['one'], step }) => {
    expect(nextStep(facts, new Set(published), now, { overlapMs: hourMs })).toBe(step);
  });
});

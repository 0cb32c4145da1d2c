// What a policy says of the sinks that it names.
import { expect, test } from '@jest/globals';
import { SinkOutcomes, type SinkState } from '../../../../operator/delivery/sinks/outcomes.ts';
import { publishedCondition } from '../../../../operator/delivery/sinks/status.ts';

const failing: SinkState = { kind: 'failing', reason: 'Refused', message: 'AWS does not let us' };
const held: SinkState = { kind: 'held' };

/** The condition of a policy with sinks `aws` and `vault`, for services of `shop`. */
function condition(states: Readonly<Record<string, SinkState>>, services = ['web']): string {
  const outcomes = new SinkOutcomes();
  for (const [key, state] of Object.entries(states)) {
    const [service = '', sink = ''] = key.split(' ');
    outcomes.note(`shop/${service}`, sink, state);
  }
  const { status, reason, message } =
    publishedCondition(['aws', 'vault'], { namespace: 'shop', services }, outcomes) ?? {};
  return `${status} ${reason}: ${message}`;
}

test.each<readonly [string, Readonly<Record<string, SinkState>>, string]>([
  ['nothing was tried yet', {}, 'Unknown Publishing: 2 of 2 are still to be published'],
  ['one of two is there', { 'web aws': held }, 'Unknown Publishing: 1 of 2 are still to be published'],
  [
    'both are there',
    { 'web aws': held, 'web vault': held },
    'True Published: every sink holds the current certificates',
  ],
  ['one fails', { 'web aws': failing, 'web vault': held }, 'False SinkRefused: web, sink "aws": AWS does not let us'],
])('%s', (_name, states, wanted) => {
  expect(condition(states)).toBe(wanted);
});

test('names a few services and counts the rest', () => {
  const services = ['a', 'b', 'c', 'd', 'e'];
  const states = Object.fromEntries(services.map((name) => [`${name} aws`, failing]));
  expect(condition(states, services)).toMatch(/^False SinkRefused: a, .*; b, .*; c, .*; and 2 more$/);
});

test('says nothing where no sink is named', () => {
  expect(publishedCondition([], { namespace: 'shop', services: ['web'] }, new SinkOutcomes())).toBeUndefined();
});

test('tells of changes alone', () => {
  const outcomes = new SinkOutcomes();
  const told: string[] = [];
  outcomes.subscribe((key) => told.push(key));
  for (const state of [failing, failing, held, held]) outcomes.note('shop/web', 'aws', state);
  outcomes.forget('shop/web', 'aws');
  outcomes.forget('shop/web', 'aws');
  expect(told).toEqual(['shop/web', 'shop/web', 'shop/web']);
});

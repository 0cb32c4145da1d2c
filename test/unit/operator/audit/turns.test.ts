import { beforeEach, expect, test } from '@jest/globals';
import type { AuditRecord } from '../../../../operator/audit/audit.ts';
import { Turns } from '../../../../operator/audit/turns.ts';

const records: AuditRecord[] = [];
let turns: Turns;
const actions = () => records.map(({ action, issuer, reason }) => `${action} ${issuer} ${reason}`);

beforeEach(() => {
  records.length = 0;
  turns = new Turns({ record: (entry) => void records.push(entry) });
});

test('a pause and its end are recorded when they come, not when a leader begins', () => {
  for (const paused of [true, true, false, false, true]) turns.note('cluster', { paused, refused: undefined });
  expect(actions()).toEqual(['CaResumed cluster spec.rotation.paused', 'CaPaused cluster spec.rotation.paused']);
});

test('a CA that is refused is recorded once for each thing that is wrong with it', () => {
  const wrong = (message: string) => ({ paused: false, refused: { reason: 'AuthorityBroken', message } });
  for (const message of ['a', 'a', 'b']) turns.note('shop', wrong(message));
  turns.note('shop', { paused: false, refused: undefined });
  turns.note('shop', wrong('b'));
  expect(records.map(({ note }) => note)).toEqual(['a', 'b', 'b']);
  expect(new Set(actions())).toEqual(new Set(['CaRefused shop AuthorityBroken']));
});

test('issuers are told apart', () => {
  turns.note('one', { paused: false, refused: undefined });
  turns.note('two', { paused: true, refused: undefined });
  turns.note('one', { paused: true, refused: undefined });
  expect(actions()).toEqual(['CaPaused one spec.rotation.paused']);
});

// Every requirement of RFC 9110 and RFC 9112 that binds who receives, answers or forwards messages: the vectors of test/support/http1/rfc through a gate,
// whole and in pieces. docs/http-conformance.md says the same in words; `make golden` writes it.
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { AnswerFields } from '../../../../sidecar/http1/edits.ts';
import { defaultHeadLimits } from '../../../../sidecar/http1/fields.ts';
import { type Broken, Http1Gate } from '../../../../sidecar/http1/gate.ts';
import { forbidden, unauthenticated } from '../../../../sidecar/http1/replies.ts';
import { lend, PlayedHalf } from '../../../support/http1/application.ts';
import { conformancePage } from '../../../support/http1/rfc/page.ts';
import { rfcs } from '../../../support/http1/rfc/rfcs.ts';
import type { Ends, Vector } from '../../../support/http1/rfc/vector.ts';

const page = resolve(import.meta.dirname, '../../../../docs/http-conformance.md');
const noToken = { status: 401, challenge: 'Bearer', reason: 'denied', detail: 'token_required' } as const;
const hsts = new AnswerFields([{ name: 'Strict-Transport-Security', value: 'max-age=60' }]);

function throughGate({ sent, says, hangsUp, hsts: fields }: Vector, size: number) {
  const application = new PlayedHalf();
  const broken: Broken[] = [];
  const client = { got: '', ends: 'open' as Ends };
  const gate = new Http1Gate(application, {
    limits: defaultHeadLimits,
    headTimeoutMs: 10_000,
    bodyTimeoutMs: 300_000,
    now: () => new Date('2026-11-02T09:08:07Z'),
    answerFields: fields === true ? hsts : undefined,
    deny: ({ target }) =>
      target === '/no' ? forbidden('denied') : target === '/token' ? unauthenticated(noToken) : undefined,
    broken: (each) => broken.push(each),
  });
  gate.start({
    data: (bytes) => void (client.got += Buffer.from(bytes).toString('latin1')),
    ended: () => void (client.ends = 'in order'),
    drained: () => undefined,
    closed: () => void (client.ends = 'cut'),
  });
  for (let at = 0; at < sent.length; at += size) lend(sent.slice(at, at + size), (bytes) => gate.write(bytes, true));
  for (const each of says) application.says(each, size);
  if (hangsUp === 'application') application.events?.ended();
  if (hangsUp === 'client') gate.end();
  // As real halves do.
  if (application.calls.includes('reset')) application.events?.closed('reset');
  gate.destroy();
  return { through: application.got, answered: client.got, ends: client.ends, broken, calls: application.calls };
}

function expectOutcome(vector: Vector, size: number): void {
  const { sent, says, outcome } = vector;
  const { through, answered, ends, broken, calls } = throughGate(vector, size);
  switch (outcome.kind) {
    case 'passes':
      expect({ through, answered, ends }).toEqual({
        through: outcome.through ?? sent,
        answered: outcome.answered ?? says.join(''),
        ends: outcome.ends ?? 'open',
      });
      return;
    case 'refused':
      expect(answered.slice(0, 13)).toBe(`HTTP/1.1 ${outcome.status} `);
      expect({ ends, broken, calls }).toEqual({
        ends: 'in order',
        broken: [{ side: 'request', rule: outcome.rule }],
        calls: ['reset', 'destroy'],
      });
      // Of a body that goes wrong the beginning may have passed.
      expect(sent.includes('\r\n\r\n') && through !== '' ? sent.startsWith(through) : through === '').toBe(true);
      expect(through).not.toBe(sent);
      return;
    case 'bad answer':
      expect(answered.slice(0, 13)).toBe('HTTP/1.1 502 ');
      expect({ ends, broken, calls }).toEqual({
        ends: 'in order',
        broken: [{ side: 'response', rule: outcome.rule }],
        calls: ['reset', 'destroy'],
      });
      return;
    case 'own':
      expect({ through, status: answered.slice(9, 12), ends, broken }).toEqual({
        through: '',
        status: String(outcome.status),
        ends: outcome.ends,
        broken: [],
      });
      for (const part of outcome.has) expect(answered).toContain(part);
      return;
    default:
      outcome satisfies never;
  }
}

describe.each(rfcs)('RFC $number', ({ number, rules, sections, others }) => {
  const vectors = rules.flatMap(({ section, rule, vectors: all }) => all.map((each) => ({ section, rule, ...each })));

  test.each(vectors)('$section $rule: $what', (vector) => {
    const isLong = vector.sent.length + vector.says.join('').length > 5_000;
    for (const size of isLong ? [997, 1_000_000] : [1, 2, 7, 1_000_000]) expectOutcome(vector, size);
  });

  test('has every section that requires something either among the rules or among those for others', () => {
    const told = new Set([...rules.map(({ section }) => section), ...others.flatMap(({ sections: all }) => all)]);
    expect([...told].sort()).toEqual([...sections].sort());
  });

  test('has no rule without vectors or a reason, and none that is not just kept without a reason', () => {
    const bare = rules.filter(
      ({ stand, why = '', vectors: all }) => (stand !== 'kept' && why === '') || (all.length === 0 && why === ''),
    );
    expect(bare.map(({ section, rule }) => `RFC ${number} ${section}: ${rule}`)).toEqual([]);
  });

  test('has no two vectors of one rule with the same name', () => {
    const names = vectors.map(({ section, rule, what }) => `${section} ${rule}: ${what}`);
    expect(names).toHaveLength(new Set(names).size);
  });
});

test('docs/http-conformance.md says what the vectors show', () => {
  const text = conformancePage(rfcs);
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(page, text);
  expect(readFileSync(page, 'utf8')).toBe(text);
});

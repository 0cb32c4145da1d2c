// Requests whose verdict comes later, as of those with a token that was not seen before: whatever is sent in whatever pieces, what comes out of the gate
// is what went in, in its order, each request asked for once to its end, and nothing is held once the client is gone.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { defaultHeadLimits } from '../../../../sidecar/http1/fields.ts';
import { Http1Gate } from '../../../../sidecar/http1/gate.ts';
import { unauthenticated } from '../../../../sidecar/http1/replies.ts';
import { lend, PlayedHalf } from '../../../support/http1/application.ts';
import { runs, runsTimeout } from '../../../support/runs.ts';

const refusal = { status: 401, challenge: 'Bearer', reason: 'token_required', detail: 'x' } as const;
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** What is asked, and what becomes of it: how many turns its verdict takes, whether it is let in, whether its token is taken out. */
const asked = fc.record({
  body: fc.string({ maxLength: 200 }).map((text) => text.replace(/[^ -~]/g, 'x')),
  turns: fc.integer({ min: 0, max: 3 }),
  good: fc.boolean(),
  strip: fc.boolean(),
});
type Asked = typeof asked extends fc.Arbitrary<infer T> ? T : never;
const sizes = fc.array(fc.integer({ min: 1, max: 120 }), { minLength: 1, maxLength: 8 });

const headOf = ({ body, good }: Asked, index: number, token: string): string =>
  // The body of what is refused is not waited for, so refused requests have none here.
  `POST /${index} HTTP/1.1\r\nHost: web\r\n${token}Content-Length: ${good ? body.length : 0}\r\nX-Last: 1\r\n\r\n`;
const textOf = (each: Asked, index: number): string =>
  headOf(each, index, `Authorization: Bearer ${index}\r\n`) + (each.good ? each.body : '');
const expectedOf = (each: Asked, index: number): string =>
  each.strip ? headOf(each, index, '') + each.body : textOf(each, index);

function setUp(list: readonly Asked[]) {
  const application = new PlayedHalf();
  const client = { got: '', closed: false, drained: 0 };
  const left = list.map(({ turns }) => turns);
  const over: string[] = [];
  let current: Asked | undefined;
  const gate = new Http1Gate(application, {
    limits: defaultHeadLimits,
    headTimeoutMs: 10_000,
    bodyTimeoutMs: 300_000,
    deny: ({ target }) => {
      const index = Number(target.slice(1));
      const each = list[index];
      current = each;
      if ((left[index] ?? 0) > 0) {
        left[index] = (left[index] ?? 0) - 1;
        return Promise.resolve();
      }
      return each?.good === true ? undefined : unauthenticated(refusal);
    },
    stripped: () => (current?.strip === true ? 'authorization' : undefined),
    over: ({ target, status }) => void over.push(`${target} ${status}`),
  });
  gate.start({
    data: (bytes) => void (client.got += Buffer.from(bytes).toString('latin1')),
    ended: () => undefined,
    drained: () => void (client.drained += 1),
    closed: () => void (client.closed = true),
  });
  return { gate, application, client, over };
}

function* pieces(text: string, lengths: readonly number[]): Generator<string> {
  for (let at = 0, index = 0; at < text.length; index += 1) {
    const length = lengths[index % lengths.length] ?? 1;
    yield text.slice(at, at + length);
    at += length;
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a gate whose verdicts come later', () => {
  test(
    'lets through what it should, as it came, and answers everything in order',
    async () => {
      const lists = fc.array(asked, { minLength: 1, maxLength: 5 });
      await fc.assert(
        fc.asyncProperty(lists, sizes, fc.boolean(), async (list, lengths, patient) => {
          const { gate, application, client, over } = setUp(list);
          const through = list.map(expectedOf).filter((_, index) => list[index]?.good === true);
          let answered = 0;
          const answer = (): void => {
            while (
              answered < through.length &&
              application.got.length === through.slice(0, answered + 1).join('').length
            ) {
              answered += 1;
              application.says(ok);
            }
          };
          for (const piece of pieces(list.map(textOf).join(''), lengths)) {
            lend(piece, (bytes) => gate.write(bytes, true));
            if (patient) await turn();
            answer();
          }
          for (let rest = 0; rest < 50 && over.length < list.length; rest += 1) {
            await turn();
            answer();
          }
          expect(application.got).toBe(through.join(''));
          expect(over).toEqual(list.map(({ good }, index) => `/${index} ${good ? 200 : 401}`));
          const statuses = [...client.got.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
          expect(statuses).toEqual(list.map(({ good }) => (good ? '200' : '401')));
          expect(gate.queued).toBe(0);
          gate.destroy();
        }),
        runs(200),
      );
    },
    runsTimeout(60_000),
  );

  test('lets nothing through for a client that has gone meanwhile', async () => {
    const each: Asked = { body: 'body', turns: 1, good: true, strip: false };
    for (const leave of ['reset', 'abort', 'destroy'] as const) {
      const { gate, application } = setUp([each]);
      lend(textOf(each, 0), (bytes) => gate.write(bytes, true));
      gate[leave]();
      await turn();
      expect(application.got).toBe('');
    }
  });

  test('holds the client back while it waits, and lets it go on after', async () => {
    const each: Asked = { body: 'body', turns: 1, good: true, strip: false };
    const { gate, application, client } = setUp([each]);
    let room = true;
    lend(textOf(each, 0), (bytes) => void (room = gate.write(bytes, true)));
    expect([room, application.got]).toEqual([false, '']);
    await turn();
    expect([client.drained, application.got]).toEqual([1, textOf(each, 0)]);
    gate.destroy();
  });
});

// Whatever is sent in whatever pieces: what comes out of a gate is what went in, and nothing that went in breaks it.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Exchange } from '../../../../sidecar/exchange.ts';
import { defaultHeadLimits } from '../../../../sidecar/http1/fields.ts';
import { type Broken, Http1Gate } from '../../../../sidecar/http1/gate.ts';
import { lend, PlayedHalf } from '../../../support/http1/application.ts';
import { smugglingCorpus } from '../../../support/http1/corpus.ts';
import { runs, runsTimeout } from '../../../support/runs.ts';

const octets = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  maxLength: 300,
});
const token = fc.string({ unit: fc.constantFrom(...Array.from('abcXYZ09-!~')), minLength: 1, maxLength: 12 });
const value = fc.string({ unit: fc.constantFrom(...Array.from('abc 09\t\x80\xff,;="')), maxLength: 30 });
const fields = fc
  .array(fc.tuple(token, value), { maxLength: 6 })
  .map((list) => list.map(([name, text]) => `x-${name}: ${text}\r\n`).join(''));

const counted = octets.map((body) => `Content-Length: ${body.length}\r\n\r\n${body}`);
const chunked = fc
  .tuple(
    fc.array(
      octets.filter(({ length }) => length > 0),
      { maxLength: 4 },
    ),
    fields,
  )
  .map(([chunks, trailers]) => {
    const data = chunks
      .map((chunk, index) => `${chunk.length.toString(16)}${index % 2 === 0 ? ';e="x"' : ''}\r\n${chunk}\r\n`)
      .join('');
    return `Transfer-Encoding: chunked\r\n\r\n${data}0\r\n${trailers}\r\n`;
  });
const framed = fc.oneof(counted, chunked);

const request = fc
  .tuple(fc.constantFrom('POST', 'PUT', 'GET', 'ODD-1'), fields, framed)
  .map(([method, more, rest]) => `${method} /x?y HTTP/1.1\r\nHost: web\r\n${more}${rest}`);
const interim = fc.constantFrom('', 'HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n');
const answer = fc
  .tuple(interim, fc.constantFrom('200 OK', '404', '500 No no'), fields, framed)
  .map(([before, status, more, rest]) => `${before}HTTP/1.1 ${status}\r\n${more}${rest}`);
const sizes = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 20 });

interface Watched {
  readonly gate: Http1Gate;
  readonly application: PlayedHalf;
  readonly over: Exchange[];
  readonly broken: Broken[];
  readonly client: { got: string; closed: boolean };
}

function watched(): Watched {
  const application = new PlayedHalf();
  const [over, broken]: [Exchange[], Broken[]] = [[], []];
  const client = { got: '', closed: false };
  const gate = new Http1Gate(application, {
    limits: defaultHeadLimits,
    headTimeoutMs: 10_000,
    bodyTimeoutMs: 300_000,
    over: (each) => over.push(each),
    broken: (each) => broken.push(each),
  });
  gate.start({
    data: (bytes) => void (client.got += Buffer.from(bytes).toString('latin1')),
    ended: () => undefined,
    drained: () => undefined,
    closed: () => void (client.closed = true),
  });
  return { gate, application, over, broken, client };
}

/** The text in pieces whose sizes come round and round. */
function* pieces(text: string, lengths: readonly number[]): Generator<string> {
  for (let at = 0, index = 0; at < text.length; index += 1) {
    const length = lengths[index % lengths.length] ?? 1;
    yield text.slice(at, at + length);
    at += length;
  }
}

describe('through a gate', () => {
  test(
    'requests and answers come out as they went in, however they are split and however early they are sent',
    () => {
      const exchanges = fc.array(fc.tuple(request, answer), { minLength: 1, maxLength: 4 });
      fc.assert(
        fc.property(exchanges, sizes, sizes, (list, up, down) => {
          const { gate, application, client, over, broken } = watched();
          const requests = list.map(([each]) => each);
          const answers = list.map(([, each]) => each);
          let answered = 0;
          const answerIfAsked = (): void => {
            while (
              answered < list.length &&
              application.got.length === requests.slice(0, answered + 1).join('').length
            ) {
              const text = answers[answered] ?? '';
              answered += 1;
              for (const piece of pieces(text, down)) application.says(piece);
            }
          };
          for (const piece of pieces(requests.join(''), up)) {
            lend(piece, (bytes) => gate.write(bytes, true));
            answerIfAsked();
          }
          expect(broken).toEqual([]);
          expect(application.got).toBe(requests.join(''));
          expect(client.got).toBe(answers.join(''));
          expect(over).toHaveLength(list.length);
          gate.destroy();
        }),
        runs(300),
      );
    },
    runsTimeout(60_000),
  );

  test(
    'nothing that a client makes up gets past its first broken rule, and nothing breaks the gate',
    () => {
      // An offer of HTTP/2 is taken out; whatever else there is goes on as it is.
      const tricks = fc.constantFrom(...smugglingCorpus.filter((text) => !text.includes('h2c')));
      const noise = fc.tuple(fc.nat(), octets, fc.nat({ max: 20 }));
      fc.assert(
        fc.property(fc.oneof(tricks, request), noise, sizes, (base, [where, dirt, gone], up) => {
          const at = where % (base.length + 1);
          const text = base.slice(0, at) + dirt.slice(0, gone) + base.slice(at + (gone % 3));
          const { gate, application, broken, client } = watched();
          for (const piece of pieces(text, up)) lend(piece, (bytes) => gate.write(bytes, true));
          // What came through is what was sent, from the first octet (or behind one empty line) to where it stopped.
          expect(text.replace(/^\r\n/, '').startsWith(application.got) || text.startsWith(application.got)).toBe(true);
          if (broken.length > 0) expect(client.got).toMatch(/^HTTP\/1\.1 4\d\d /);
          expect(broken.length).toBeLessThan(2);
          gate.destroy();
        }),
        runs(1_000),
      );
    },
    runsTimeout(60_000),
  );

  test(
    'nothing that an application makes up reaches the client as anything but the beginning of what it said, or 502',
    () => {
      fc.assert(
        fc.property(fc.oneof(answer, octets), octets, fc.nat(), sizes, (base, dirt, where, down) => {
          const at = where % (base.length + 1);
          const text = base.slice(0, at) + dirt + base.slice(at);
          const { gate, application, broken, client } = watched();
          lend('GET / HTTP/1.1\r\nHost: web\r\n\r\n', (bytes) => gate.write(bytes, true));
          for (const piece of pieces(text, down)) application.says(piece);
          const said = broken.length > 0 ? client.got.split('HTTP/1.1 502 Bad Gateway\r\n')[0] : client.got;
          expect(text.startsWith(said ?? '')).toBe(true);
          gate.destroy();
        }),
        runs(500),
      );
    },
    runsTimeout(60_000),
  );
});

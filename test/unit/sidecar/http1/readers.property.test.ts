// The readers of heads and of bodies beside second ones (test/support/http1/secondreader.ts): whatever is made up, both say the same. Octets are ordinary
// messages with dirt in them, since noise alone never gets past the first line.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Body } from '../../../../sidecar/http1/body.ts';
import { defaultHeadLimits } from '../../../../sidecar/http1/fields.ts';
import { headEnd, RequestHead, ResponseHead } from '../../../../sidecar/http1/head.ts';
import { smugglingCorpus } from '../../../support/http1/corpus.ts';
import { chunksBy, refused, requestBy, responseBy } from '../../../support/http1/secondreader.ts';
import { runs, runsTimeout } from '../../../support/runs.ts';

const name = fc.constantFrom(
  'Host',
  'Content-Length',
  'Transfer-Encoding',
  'Connection',
  'Upgrade',
  'Expect',
  'X',
  'X_Y',
  'cOnTeNt-LeNgTh',
  'transfer-encoding',
  'Content-Length ',
  ' X',
  '',
);
const value = fc.constantFrom(
  'web',
  'WEB:80',
  '5',
  '05',
  '+5',
  '5, 5',
  '0',
  '9007199254740993',
  'chunked',
  'Chunked',
  'gzip, chunked',
  'chunked,',
  'close',
  'keep-alive, Upgrade',
  'Host',
  'websocket',
  'h2c, x/1',
  '100-continue',
  '',
  '\xff',
  'a\0b',
  'a\rb',
  'a\nb',
);
const blanks = fc.constantFrom('', ' ', '\t', '  ', ' \t ');
const line = fc
  .tuple(name, blanks, value, blanks)
  .map(([one, before, other, after]) => `${one}:${before}${other}${after}`);
const ending = fc.constantFrom('\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\n', '\r\n ');
const fields = fc
  .array(fc.tuple(line, ending), { maxLength: 5 })
  .map((all) => all.map(([one, end]) => one + end).join(''));
const first = fc.oneof(
  fc.constant('GET / HTTP/1.1'),
  fc
    .tuple(
      fc.constantFrom('GET', 'POST', 'get', 'CONNECT', 'OPTIONS', 'G T', ''),
      fc.constantFrom(
        '/',
        '/a?b',
        '*',
        'web:80',
        'web:0',
        'http://web/',
        'http://web',
        'https://other/x',
        '/\xe9',
        '/a#b',
        'a',
        '',
      ),
      fc.constantFrom('HTTP/1.1', 'HTTP/1.0', 'HTTP/1.2', 'HTTP/2.0', 'http/1.1', 'HTTP/1.1 '),
      fc.constantFrom(' ', ' ', ' ', '  ', '\t'),
    )
    .map(([method, target, version, blank]) => `${method}${blank}${target} ${version}`),
);
/** One octet in place of another, put in or taken out, or none of that. */
const dirt = fc.option(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }), fc.nat({ max: 1 }), fc.nat({ max: 1 })), {
  nil: undefined,
});
type Dirt = readonly [number, number, number, number] | undefined;

function soil(text: string, with_: Dirt): string {
  if (with_ === undefined) return text;
  const [where, code, put, taken] = with_;
  const at = where % (text.length + 1);
  return text.slice(0, at) + (put === 1 ? String.fromCharCode(code) : '') + text.slice(at + taken);
}

/** The first head in the octets, with its blank line; undefined when there is none. */
function headIn(octets: string): string | undefined {
  const end = octets.indexOf('\r\n\r\n');
  return end === -1 ? undefined : octets.slice(0, end + 4);
}

describe('beside a second reader', () => {
  test(
    'heads of requests mean the same',
    () => {
      const whole = fc.tuple(first, fields).map(([one, rest]) => `${one}\r\n${rest}\r\n`);
      const withHost = fc.tuple(first, fields).map(([one, rest]) => `${one}\r\nHost: web\r\n${rest}\r\n`);
      const reader = new RequestHead();
      let [good, bad] = [0, 0];
      fc.assert(
        fc.property(fc.oneof(whole, withHost, withHost, fc.constantFrom(...smugglingCorpus)), dirt, (made, spot) => {
          const octets = headIn(soil(made, spot));
          if (octets === undefined) return;
          const bytes = Buffer.from(octets, 'latin1');
          expect(headEnd(bytes, 0, 0)).toBe(bytes.length);
          const rule = reader.read(bytes, 0, bytes.length, defaultHeadLimits);
          const {
            method,
            target,
            host,
            body,
            length,
            last,
            fields: { upgrade },
          } = reader;
          const said = rule === undefined ? { ok: true, method, target, host, body, length, last, upgrade } : refused;
          expect(said).toEqual(requestBy(octets));
          if (said.ok) good += 1;
          else bad += 1;
        }),
        runs(3_000),
      );
      // Of both there are enough to mean something.
      expect(Math.min(good, bad)).toBeGreaterThan(200);
    },
    runsTimeout(60_000),
  );

  test(
    'heads of answers mean the same',
    () => {
      const status = fc.constantFrom(
        'HTTP/1.1 200 OK',
        'HTTP/1.0 200 OK',
        'HTTP/1.1 204',
        'HTTP/1.1 304 x',
        'HTTP/1.1 100 ',
        'HTTP/1.1 101 y',
        'HTTP/1.1 600 z',
        'HTTP/1.1 20 OK',
        'HTTP/1.2 200 OK',
      );
      const whole = fc.tuple(status, fields).map(([one, rest]) => `${one}\r\n${rest}\r\n`);
      const reader = new ResponseHead();
      const limits = { ...defaultHeadLimits, refuseUnderscores: false };
      let [good, bad] = [0, 0];
      fc.assert(
        fc.property(whole, dirt, fc.constantFrom('GET', 'HEAD', 'CONNECT'), (made, spot, asked) => {
          const octets = headIn(soil(made, spot));
          if (octets === undefined) return;
          const bytes = Buffer.from(octets, 'latin1');
          const rule = reader.read(bytes, 0, bytes.length, { method: asked, limits });
          const { body, length, last } = reader;
          const said = rule === undefined ? { ok: true, body, length, last } : refused;
          expect(said).toEqual(responseBy(octets, asked));
          if (said.ok) good += 1;
          else bad += 1;
        }),
        runs(3_000),
      );
      expect(Math.min(good, bad)).toBeGreaterThan(200);
    },
    runsTimeout(60_000),
  );

  test(
    'chunks end where they end, at every split',
    () => {
      const data = fc.string({
        unit: fc.constantFrom('a', '\r', '\n', '0', ';', '\0', '\xff'),
        minLength: 1,
        maxLength: 20,
      });
      const extension = fc.constantFrom('', '', ';a', ';a="b;c"', ';', ' ;a', ';\x7f');
      const chunk = fc
        .tuple(data, extension, fc.nat({ max: 2 }))
        .map(([each, more, zeros]) => `${'0'.repeat(zeros)}${each.length.toString(16)}${more}\r\n${each}\r\n`);
      const trailer = fc.constantFrom(
        '',
        '',
        'X: a\r\n',
        'X:\r\nY: b\r\n',
        'Host: web\r\n',
        'X : a\r\n',
        ' X: a\r\n',
        'te: a\r\n',
      );
      const body = fc
        .tuple(fc.array(chunk, { maxLength: 4 }), trailer)
        .map(([all, rest]) => `${all.join('')}0\r\n${rest}\r\n`);
      const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 6 });
      let [ended, broken] = [0, 0];
      fc.assert(
        fc.property(body, dirt, sizes, (made, spot, lengths) => {
          const octets = `${soil(made, spot)}GET / HTTP/1.1\r\n`;
          const reader = new Body();
          reader.begin('chunked', 0);
          let at = 0;
          for (let index = 0; at < octets.length && !reader.done && reader.broken === undefined; index += 1) {
            const end = Math.min(octets.length, at + (lengths[index % lengths.length] ?? 1));
            at = reader.take(Buffer.from(octets, 'latin1'), at, end);
          }
          const end = chunksBy(octets);
          if (end === undefined) broken += 1;
          else ended += 1;
          expect({ done: reader.done, at: reader.done ? at : undefined }).toEqual({ done: end !== undefined, at: end });
          // Who neither ends nor breaks a rule waits for more, and has taken everything.
          if (end === undefined && reader.broken === undefined) expect(at).toBe(octets.length);
        }),
        runs(3_000),
      );
      expect(Math.min(ended, broken)).toBeGreaterThan(200);
    },
    runsTimeout(60_000),
  );
});

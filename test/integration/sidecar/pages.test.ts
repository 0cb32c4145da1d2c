// The pages of Node's own file in a process that lives: let go, and there again for whatever needs them.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, test } from '@jest/globals';
import { leashed } from '../../../hack/leash.ts';

const pages = resolve(import.meta.dirname, '../../../sidecar/pages.ts');

/** Works, lets go, looks, and works again: the same, and what has not run before. */
const program = `
  import { createHash, generateKeyPairSync, sign, verify } from 'node:crypto';
  import { readFileSync } from 'node:fs';
  import { brotliCompressSync, brotliDecompressSync } from 'node:zlib';
  import { forgetPages, programSpans } from ${JSON.stringify(pages)};
  const ofFilesKb = () => Number(/RssFile:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'latin1'))[1]);
  const hash = () => createHash('sha256').update('tabard').digest('hex');
  const spans = programSpans();
  const [first, beforeKb] = [hash(), ofFilesKb()];
  forgetPages(spans);
  const afterKb = ofFilesKb();
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const isSigned = verify('sha256', Buffer.from('x'), publicKey, sign('sha256', Buffer.from('x'), privateKey));
  const zipped = brotliDecompressSync(brotliCompressSync('tabard')).toString();
  globalThis.gc({ type: 'major', execution: 'sync' });
  for (let again = 0; again < 5; again += 1) forgetPages(spans);
  const parts = new Intl.DateTimeFormat('de', { timeZone: 'UTC' }).format(0);
  console.log(JSON.stringify({ spans: spans.length, givenKb: beforeKb - afterKb, same: first === hash(), isSigned, zipped, parts }));
`;

test('a process lets go of the pages of its program and goes on', async () => {
  const child = spawn(
    ...leashed(process.execPath, [
      '--disable-warning=ExperimentalWarning',
      '--expose-gc',
      '--input-type=module',
      '-e',
      program,
    ]),
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const [said, failure, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  expect({ code, failure }).toEqual({ code: 0, failure: '' });
  const { spans, givenKb, ...rest } = JSON.parse(said) as Readonly<Record<string, unknown>>;
  expect(rest).toEqual({ same: true, isSigned: true, zipped: 'tabard', parts: '1.1.1970' });
  // Code, and the constants before and after it; the kernel may have cut them into more.
  expect(spans).toBeGreaterThan(1);
  // Some thirty megabytes were mapped, and a few are there again for the look at them.
  expect(givenKb).toBeGreaterThan(4_000);
});

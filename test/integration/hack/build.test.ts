import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { buildBundles } from '../../../hack/build.ts';

jest.setTimeout(60_000);

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tabard-build-'));
  symlinkSync(resolve(import.meta.dirname, '../../../node_modules'), join(root, 'node_modules'));
});

afterEach(() => rmSync(root, { recursive: true }));

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

const greeting = `
  import { pino } from 'pino';
  const text: string = 'hello';
  pino({ base: null, timestamp: false }, pino.destination({ fd: 1, sync: true })).info(text);
`;

describe('buildBundles', () => {
  test('puts a program and its CommonJS packages into one file that runs alone', async () => {
    write('sidecar/main.ts', greeting);
    const [bundle] = await buildBundles({ root, programs: ['sidecar'] });
    expect(bundle).toMatchObject({ program: 'sidecar', path: join(root, 'dist/sidecar.js') });
    rmSync(join(root, 'node_modules'));
    write('dist/package.json', '{"type":"module"}');
    expect(execFileSync(process.execPath, [bundle?.path ?? ''], { encoding: 'utf8' })).toBe(
      '{"level":30,"msg":"hello"}\n',
    );
    expect(readFileSync(join(root, 'dist/sidecar.LICENSES.txt'), 'utf8')).toMatch(/^==== pino /m);
  });

  test('keeps to ASCII, so that the text of a program takes one byte per character of memory', async () => {
    write('sidecar/main.ts', "console.log('a – b');");
    const [bundle] = await buildBundles({ root, programs: ['sidecar'] });
    const text = readFileSync(bundle?.path ?? '', 'latin1');
    expect(text.match(/[\u0080-\u00ff]/g)).toBeNull();
    write('dist/package.json', '{"type":"module"}');
    expect(execFileSync(process.execPath, [bundle?.path ?? ''], { encoding: 'utf8' })).toBe('a – b\n');
  });

  test('leaves what has not changed as it is', async () => {
    write('sidecar/main.ts', greeting);
    const times = async (): Promise<number[]> => {
      await buildBundles({ root, programs: ['sidecar'] });
      return readdirSync(join(root, 'dist')).map((name) => statSync(join(root, 'dist', name)).mtimeMs);
    };
    expect(await times()).toEqual(await times());
  });

  test('bundles what is there and names each entry point that is not', async () => {
    write('sidecar/main.ts', 'export {};');
    await expect(buildBundles({ root })).rejects.toMatchObject({
      code: 'input_invalid',
      message: expect.stringMatching(
        /operator\/main\.ts \(operator\.js\), webhook\/main\.ts .*sidecar\/redirect\/main\.ts/,
      ),
    });
    expect(readdirSync(join(root, 'dist'))).toContain('sidecar.js');
  });

  test('names the file and the place when a source does not compile', async () => {
    write('sidecar/main.ts', "import './absent.ts';");
    await expect(buildBundles({ root, programs: ['sidecar'] })).rejects.toThrow(/sidecar\/main\.ts:1:7.*absent/s);
  });
});

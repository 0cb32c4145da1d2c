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

  test('takes of client-node what reads kubeconfigs, without its models', async () => {
    write(
      'operator/main.ts',
      `import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
      const config = new KubeConfig();
      config.loadFromClusterAndUser({ name: 'c', server: 'https://10.0.0.1', skipTLSVerify: true }, { name: 'u', token: 't' });
      const options = {};
      await config.applyToHTTPSOptions(options);
      const dispatcher = await new Promise((setDispatcher) => {
        const rest = { setHeaderParam: () => undefined, setAgent: () => undefined };
        config.applySecurityAuthentication({ ...rest, setDispatcher });
      });
      console.log(config.getCurrentCluster().server, options.headers.Authorization, typeof dispatcher.dispatch);`,
    );
    const [bundle] = await buildBundles({ root, programs: ['operator'] });
    write('dist/package.json', '{"type":"module"}');
    rmSync(join(root, 'node_modules'));
    const said = execFileSync(process.execPath, [bundle?.path ?? ''], { encoding: 'utf8' });
    expect(said).toBe('https://10.0.0.1 Bearer t function\n');
    expect(readFileSync(bundle?.path ?? '', 'utf8')).not.toContain('V1PodSpec');
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

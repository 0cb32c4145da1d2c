// The demo stays up until it is told to end, also where no terminal holds the process.
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { leashed } from '../../../hack/leash.ts';
import { systemClock } from '../../../lib/clock.ts';

const stay = resolve(import.meta.dirname, '../../../hack/demo/stay.ts');
const program = `
  import { stay } from '${stay}';
  const stop = new AbortController();
  process.on('SIGINT', () => stop.abort(new Error('interrupted')));
  console.log('waiting');
  await stay(stop.signal);
  console.log('ended in order');
`;

describe('the demo', () => {
  test('stays until Ctrl-C, with nothing else to do, and then goes on to its end', async () => {
    const child = spawn(...leashed(process.execPath, ['--input-type=module', '--eval', program]), {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    const waiting = Promise.withResolvers<void>();
    child.stdout.on('data', (data: Buffer) => {
      said += data.toString();
      waiting.resolve();
    });
    const ended = new Promise<number | null>((done) => child.on('exit', done));
    await Promise.race([waiting.promise, ended]);
    await systemClock.sleep(500);
    expect(child.exitCode).toBeNull();
    child.kill('SIGINT');
    expect(await ended).toBe(0);
    expect(said).toBe('waiting\nended in order\n');
  }, 30_000);
});

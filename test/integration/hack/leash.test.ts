// A test run that is killed leaves nothing running: what it started ends with it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, jest, test } from '@jest/globals';
import { startTimeOf, waitUntil } from '../../../hack/cluster/process.ts';
import { leashed } from '../../../hack/leash.ts';

// A control plane is compiled the first time.
jest.setTimeout(900_000);

const root = resolve(import.meta.dirname, '../../..');

/** A test run in small: an API server, an operator and a server of somebody else. Prints their process numbers. */
const run = `
  import { startControlPlane } from ${JSON.stringify(join(root, 'hack/cluster/api.ts'))};
  import { pidOf } from ${JSON.stringify(join(root, 'hack/cluster/process.ts'))};
  import { startDaemon } from ${JSON.stringify(join(root, 'test/support/daemon.ts'))};
  import { startOperatorProcess } from ${JSON.stringify(join(root, 'test/support/operator.ts'))};
  const plane = await startControlPlane();
  const home = { pids: plane.logs.replace(/logs$/, 'pids'), logs: plane.logs };
  const { kubeconfig } = plane;
  const operator = startOperatorProcess({ name: 'o', namespace: 'default', kubeconfig });
  const server = await startDaemon({ program: 'sleep', args: ['3600'], ready: () => Promise.resolve(true) });
  const cluster = ['etcd', 'kube-apiserver'].map((name) => pidOf(name, home));
  console.log(JSON.stringify([operator.pid, server.pid, ...cluster]));
`;

describe('a process on a leash', () => {
  test('ends with the one that started it, also when that is killed without a word', async () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', run], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
    const pids = JSON.parse(line) as readonly number[];
    const living = (): readonly number[] => pids.filter((pid) => startTimeOf(pid) !== undefined);
    expect(living()).toHaveLength(4);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await waitUntil(() => living().length === 0, 60_000);
    expect(living()).toEqual([]);
  });

  test('is the program itself: its number, its signals, its exit code', async () => {
    const child = spawn(...leashed('sh', ['-c', 'echo $$; exit 7']), { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    const [line] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
    expect([Number(line), await exited]).toEqual([child.pid, [7, null]]);
  });

  test('does not begin when the one that started it is gone already', async () => {
    const [program, args] = leashed('echo', ['ran']);
    // Whoever starts it now is not the one whose number is in the command.
    const child = spawn('sh', ['-c', '"$0" "$@"; echo "exit $?"', program, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [said] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
    expect(said).toBe('exit 1\n');
  });
});

describe('the tests', () => {
  test('start processes on a leash, all of them', () => {
    const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.ts'),
    );
    // The one who outlives the run on purpose, and this test's own run in small.
    const known = ['support/e2e/janitor.ts', 'integration/hack/leash.test.ts'];
    const loose = files.filter((name) =>
      /\b(?:spawn|fork)\((?![^;]*\bleashed\()/.test(readFileSync(join(root, 'test', name), 'utf8')),
    );
    expect(loose.sort()).toEqual(known.sort());
  });
});

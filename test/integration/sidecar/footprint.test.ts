// What an idle sidecar costs, as it is deployed: the bundle, with the options of its command line. Prints what it measured.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { buildBundles } from '../../../hack/build.ts';
import { leashed } from '../../../hack/leash.ts';
import { testLeaf } from '../../support/pki.ts';
import { Mesh, until } from '../../support/pocketmesh.ts';
import type { SelfOptions } from '../../support/sidecar.ts';
import { sidecarEnvironment } from '../../support/sidecarenv.ts';

/** docs/data-path.md, "Memory". */
const options = [
  '--disable-warning=ExperimentalWarning',
  '--no-maglev',
  '--v8-pool-size=1',
  '--max-semi-space-size=2',
  '--expose-gc',
];

let mesh: Mesh;
let folder: string;

beforeEach(async () => {
  mesh = await Mesh.start();
  folder = mkdtempSync(join(tmpdir(), 'tabard-footprint-'));
  mesh.onEnd(() => rmSync(folder, { recursive: true }));
});
afterEach(() => mesh.end());

/** Megabytes of the process: all that is resident, and of it what is no file's. */
function memoryOf(pid: number | undefined): { readonly residentMb: number; readonly ownMb: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const read = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1024;
  return { residentMb: read('VmRSS'), ownMb: read('RssAnon') };
}

// The language of conditions is a file of its own, which the first rule with a condition has it load.
const asking: SelfOptions = {
  authorization: { form: 1, rules: [{ name: 'a', effect: 'Allow', when: 'destination.port == 1' }] },
};

test.each<readonly [string, SelfOptions, number]>([
  // Its own. The rest are pages of Node's file, in pieces as large as the kernel likes at that moment.
  ['an idle sidecar', {}, 22],
  ['an idle sidecar whose rules have conditions', asking, 32],
])(
  '%s is small',
  async (what, self, mostMb) => {
    const [bundle] = await buildBundles({ programs: ['sidecar', 'cel'], folder });
    const leaf = await testLeaf(mesh.authority, { service: 'web' });
    writeFileSync(join(folder, 'tls.crt'), leaf.certificate);
    writeFileSync(join(folder, 'tls.key'), leaf.key);
    writeFileSync(join(folder, 'ca.crt'), leaf.bundle);
    mesh.tell('web', self);
    const start = performance.now();
    const child = spawn(...leashed(process.execPath, [...options, bundle?.path ?? '']), {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: sidecarEnvironment(mesh.control, { tls: folder, state: join(folder, 'state') }),
    });
    mesh.onEnd(() => child.kill('SIGKILL'));
    let log = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
    await until(() => log.includes('"policy in use"'), 'it is ready', 20_000);
    const readyMs = performance.now() - start;
    // The memory that only the start needed is given back in the first quiet second.
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    await until(() => memoryOf(child.pid).ownMb < mostMb, `it has less than ${mostMb} MB of its own`, 40_000);
    const { residentMb, ownMb } = memoryOf(child.pid);
    console.log(
      `${what}: ready after ${readyMs.toFixed(0)} ms (bar: 400 ms on an idle core), ${residentMb.toFixed(1)} MB resident when idle (bar: 60 MB), ${ownMb.toFixed(1)} of it its own`,
    );
    expect(log).not.toContain('conditions of rules cannot be judged');
  },
  90_000,
);

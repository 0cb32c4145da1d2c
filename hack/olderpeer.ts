// Makes the sidecar of an earlier commit that today's is tested against, as peers one version apart meet in a rollout: bundled by today's
// bundler from the sources of then, minified and compressed, so that tests need neither the history nor a release.
// `node hack/olderpeer.ts <commit>` writes test/data/peers; run it once for each release, with the release's commit.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { transform } from 'esbuild';
import { buildBundles } from './build.ts';

const checkout = resolve(import.meta.dirname, '..');
const data = join(checkout, 'test/data/peers');

/** What is said of the peer beside it (peer.json). */
export interface OlderPeer {
  readonly commit: string;
  /** Day of the commit. */
  readonly date: string;
  /** Of the bundle, uncompressed. */
  readonly sha256: string;
}

async function make(wish: string): Promise<OlderPeer> {
  const git = (...args: readonly string[]): Buffer =>
    execFileSync('git', ['-C', checkout, ...args], { maxBuffer: 2 ** 28 });
  const [commit = '', date = ''] = git('log', '-1', '--format=%H %cs', wish).toString().trim().split(' ');
  const folder = mkdtempSync(join(tmpdir(), 'tabard-older-'));
  try {
    execFileSync('tar', ['-x', '-C', folder], { input: git('archive', commit, 'lib', 'sidecar', 'package.json') });
    symlinkSync(join(checkout, 'node_modules'), join(folder, 'node_modules'));
    const [bundle] = await buildBundles({ programs: ['sidecar'], root: folder });
    const text = readFileSync(bundle?.path ?? '', 'utf8');
    const { code } = await transform(text, { minify: true, format: 'esm', target: 'node26', charset: 'ascii' });
    mkdirSync(data, { recursive: true });
    writeFileSync(join(data, 'sidecar.js.gz'), gzipSync(code, { level: 9 }));
    writeFileSync(join(data, 'LICENSES.txt'), readFileSync(join(folder, 'dist/sidecar.LICENSES.txt')));
    const peer = { commit, date, sha256: createHash('sha256').update(code).digest('hex') };
    writeFileSync(join(data, 'peer.json'), `${JSON.stringify(peer, undefined, 2)}\n`);
    return peer;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const [, , wish] = process.argv;
if (wish === undefined) {
  process.stderr.write('usage: node hack/olderpeer.ts <commit>\n');
  process.exitCode = 1;
} else {
  const { commit, date, sha256 } = await make(wish);
  process.stdout.write(`the sidecar of ${commit.slice(0, 12)} (${date}), SHA-256 ${sha256}\n`);
}

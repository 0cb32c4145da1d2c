// Container images as one archive that is both an OCI image layout and a docker archive: `ctr images import`, `docker load`,
// `podman load` and skopeo read it. No engine is needed to write it, and the same layers give the same bytes.
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { run } from '../cluster/run.ts';
import type { Layer } from './layer.ts';

/** What a container of the image starts with, as the OCI image specification calls it. */
export interface ImageConfig {
  readonly User?: string;
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Env?: readonly string[];
  readonly WorkingDir?: string;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  readonly Labels?: Readonly<Record<string, string>>;
}

/** What an image is made of. */
export interface ImageRequest {
  /** `<registry>/<name>`, without a tag. */
  readonly repository: string;
  /** Tags beside the one made of the content. The first names the archive's image for people. */
  readonly tags: readonly string[];
  readonly layers: readonly Layer[];
  readonly config: ImageConfig;
  /** Path of the archive. */
  readonly archive: string;
}

/** An image on disk. */
export interface Image {
  /** `<repository>:<tag made of the content>`: never the same for another content, so `IfNotPresent` is always right. */
  readonly reference: string;
  /** All references under which the archive can be used, `reference` first. */
  readonly references: readonly string[];
  readonly archive: string;
  readonly layers: readonly Layer[];
  /** Of the manifest. */
  readonly digest: string;
  /** All layers, uncompressed. */
  readonly bytes: number;
  /** All layers as a registry would store them. */
  readonly compressedBytes: number;
}

const EPOCH = '1970-01-01T00:00:00Z';
const media = {
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
} as const;
const TIMEOUT_MS = 300_000;

/** Writes the archive, in one step, and describes the image. */
export async function writeImage(request: ImageRequest): Promise<Image> {
  const { repository, tags, layers, archive } = request;
  const config = blobOf(configText(request), media.config);
  const manifest = blobOf(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: media.manifest,
      config: config.descriptor,
      layers: layers.map(({ digest, bytes }) => ({ mediaType: media.layer, digest, size: bytes })),
    }),
    media.manifest,
  );
  // Not the digits alone: YAML and Helm would take some of them for a number.
  const references = [`c-${hex(config.descriptor.digest).slice(0, 12)}`, ...tags].map((tag) => `${repository}:${tag}`);
  await mkdir(dirname(archive), { recursive: true });
  const work = await mkdtemp(`${archive}.`);
  try {
    await mkdir(join(work, 'blobs/sha256'), { recursive: true });
    // A layer is large and is not copied. Nor is it linked hard: that changes the file for another image's tar, which then gives up.
    for (const { path, digest } of layers) await symlink(path, join(work, blobPath(digest)));
    for (const { descriptor, text } of [config, manifest])
      await writeFile(join(work, blobPath(descriptor.digest)), text);
    await writeFile(join(work, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
    await writeFile(join(work, 'index.json'), indexText(references, manifest.descriptor));
    await writeFile(join(work, 'manifest.json'), dockerText(references, config.descriptor, layers));
    await packArchive(work, archive);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  const [reference = ''] = references;
  return {
    reference,
    references,
    archive,
    layers,
    digest: manifest.descriptor.digest,
    bytes: layers.reduce((sum, layer) => sum + layer.bytes, 0),
    compressedBytes: layers.reduce((sum, layer) => sum + layer.compressedBytes, 0),
  };
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

function blobOf(text: string, mediaType: string): { readonly descriptor: Descriptor; readonly text: string } {
  const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`;
  return { text, descriptor: { mediaType, digest, size: Buffer.byteLength(text) } };
}

const hex = (digest: string): string => digest.slice('sha256:'.length);
const blobPath = (digest: string): string => `blobs/sha256/${hex(digest)}`;

function configText({ layers, config }: ImageRequest): string {
  return JSON.stringify({
    created: EPOCH,
    architecture: 'amd64',
    os: 'linux',
    config,
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
    history: layers.map(({ createdBy }) => ({ created: EPOCH, created_by: createdBy })),
  });
}

/** One entry per reference; containerd reads the first annotation, other tools the second. */
function indexText(references: readonly string[], descriptor: Descriptor): string {
  const manifests = references.map((reference) => ({
    ...descriptor,
    annotations: {
      'io.containerd.image.name': reference,
      'org.opencontainers.image.ref.name': reference.slice(reference.lastIndexOf(':') + 1),
    },
  }));
  return JSON.stringify({ schemaVersion: 2, mediaType: media.index, manifests });
}

function dockerText(references: readonly string[], config: Descriptor, layers: readonly Layer[]): string {
  return JSON.stringify([
    {
      Config: blobPath(config.digest),
      RepoTags: references,
      Layers: layers.map(({ digest }) => blobPath(digest)),
    },
  ]);
}

async function packArchive(folder: string, archive: string): Promise<void> {
  const draft = `${folder}.tar`;
  const fixed = ['--owner=0', '--group=0', '--numeric-owner', '--mtime=@0', '--sort=name', '--format=ustar'];
  const members = ['oci-layout', 'index.json', 'manifest.json', 'blobs'];
  await run(
    'tar',
    ['-C', folder, ...fixed, '--mode=u=rwX,go=rX', '--dereference', '--hard-dereference', '-cf', draft, ...members],
    {
      timeoutMs: TIMEOUT_MS,
    },
  );
  await rename(draft, archive);
}

// `make image`: builds the image and says what it is and how large. With `--rootfs FOLDER` it only fills FOLDER/0, FOLDER/1, …
// with the files of each layer: what the Containerfile copies.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { messageOf } from '../../lib/errors.ts';
import { buildImage } from './build.ts';
import { layerRequests } from './rootfs.ts';

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

async function archive(): Promise<void> {
  const started = performance.now();
  const image = await buildImage();
  for (const { createdBy, digest, bytes } of image.layers) {
    process.stdout.write(`${digest.slice(7, 19)}  ${megabytes(bytes).padStart(9)}  ${createdBy}\n`);
  }
  process.stdout.write(`${megabytes(image.bytes)} unpacked, ${megabytes(image.compressedBytes)} compressed\n`);
  for (const reference of image.references) process.stdout.write(`${reference}\n`);
  process.stdout.write(`${image.archive} in ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
}

async function rootfs(folder: string): Promise<void> {
  process.umask(0o022);
  for (const [index, { createdBy, fill }] of (await layerRequests()).entries()) {
    const layer = join(folder, String(index));
    await mkdir(layer, { recursive: true });
    await fill(layer);
    process.stdout.write(`${layer}: ${createdBy}\n`);
  }
}

try {
  const { values } = parseArgs({ options: { rootfs: { type: 'string' } } });
  await (values.rootfs === undefined ? archive() : rootfs(values.rootfs));
} catch (error) {
  process.stderr.write(`the image was not built: ${messageOf(error)}\n`);
  process.exitCode = 1;
}

// `make image`: builds the image and says what it is and how large.
import { messageOf } from '../../lib/errors.ts';
import { buildImage } from './build.ts';

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

try {
  const started = performance.now();
  const image = await buildImage();
  for (const { createdBy, digest, bytes } of image.layers) {
    process.stdout.write(`${digest.slice(7, 19)}  ${megabytes(bytes).padStart(9)}  ${createdBy}\n`);
  }
  process.stdout.write(`${megabytes(image.bytes)} unpacked, ${megabytes(image.compressedBytes)} compressed\n`);
  for (const reference of image.references) process.stdout.write(`${reference}\n`);
  process.stdout.write(`${image.archive} in ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
} catch (error) {
  process.stderr.write(`the image was not built: ${messageOf(error)}\n`);
  process.exitCode = 1;
}

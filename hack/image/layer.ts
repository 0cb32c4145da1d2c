// Layers of container images as tar files. Order, times and owners are fixed: the same folder gives the same bytes.
// Layers that are costly to fill are kept in the cache under a key of everything that went into them.
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { cacheFolder } from '../cluster/cache.ts';
import { run } from '../cluster/run.ts';

/** An uncompressed layer on disk. */
export interface Layer {
  readonly path: string;
  /** `sha256:<hex>` of the tar: its digest and, as it is not compressed, also its diff id. */
  readonly digest: string;
  readonly bytes: number;
  /** What a registry would store, gzip level 6. */
  readonly compressedBytes: number;
  /** For the image's history. */
  readonly createdBy: string;
}

// GNU tar; all else that could differ between two runs or two machines is in these.
const FIXED = ['--owner=0', '--group=0', '--numeric-owner', '--mtime=@0', '--sort=name', '--format=gnu'];
const TIMEOUT_MS = 300_000;

/** How a layer is made. */
export interface LayerRequest {
  readonly createdBy: string;
  /** Everything that decides the content, so that an equal key means an equal layer. */
  readonly key: string;
  /** Fills an empty folder with the layer's files. */
  readonly fill: (folder: string) => Promise<void>;
}

/** The layer of a request, from the cache or made now. Two processes may ask at once: both get equal bytes. */
export async function makeLayer({ createdBy, key, fill }: LayerRequest): Promise<Layer> {
  const store = join(cacheFolder(), 'layers');
  const name = createHash('sha256').update(`1\n${createdBy}\n${key}`).digest('hex').slice(0, 32);
  const description = join(store, `${name}.json`);
  const path = join(store, `${name}.tar`);
  if (existsSync(description) && existsSync(path)) {
    return { ...(JSON.parse(await readFile(description, 'utf8')) as Omit<Layer, 'path'>), path };
  }
  await mkdir(store, { recursive: true });
  const work = await mkdtemp(join(store, 'making-'));
  try {
    const root = join(work, 'root');
    // The modes of new files are part of the layer's bytes; the user's own mask must not be.
    process.umask(0o022);
    await mkdir(root);
    await fill(root);
    const draft = join(work, 'layer.tar');
    await run('tar', ['-C', root, ...FIXED, '-cf', draft, ...(await readdir(root)).sort()], { timeoutMs: TIMEOUT_MS });
    const facts = { createdBy, ...(await measure(draft)) };
    await rename(draft, path);
    await writeFile(join(work, 'layer.json'), JSON.stringify(facts));
    await rename(join(work, 'layer.json'), description);
    return { ...facts, path };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function measure(path: string): Promise<Pick<Layer, 'digest' | 'bytes' | 'compressedBytes'>> {
  const hash = createHash('sha256');
  let compressedBytes = 0;
  await pipeline(
    createReadStream(path, { highWaterMark: 1 << 20 }),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        hash.update(chunk);
        yield chunk;
      }
    },
    createGzip({ level: 6 }),
    async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) compressedBytes += chunk.length;
    },
  );
  return { digest: `sha256:${hash.digest('hex')}`, bytes: (await stat(path)).size, compressedBytes };
}

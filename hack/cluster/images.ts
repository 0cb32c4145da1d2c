// Images of one static program each, made without a container engine: a docker-archive that `ctr images import` reads.
// Their tag is a digest of the content, so an image that is there need not be imported again.

import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import type { Toolbox } from './build.ts';
import { cacheFolder } from './cache.ts';
import { run } from './run.ts';
import type { ToolName } from './tools.ts';

/** An image on disk. */
export interface ImageArchive {
  readonly reference: string;
  readonly tar: string;
}

// Owner, time and order are fixed so that the same program gives the same image.
const TAR_FLAGS = ['--owner=0', '--group=0', '--numeric-owner', '--mtime=@0', '--sort=name', '--format=ustar'];

/** An image that holds one program at `/NAME` and runs it as the given user. Made once per content. */
export async function programImage(tools: Toolbox, tool: ToolName, user: string): Promise<ImageArchive> {
  const key = createHash('sha256')
    .update(`${basename(tools.folder(tool))} ${user} 1`)
    .digest('hex')
    .slice(0, 12);
  const reference = `embedded.tabard.dev/${tool}:${key}`;
  const target = join(cacheFolder(), 'images', `${tool}-${key}.tar`);
  if (existsSync(target)) return { reference, tar: target };
  mkdirSync(join(cacheFolder(), 'images'), { recursive: true });
  const work = mkdtempSync(join(cacheFolder(), 'images', 'making-'));
  try {
    mkdirSync(join(work, 'root'));
    copyFileSync(tools.path(tool), join(work, 'root', tool));
    chmodSync(join(work, 'root', tool), 0o755);
    await run('tar', ['-C', join(work, 'root'), ...TAR_FLAGS, '-cf', join(work, 'layer.tar'), tool]);
    const diffId = `sha256:${createHash('sha256')
      .update(readFileSync(join(work, 'layer.tar')))
      .digest('hex')}`;
    writeFileSync(join(work, 'config.json'), JSON.stringify(configOf(tool, user, diffId)));
    const manifest = [{ Config: 'config.json', RepoTags: [reference], Layers: ['layer.tar'] }];
    writeFileSync(join(work, 'manifest.json'), JSON.stringify(manifest));
    const files = ['manifest.json', 'config.json', 'layer.tar'];
    await run('tar', ['-C', work, ...TAR_FLAGS, '-cf', join(work, 'image.tar'), ...files]);
    renameSync(join(work, 'image.tar'), target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return { reference, tar: target };
}

function configOf(program: string, user: string, diffId: string): object {
  return {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { User: user, Entrypoint: [`/${program}`], Env: ['PATH=/'] },
    rootfs: { type: 'layers', diff_ids: [diffId] },
    history: [{ created: '1970-01-01T00:00:00Z', created_by: `the program ${program}` }],
  };
}

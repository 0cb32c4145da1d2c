// Mounts that a cluster leaves behind: container roots, Secret volumes, network namespaces of pods.

import { readFileSync } from 'node:fs';
import { tryRun } from './run.ts';

/** Unmounts everything below the folders, the innermost first. */
export async function unmountBelow(folders: readonly string[]): Promise<void> {
  const inside = mountsBelow(folders);
  // Later lines of mountinfo lie on top of earlier ones. Several per call: a crash leaves hundreds.
  const batches = chunks(inside.toReversed(), 50);
  for (const batch of batches) await tryRun('umount', ['--lazy', '--no-mtab', ...batch]);
}

/** Mount points below the folders, in the order of mounting. */
export function mountsBelow(folders: readonly string[]): readonly string[] {
  return mountPoints().filter((path) => folders.some((folder) => path.startsWith(`${folder}/`)));
}

/** All mount points of this process, in the order of mounting (proc_pid_mountinfo(5)). */
function mountPoints(): readonly string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap((line) => line.split(' ').slice(4, 5))
    .map((path) => path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))));
}

function chunks<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  );
}

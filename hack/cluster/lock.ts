// A lock between processes that cannot outlive its holder: flock(1) holds it, and ends when our end of its input
// closes, which the kernel does for us even after kill -9.

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { ClusterError } from './failure.ts';

const MAX_WAIT_S = 1800;

/** Runs `work` while holding the lock on `file`; `waiting` is called once when somebody else holds it. */
export async function withLock<T>(file: string, waiting: () => void, work: () => Promise<T>): Promise<T> {
  const holder = (await acquire(file, 0)) ?? (waiting(), await acquire(file, MAX_WAIT_S));
  if (!holder) {
    throw new ClusterError(`the lock ${file} was not free within ${MAX_WAIT_S / 60} minutes`, {
      advice: 'see which process holds it (fuser, lsof), end that, and try again',
    });
  }
  try {
    return await work();
  } finally {
    const ended = once(holder, 'close');
    holder.stdin.end();
    await ended;
  }
}

async function acquire(
  file: string,
  seconds: number,
): Promise<ChildProcessByStdio<Writable, Readable, null> | undefined> {
  mkdirSync(dirname(file), { recursive: true });
  // --no-fork would make cat keep the lock's descriptor; with -o only flock itself has it, and dies last.
  const script = ['-o', '-w', String(seconds), file, 'sh', '-c', 'echo held; exec cat >/dev/null'];
  const child = spawn('flock', script, { stdio: ['pipe', 'pipe', 'ignore'] });
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  child.on('error', (cause) =>
    reject(new ClusterError('flock (Debian package util-linux) cannot be started', { cause })),
  );
  child.stdout.once('data', () => resolve(true));
  child.on('close', () => resolve(false));
  return (await promise) ? child : undefined;
}

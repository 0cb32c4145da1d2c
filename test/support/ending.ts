// The end of a run of Jest. Jest waits for everything that a test left behind, a server, a timer, a child process, and would wait for
// ever; a run must end. What is left after a fair time is named, then the process ends with the code of its tests, and what it started
// ends with it (hack/leash.ts).
import { readdirSync, readFileSync } from 'node:fs';

/** How long a handle may take to close after the last test, in milliseconds: none needs more than a round trip on loopback. */
const fair = 10_000;

function children(): string[] {
  return readdirSync('/proc/self/task').flatMap((thread) => {
    const pids = textOf(`/proc/self/task/${thread}/children`).split(' ').filter(Boolean);
    return pids.map((pid) => `process ${pid}: ${textOf(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').slice(0, 200)}`);
  });
}

/** Threads and processes may end while they are looked at. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

interface Handle {
  readonly localPort?: number;
  readonly remotePort?: number;
  readonly spawnargs?: readonly string[];
  readonly _connectionKey?: string;
}

/** A line per handle that keeps the process alive: its kind and, where it has them, addresses or the command. */
function handles(): string[] {
  // The documented process.getActiveResourcesInfo() tells kinds only.
  const { _getActiveHandles } = process as unknown as { readonly _getActiveHandles: () => Handle[] };
  return _getActiveHandles.call(process).map((handle) => {
    const { localPort, remotePort, spawnargs, _connectionKey: address } = handle;
    const ports = localPort === undefined ? undefined : `from port ${localPort} to ${remotePort ?? 'nowhere'}`;
    return [handle.constructor.name, address, ports, ...(spawnargs ?? [])].filter(Boolean).join(' ').slice(0, 200);
  });
}

/** Jest's globalTeardown. */
export default function ending(): void {
  const timer = setTimeout(() => {
    const kinds = Map.groupBy(process.getActiveResourcesInfo(), (kind) => kind);
    console.error(
      [
        `The tests have ended, and ${fair / 1000} s later something that they left behind keeps Jest from ending. It ends now. Left behind:`,
        [...kinds].map(([kind, { length }]) => `${length} ${kind}`).join(', '),
        ...handles(),
        ...children(),
      ].join('\n  '),
    );
    process.exit();
  }, fair);
  timer.unref();
}

// Programs in a pod's namespace: started, looked at in /proc, and ended by their own id.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { asProxy, type Netns, type Who } from '../../test/support/capture/netns.ts';

/** What is started. */
export interface Command {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts a program in a namespace; its id is the child's. Output goes to `log`, or is piped where none is given. */
export function start(netns: Netns, who: Who, { command, args, env = {} }: Command, log?: string): ChildProcess {
  const enter = [`--net=/run/netns/${netns.name}`, ...(who === 'proxy' ? asProxy : []), command, ...args];
  const file = log === undefined ? undefined : openSync(log, 'a');
  const child = spawn('nsenter', enter, {
    stdio: file === undefined ? ['pipe', 'pipe', 'inherit'] : ['ignore', file, file],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...env },
  });
  if (file !== undefined) closeSync(file);
  return child;
}

/** Ends a program, gently first. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const gentle = await Promise.race([exited.then(() => true), delay(8_000, false, { ref: false })]);
  if (gentle) return;
  child.kill('SIGKILL');
  await exited;
}

/** Reads a child's output by lines; rejects when it ends before the line is there. */
export class Lines {
  readonly #waiting: ((line: string | undefined) => void)[] = [];
  readonly #lines: string[] = [];
  #ended = false;

  constructor(child: ChildProcess) {
    if (child.stdout === null) throw new Error('the output is not piped');
    const reader = createInterface(child.stdout);
    reader.on('line', (line) => {
      const take = this.#waiting.shift();
      if (take === undefined) this.#lines.push(line);
      else take(line);
    });
    reader.on('close', () => {
      this.#ended = true;
      for (const take of this.#waiting.splice(0)) take(undefined);
    });
  }

  async next(): Promise<string> {
    const known = this.#lines.shift();
    if (known !== undefined) return known;
    const line = this.#ended
      ? undefined
      : await new Promise<string | undefined>((resolve) => void this.#waiting.push(resolve));
    if (line === undefined) throw new Error('ended without the line that was waited for');
    return line;
  }
}

/** A process and its children, as nginx has them. */
export function family(pid: number): readonly number[] {
  const children = readText(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number);
  return [pid, ...children.flatMap(family)];
}

/** Processor time of a process with all its threads, in microseconds; exact, where /proc/PID/stat counts in hundredths of a second. */
export function ownMicroseconds(pid: number): number {
  let nanoseconds = 0;
  for (const task of foldersIn(`/proc/${pid}/task`)) {
    nanoseconds += Number(readText(`/proc/${pid}/task/${task}/schedstat`).split(' ')[0] ?? 0);
  }
  return nanoseconds / 1_000;
}

/** The same with its children's. */
export function cpuMicroseconds(pid: number): number {
  return family(pid).reduce((sum, each) => sum + ownMicroseconds(each), 0);
}

/** Resident memory of a process and its children, in megabytes. */
export function residentMb(pid: number): number {
  let kilobytes = 0;
  for (const each of family(pid))
    kilobytes += Number(/VmRSS:\s+(\d+) kB/.exec(readText(`/proc/${each}/status`))?.[1] ?? 0);
  return kilobytes / 1_024;
}

function foldersIn(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Threads come and go while they are read. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

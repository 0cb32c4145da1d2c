// Starts daemons that outlive the driver, unless they are on its leash, and stops exactly those. A daemon notes its own identity (its line of
// /proc/PID/stat with the start time, and the boot id) before it becomes the daemon, so that no crash of the driver can
// lose one, and no reused process number can be taken for one.

import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemCode } from '../../lib/errors.ts';
import { leashed } from '../leash.ts';
import { ClusterError } from './failure.ts';

/** A program to run in the background. */
export interface Daemon {
  readonly name: string;
  readonly argv: readonly [string, ...string[]];
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Path of the network namespace to run in; the host's without it. */
  readonly netns?: string | undefined;
  /** `cgroup.procs` files to enter before the program starts. */
  readonly cgroups?: readonly string[] | undefined;
  /** It ends with this process, in whatever way that ends. */
  readonly isLeashed?: boolean | undefined;
}

/** Where the pid files and logs of a set of daemons are. */
export type DaemonHome = { readonly pids: string; readonly logs: string };

const POLL_MS = 50;
const LAUNCH_MS = 30_000;
const BOOT_ID = '/proc/sys/kernel/random/boot_id';
// $1 is the pid file, $2 the number of cgroup files that follow, then comes the command.
const LAUNCH = `
cat "/proc/$$/stat" ${BOOT_ID} > "$1.new" && mv "$1.new" "$1" || exit 70
count=$2; shift 2
while [ "$count" -gt 0 ]; do echo $$ > "$1" || exit 71; shift; count=$((count - 1)); done
exec "$@"`;

/** Starts a daemon in a session of its own; returns at once. An earlier log is kept as `NAME.log.old`. */
export function startDaemon(daemon: Daemon, home: DaemonHome): void {
  mkdirSync(home.pids, { recursive: true });
  mkdirSync(home.logs, { recursive: true });
  const log = logOf(daemon.name, home);
  if (existsSync(log)) renameSync(log, `${log}.old`);
  rmSync(pidFileOf(daemon.name, home), { force: true });
  const enter = daemon.netns === undefined ? [] : ['nsenter', `--net=${daemon.netns}`, '--'];
  const cgroups = daemon.cgroups ?? [];
  const args = [pidFileOf(daemon.name, home), String(cgroups.length), ...cgroups, ...enter, ...daemon.argv];
  const launch = ['-c', LAUNCH, 'sh', ...args];
  const [program, words] = daemon.isLeashed === true ? leashed('sh', launch) : ['sh', launch];
  const output = openSync(log, 'a');
  try {
    const child = spawn(program, words, {
      detached: true,
      cwd: '/',
      stdio: ['ignore', output, output],
      env: { ...process.env, ...daemon.env },
    });
    child.on('error', () => undefined);
    child.unref();
  } finally {
    closeSync(output);
  }
}

/** The log file of a daemon. */
export function logOf(name: string, home: DaemonHome): string {
  return join(home.logs, `${name}.log`);
}

/** The daemon's process number while it lives, else undefined. */
export function pidOf(name: string, home: DaemonHome): number | undefined {
  const noted = notedIdentity(pidFileOf(name, home));
  if (!noted) return undefined;
  return startTimeOf(noted.pid) === noted.startTime ? noted.pid : undefined;
}

/**
 * Polls until `ready` says true. Fails with a ClusterError that names the daemon's log when the daemon ends before, or
 * when the time is over.
 */
export async function waitForDaemon(
  name: string,
  home: DaemonHome,
  ready: () => Promise<boolean> | boolean,
  timeoutMs = 120_000,
): Promise<void> {
  const start = performance.now();
  const log = logOf(name, home);
  while (!(await ready())) {
    const elapsed = performance.now() - start;
    if (hasEnded(name, home, elapsed)) {
      throw new ClusterError(`${name} ended before it was ready`, {
        log,
        advice: 'read the log, then run the command again',
      });
    }
    if (elapsed > timeoutMs) {
      throw new ClusterError(`${name} was not ready within ${timeoutMs / 1000} s`, {
        log,
        advice: 'read the log; if the machine is just slow or busy, run the command again',
      });
    }
    await sleep(POLL_MS);
  }
}

/** A busy machine may need a while until the launcher has written the pid file. */
function hasEnded(name: string, home: DaemonHome, elapsedMs: number): boolean {
  const isNoted = existsSync(pidFileOf(name, home));
  return (isNoted || elapsedMs > LAUNCH_MS) && pidOf(name, home) === undefined;
}

/** Asks a daemon to end, waits, and kills it when it does not. Does nothing when it is not running. */
export async function stopDaemon(name: string, home: DaemonHome, graceMs = 5000): Promise<void> {
  const pid = pidOf(name, home);
  if (pid !== undefined) {
    signal(pid, 'SIGTERM');
    const gone = await waitUntil(() => pidOf(name, home) === undefined, graceMs);
    if (!gone) {
      signal(pid, 'SIGKILL');
      await waitUntil(() => pidOf(name, home) === undefined, graceMs);
    }
  }
  rmSync(pidFileOf(name, home), { force: true });
}

/** Sends a signal; a process that is gone is fine. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (systemCode(error) !== 'ESRCH') throw error;
  }
}

/** Polls a condition; says whether it came true in time. */
export async function waitUntil(condition: () => boolean | Promise<boolean>, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) return false;
    await sleep(POLL_MS);
  }
  return true;
}

/** When a process started, in clock ticks since boot, or undefined when it is gone or a zombie (proc_pid_stat(5)). */
export function startTimeOf(pid: number): string | undefined {
  try {
    const stat = parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    return stat.state === 'Z' || stat.state === 'X' ? undefined : stat.startTime;
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ESRCH') return undefined;
    throw error;
  }
}

function notedIdentity(file: string): { readonly pid: number; readonly startTime: string } | undefined {
  if (!existsSync(file)) return undefined;
  const [line = '', bootId] = readFileSync(file, 'utf8').split('\n');
  if (bootId === undefined || bootId !== readFileSync(BOOT_ID, 'utf8').trim()) return undefined;
  const { pid, startTime } = parseStat(line);
  return { pid, startTime };
}

function parseStat(line: string): { readonly pid: number; readonly state: string; readonly startTime: string } {
  // The command's name stands in parentheses and may itself hold spaces and parentheses.
  const rest = line.slice(line.lastIndexOf(')') + 2).split(' ');
  return { pid: Number.parseInt(line, 10), state: rest[0] ?? 'X', startTime: rest[19] ?? '' };
}

function pidFileOf(name: string, home: DaemonHome): string {
  return join(home.pids, `${name}.pid`);
}

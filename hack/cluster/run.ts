// Runs other programs to their end, with a bound on time, and says which one failed and what it printed.

import { spawn } from 'node:child_process';
import { ClusterError } from './failure.ts';

/** Settings of one run. */
export interface RunOptions {
  /** Text for the program's standard input; without it the input is empty. */
  readonly input?: string | undefined;
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly cwd?: string | undefined;
  /** The program is killed after this many milliseconds; 60000 unless told. */
  readonly timeoutMs?: number | undefined;
}

/** How a program ended. */
export type Outcome = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** Runs a program and returns what it printed. Fails with a ClusterError when it ends with another code than 0. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const outcome = await tryRun(command, args, options);
  if (outcome.code !== 0) {
    const said = (outcome.stderr.trim() || outcome.stdout.trim()).split('\n').slice(-LINES_KEPT).join('\n');
    throw new ClusterError(`${command} ${args.join(' ')} ended with code ${outcome.code}: ${said}`);
  }
  return outcome.stdout;
}

const LINES_KEPT = 20;

/** Runs a program and returns how it ended. Fails only when it cannot be started or takes too long. */
export async function tryRun(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env ? { ...process.env, ...options.env } : process.env,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  const limit = options.timeoutMs ?? 60_000;
  const timer = setTimeout(() => {
    child.kill('SIGKILL');
    reject(new ClusterError(`${command} ${args.join(' ')} did not end within ${limit / 1000} s`));
  }, limit);
  child.on('error', (cause) => reject(new ClusterError(`${command} cannot be started`, { cause })));
  child.on('close', (code, signal) => {
    const text = Buffer.concat(stderr).toString() + (signal === null ? '' : `killed by ${signal}`);
    resolve({ code: code ?? 128, stdout: Buffer.concat(stdout).toString(), stderr: text });
  });
  // A program that ends without reading its input closes the pipe; its exit code tells the story.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}

// Servers of others as processes of a test: started on free ports, waited for until they answer, ended by their own id. What they print
// is kept for the message of a failure.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { leashed } from '../../hack/leash.ts';

/** A running server. */
export interface Daemon {
  readonly pid: number;
  /** Everything that it printed. */
  readonly output: () => string;
  stop(): Promise<void>;
}

/** How a server is started. */
export interface DaemonOptions {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Whether it answers by now. May reject while it does not. */
  readonly ready: (output: () => string) => Promise<boolean>;
}

const startMs = 60_000;
/** How long a busy machine may take to end a server, in milliseconds. */
const gentleMs = 20_000;

/** Starts a server and waits until it is ready. Rejects with what it printed when it ends before, or takes over a minute. */
export async function startDaemon({ program, args, env, cwd, ready }: DaemonOptions): Promise<Daemon> {
  const child = spawn(...leashed(program, args), {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '', ...env },
    ...(cwd === undefined ? {} : { cwd }),
  });
  const parts: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => parts.push(text));
  const output = (): string => parts.join('');
  child.on('error', (error) => parts.push(`${error.message}\n`));
  const end = performance.now() + startMs;
  while (!(await ready(output).catch(() => false))) {
    if (hasEnded(child) || performance.now() > end) {
      await stop(child);
      throw new Error(`${program} did not start:\n${output().slice(-4_000)}`);
    }
    await delay(50);
  }
  return { pid: child.pid ?? 0, output, stop: () => stop(child) };
}

/** Whether somebody accepts connections on a port of this machine: for `ready`. */
export const listening = (port: number) => (): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true));
    socket.on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });

/** Ports that were free a moment ago: those servers have to be told, they cannot say which one they took. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  for (const server of servers) server.close();
  await Promise.all(servers.map((server) => once(server, 'close')));
  return ports;
}

/** Starts on free ports, again on others when somebody took one in between. */
export async function onFreePorts<T>(count: number, start: (ports: readonly number[]) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await start(await freePorts(count));
    } catch (error) {
      const taken = error instanceof Error && /address already in use|EADDRINUSE|could not listen/i.test(error.message);
      if (!taken || tries >= 5) throw error;
    }
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
}

async function stop(child: ChildProcess): Promise<void> {
  if (!hasEnded(child)) {
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    // Servers with workers end them first; killed, they would leave them behind.
    const gentle = await Promise.race([exited.then(() => true), delay(gentleMs, false, { ref: false })]);
    if (!gentle) child.kill('SIGKILL');
    await exited;
  }
  // A worker that outlived its server holds the other end, and would hold this process.
  child.stdout?.destroy();
  child.stderr?.destroy();
}

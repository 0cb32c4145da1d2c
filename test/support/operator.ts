// The operator as a process of its own, as the chart runs it, for tests against a real API server.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { leashed } from '../../hack/leash.ts';

const entry = resolve(import.meta.dirname, '../../operator/main.ts');

/** One log line of the process. */
export type OperatorLine = { readonly level: string; readonly msg: string } & Readonly<Record<string, unknown>>;

/** A running replica. */
export interface OperatorProcess {
  readonly name: string;
  readonly pid: number;
  readonly lines: readonly OperatorLine[];
  /** The exit code; undefined while it runs, -1 when a signal ended it. */
  readonly exitCode: number | undefined;
  /** Resolves with the exit code when it is gone. */
  readonly exited: Promise<number>;
  /** Status and text of the admin server's answer; status 0 while nobody answers. */
  admin(path: '/ready' | '/live' | '/metrics'): Promise<{ readonly status: number; readonly text: string }>;
  /** Sends SIGTERM or SIGKILL; resolves with the exit code when it is gone. */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number>;
}

/** How a replica is to be started. */
export interface OperatorOptions {
  readonly name: string;
  readonly namespace: string;
  /** Absent: the service account of a pod, which `within` must put in place. */
  readonly kubeconfig?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** A command that the replica's own is the end of. */
  readonly within?: readonly string[];
  /** Another file than the sources: a bundle, as the image has it. */
  readonly program?: string;
}

/** Starts a replica. All its ports are free ones. */
export function startOperatorProcess(options: OperatorOptions): OperatorProcess {
  const [program, ...args] = [
    ...(options.within ?? []),
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    options.program ?? entry,
  ];
  const child = spawn(...leashed(program, args), {
    env: {
      ...(options.kubeconfig === undefined ? {} : { KUBECONFIG: options.kubeconfig }),
      TABARD_NAMESPACE: options.namespace,
      TABARD_POD_NAME: options.name,
      TABARD_ADMIN_PORT: '0',
      TABARD_CRL_PORT: '0',
      TABARD_CONTROL_PORT: '0',
      ...options.env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: OperatorLine[] = [];
  if (child.stdout !== null) {
    createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line) as OperatorLine));
  }
  let exitCode: number | undefined;
  const exited = once(child, 'exit').then(([code]) => (exitCode = typeof code === 'number' ? code : -1));
  return {
    name: options.name,
    pid: child.pid ?? 0,
    lines,
    get exitCode() {
      return exitCode;
    },
    exited,
    admin: (path) => ask(lines, path),
    end: async (signal) => {
      kill(child, signal);
      return await exited;
    },
  };
}

async function ask(lines: readonly OperatorLine[], path: string): Promise<{ status: number; text: string }> {
  const port = lines.find(({ msg }) => msg === 'admin server listening')?.['port'];
  if (typeof port !== 'number') return { status: 0, text: '' };
  try {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(5_000) });
    return { status: answer.status, text: await answer.text() };
  } catch {
    return { status: 0, text: '' };
  }
}

function kill(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): void {
  if (child.exitCode === null && child.signalCode === null) child.kill(signal);
}

// The operator as the image runs it (its bundle, a process of its own) and what it costs: processor time, memory, calls to the
// API server. Its log goes to a file, so that reading it costs the benchmark nothing.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { freePort } from '../../hack/cluster/controlplane.ts';

/** A running operator. */
export interface BenchOperator {
  readonly pid: number;
  readonly startedMs: number;
  /** Its metrics as text. */
  metrics(): Promise<string>;
  /** Megabytes: resident now, and the most it ever was. */
  memory(): { readonly rss: number; readonly peak: number };
  /** Processor seconds since its start. */
  cpuSeconds(): number;
  logBytes(): number;
  /** SIGTERM, and SIGKILL when that took over 30 s. */
  stop(): Promise<void>;
}

/** Starts it; resolves once its admin server answers. */
export async function startOperator(options: {
  readonly bundle: string;
  readonly kubeconfig: string;
  readonly log: string;
  readonly nodeArguments?: readonly string[];
  /** Of the control API; any free one otherwise. */
  readonly controlPort?: number;
  /** Of the revocation lists; any free one otherwise. */
  readonly crlPort?: number;
  /** `bench` otherwise; two operators need two. */
  readonly podName?: string;
}): Promise<BenchOperator> {
  const port = await freePort();
  const log = openSync(options.log, 'w');
  // As in the chart.
  const semiSpace = ['--min-semi-space-size=8', '--max-semi-space-size=8'];
  const flags = ['--disable-warning=ExperimentalWarning', ...semiSpace, '--heap-growing-percent=12'];
  const args = [...(options.nodeArguments ?? []), ...flags, options.bundle];
  const startedMs = Date.now();
  const child = spawn(process.execPath, args, {
    env: {
      KUBECONFIG: options.kubeconfig,
      MALLOC_ARENA_MAX: '2',
      TABARD_NAMESPACE: 'tabard-system',
      TABARD_POD_NAME: options.podName ?? 'bench',
      TABARD_MINIMUM_LIFETIME: '10s',
      TABARD_ADMIN_PORT: String(port),
      TABARD_CRL_PORT: String(options.crlPort ?? 0),
      TABARD_CONTROL_PORT: String(options.controlPort ?? 0),
    },
    stdio: ['ignore', log, 'inherit'],
  });
  closeSync(log);
  const pid = child.pid ?? 0;
  const metrics = async (): Promise<string> => {
    const answer = await fetch(`http://127.0.0.1:${port}/metrics`, { signal: AbortSignal.timeout(20_000) });
    return await answer.text();
  };
  await answering(child, metrics, options.log);
  return {
    pid,
    startedMs,
    metrics,
    memory: () => memoryOf(pid),
    cpuSeconds: () => cpuSecondsOf(pid),
    logBytes: () => statSync(options.log).size,
    stop: () => stopped(child),
  };
}

async function answering(child: ChildProcess, ask: () => Promise<string>, log: string): Promise<void> {
  for (let tries = 0; tries < 300; tries += 1) {
    if (child.exitCode !== null) break;
    const answer = await ask().catch(() => '');
    if (answer !== '') return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the operator does not answer; its log ends with\n${readFileSync(log, 'utf8').slice(-2_000)}`);
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const hard = setTimeout(() => child.kill('SIGKILL'), 30_000);
  await exited;
  clearTimeout(hard);
}

function memoryOf(pid: number): { readonly rss: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const megabytes = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024;
  return { rss: megabytes('VmRSS'), peak: megabytes('VmHWM') };
}

/** Processor seconds of a process, in the usual clock ticks of 10 ms. */
function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name of the program stands in parentheses and may hold blanks.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Calls to the API server by `verb resource`, from the text of the metrics. */
export function callsOf(metrics: string): ReadonlyMap<string, number> {
  const calls = new Map<string, number>();
  for (const line of metrics.split('\n')) {
    const [, labels = '', value] = /^tabard_kube_requests_total\{([^}]*)\} (\S+)/.exec(line) ?? [];
    if (value === undefined) continue;
    const of = (name: string): string => new RegExp(`${name}="([^"]*)"`).exec(labels)?.[1] ?? '';
    const key = `${of('verb')} ${of('resource')}`;
    calls.set(key, (calls.get(key) ?? 0) + Number(value));
  }
  return calls;
}

/** Processor seconds of all processes whose command line names a control plane: etcd and the API server. */
export function controlPlaneCpuSeconds(name: string): number {
  let sum = 0;
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      if (/\/(etcd|kube-apiserver)\0/.test(command) && command.includes(`/${name}/`)) sum += cpuSecondsOf(Number(pid));
    } catch {
      // It ended meanwhile.
    }
  }
  return sum;
}

/** A gauge without labels, from the text of the metrics. */
export function gaugeOf(metrics: string, name: string): number {
  return Number(new RegExp(`^${name} (\\S+)`, 'm').exec(metrics)?.[1] ?? Number.NaN);
}

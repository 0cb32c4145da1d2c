// A sidecar of several processes, for tests: crewpod.ts with its files, its log and what the kernel knows of its processes.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { leashed } from '../../hack/leash.ts';
import { env } from '../../lib/api/contract.ts';
import type { TestLeaf } from './pki.ts';
import type { Mesh } from './pocketmesh.ts';
import { defaultRelay } from './relays.ts';
import { sidecarEnvironment } from './sidecarenv.ts';
import { until } from './until.ts';

const program = resolve(import.meta.dirname, 'crewpod.ts');

/** A line of the log. */
export type Line = Readonly<Record<string, unknown>>;

/** Generous: a process may take long to start on a busy machine. */
export const PATIENCE_MS = 120_000;

/** How it is made. */
export interface CrewOptions {
  readonly mesh: Mesh;
  readonly workers: number | 'Auto';
  /** For certificates and state; an own one by default. */
  readonly folder?: string;
  readonly leaf: TestLeaf;
  readonly applicationPort: number;
  /** Where its application's connections go. */
  readonly targetPort?: number;
}

/** Pod `web-0` of service `web`: its processes. */
export class CrewPod {
  readonly child: ChildProcess;
  readonly exit: Promise<number | null>;
  readonly lines: Line[] = [];
  /** What came on the log's pipe and is no line of a log. */
  readonly torn: string[] = [];
  readonly folder: string;
  #generation = 0;

  constructor({ mesh, workers, leaf, applicationPort, targetPort = 0, folder = mesh.folder() }: CrewOptions) {
    this.folder = folder;
    this.mount(leaf);
    this.child = spawn(...leashed(process.execPath, ['--disable-warning=ExperimentalWarning', program]), {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        ...sidecarEnvironment(mesh.control, { tls: join(folder, 'tls'), state: join(folder, 'state') }),
        [env.workers]: String(workers),
        // Longer than any test: what ends is to end by itself.
        [env.drainSeconds]: '600',
        [env.relay]: defaultRelay === 'public' ? 'Public' : 'Auto',
        TABARD_TEST_APPLICATION: String(applicationPort),
        TABARD_TEST_TARGET: String(targetPort),
      },
    });
    mesh.onEnd(async () => {
      this.child.kill('SIGKILL');
      await this.exit;
    });
    this.exit = once(this.child, 'exit').then(([code]) => code as number | null);
    let rest = '';
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop() ?? '';
      for (const part of parts) this.#line(part);
    });
  }

  /** Ports of the data path and of the admin port. Known once it listens. */
  get ports(): { readonly inbound: number; readonly outbound: number; readonly admin: number } {
    const line = this.lines.find(({ msg }) => msg === 'ports');
    return { inbound: Number(line?.['inbound']), outbound: Number(line?.['outbound']), admin: Number(line?.['admin']) };
  }

  /** Process ids of the further workers that have come to serve, the latest last; also of those that have ended. */
  get served(): readonly number[] {
    return this.lines.filter(({ msg }) => msg === 'worker serves').map(({ pid }) => Number(pid));
  }

  /** Puts a certificate into its folder as the kubelet does: a new folder, then the link to it in one step. */
  mount(leaf: TestLeaf): void {
    this.#generation += 1;
    const tls = join(this.folder, 'tls');
    const name = `..${process.hrtime.bigint()}-${this.#generation}`;
    const data = join(tls, name);
    mkdirSync(data, { recursive: true });
    writeFileSync(join(data, 'tls.crt'), leaf.certificate);
    writeFileSync(join(data, 'tls.key'), leaf.key);
    writeFileSync(join(data, 'ca.crt'), leaf.bundle);
    symlinkSync(name, join(tls, '..next'));
    renameSync(join(tls, '..next'), join(tls, '..data'));
  }

  /** Waits until so many further workers have come to serve, one after the other or at once. */
  untilServed(count: number): Promise<void> {
    return until(() => this.served.length >= count, `${count} further workers came to serve`, PATIENCE_MS);
  }

  /** Waits until the kubelet would hear that it is ready. */
  async untilReady(): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while ((await this.get('/ready')).status !== 200) {
      if (performance.now() > end) throw new Error('it never became ready');
    }
  }

  /** Waits until the log has such a line. */
  untilLogged(match: (line: Line) => boolean, what: string): Promise<void> {
    return until(() => this.lines.some(match), what, PATIENCE_MS);
  }

  /** A connection to the inbound port, as a stranger makes it. */
  knock(): Socket {
    const socket = connect({ host: '127.0.0.2', port: this.ports.inbound, allowHalfOpen: true });
    socket.on('error', () => undefined);
    return socket;
  }

  /** A connection of its own application to somewhere. */
  dial(): Socket {
    const socket = connect({ host: '127.0.0.1', port: this.ports.outbound, allowHalfOpen: true });
    socket.on('error', () => undefined);
    return socket;
  }

  /** Status and body of a GET on the admin port. */
  async get(path: string): Promise<{ readonly status: number; readonly text: string }> {
    const response = await fetch(`http://127.0.0.1:${this.ports.admin}${path}`, { headers: { connection: 'close' } });
    return { status: response.status, text: await response.text() };
  }

  /** A number of the metrics; 0 where there is none of the name. */
  async metric(name: string): Promise<number> {
    const { text } = await this.get('/metrics');
    const line = text.split('\n').find((each) => each.startsWith(`${name} `));
    return Number(line?.split(' ')[1] ?? 0);
  }

  /** Waits until a number of the metrics is what it should be. */
  async untilMetric(name: string, holds: (value: number) => boolean): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    for (let seen = await this.metric(name); !holds(seen); seen = await this.metric(name)) {
      if (performance.now() > end) throw new Error(`${name} stays ${seen}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  #line(text: string): void {
    try {
      this.lines.push(JSON.parse(text) as Line);
    } catch {
      this.torn.push(text);
    }
  }
}

/** Whether a process runs; one that has ended and was not waited for does not. */
export function runs(pid: number): boolean {
  return existsSync(`/proc/${pid}/fd`) && !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
}

/** Connections of a process that were made to a port of its own. */
export function connectionsTo(port: number, pid: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const rows = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((path) => readFileSync(path, 'utf8').split('\n').slice(1));
  const established = rows
    .map((row) => row.trim().split(/\s+/))
    .filter(([, local, , state]) => {
      return local?.endsWith(`:${hex}`) === true && state === '01';
    });
  const inodes = new Set(established.map((columns) => `socket:[${columns[9]}]`));
  return linksOf(pid).filter((link) => inodes.has(link)).length;
}

function linksOf(pid: number): readonly string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).flatMap((fd) => {
    try {
      return [readlinkSync(join(folder, fd))];
    } catch {
      // Closed since it was listed.
      return [];
    }
  });
}

// The two proxies of one contestant: started and timed, loaded, looked at, ended.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Netns, Who } from '../../test/support/capture/netns.ts';
import { applicationPort, type Contestant, dnsNameOf, type Place, type Proxy } from './contestant.ts';
import { type Command, cpuMicroseconds, end, family, Lines, ownMicroseconds, residentMb, start } from './program.ts';

/** One of the pods. */
export interface PairPod {
  readonly netns: Netns;
  readonly place: Place;
}

/** What the load generator says (hack/cluster/tools/load/run.go). Times are microseconds. */
export interface Loaded {
  readonly done: number;
  readonly errors: number;
  readonly error?: string;
  readonly seconds: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly bulkBytes: number;
}

/** A loaded pair: what came out, and what it cost. */
export interface Sample extends Loaded {
  /** Processor time of both proxies, and of the server's alone, in microseconds. */
  readonly cpu: number;
  readonly serverCpu: number;
  /** Of the latter each process's. */
  readonly serverCpus: readonly number[];
}

/** What the load generator does (its flags). */
export interface Load {
  readonly shape: 'keepalive' | 'connect' | 'bulk' | 'streams' | 'handshake' | 'idle';
  readonly connections: number;
  readonly seconds?: number;
  readonly rate?: number;
  /** No more than these in all, however long that takes unless `seconds` says. */
  readonly units?: number;
  readonly body?: number;
  readonly beside?: boolean;
  /** A handshake without a certificate. */
  readonly anonymous?: boolean;
}

/** Memory of the two proxies, in megabytes. */
export interface Memory {
  readonly client: number;
  readonly server: number;
}

/** Longer than anything that is done in numbers. */
const LONG_SECONDS = 60;

/** One contestant at work. */
export class Pair {
  readonly contestant: Contestant;
  readonly #pods: Readonly<Record<Place['role'], PairPod>>;
  readonly #running = new Map<Place['role'], ChildProcess>();

  constructor(contestant: Contestant, pods: Readonly<Record<Place['role'], PairPod>>) {
    this.contestant = contestant;
    this.#pods = pods;
  }

  get name(): string {
    return this.contestant.name;
  }

  /** Whether this kind of load says nothing of it. */
  lacks(shape: Load['shape']): boolean {
    return this.contestant.lacks?.some((each) => each === shape) ?? false;
  }

  /** Starts the server's proxy, then the client's. Resolves with the milliseconds that each took to be ready. */
  async start(): Promise<readonly number[]> {
    return [await this.#startOne('server'), await this.#startOne('client')].filter((ms) => ms !== undefined);
  }

  async stop(): Promise<void> {
    const children = [...this.#running.values()];
    this.#running.clear();
    await Promise.all(children.map(end));
  }

  /** Ends both proxies and starts them anew. */
  async restart(): Promise<readonly number[]> {
    await this.stop();
    return this.start();
  }

  /** The processes of one of the proxies, the one that was started first. */
  processes(role: Place['role']): readonly number[] {
    return family(this.#pid(role));
  }

  memory(): Memory {
    return { client: residentMb(this.#pid('client')), server: residentMb(this.#pid('server')) };
  }

  /** Loads the pair. Connections that stay are made before the clock runs. */
  async load(load: Load): Promise<Sample> {
    const held = await this.#generator(load);
    try {
      const servers = this.processes('server');
      const [before, each] = [this.#cpu(), servers.map(ownMicroseconds)];
      held.go();
      const loaded = JSON.parse(await held.lines.next()) as Loaded;
      const after = this.#cpu();
      const serverCpus = servers.map((pid, index) => ownMicroseconds(pid) - (each[index] ?? 0));
      const cpu = after.client + after.server - before.client - before.server;
      return { ...loaded, cpu, serverCpu: after.server - before.server, serverCpus };
    } finally {
      await held.end();
    }
  }

  /** Opens connections that do nothing, and calls back while they stand. */
  async hold<T>(connections: number, look: () => Promise<T>): Promise<T> {
    const held = await this.#generator({ shape: 'idle', connections });
    try {
      return await look();
    } finally {
      await held.end();
    }
  }

  /** Starts another program in one of the pods, as the proxy's user or as anybody. Whoever starts it ends it. */
  launch(role: Place['role'], who: Who, make: (place: Place) => Command): ChildProcess {
    const { netns, place } = this.#pods[role];
    return start(netns, who, make(place));
  }

  async #generator(load: Load) {
    const { shape, connections, rate = 0, units = 0, body, beside = false, anonymous = false } = load;
    const { seconds = units > 0 ? LONG_SECONDS : 1 } = load;
    const { netns, place } = this.#pods.client;
    const to = `${place.server}:${applicationPort}`;
    const args = ['run', '-to', to, '-shape', shape, '-connections', `${connections}`, '-seconds', `${seconds}`];
    args.push('-rate', `${rate}`, '-units', `${units}`, '-name', dnsNameOf(place.peerService));
    args.push('-tls', anonymous ? '' : place.tls);
    if (body !== undefined) args.push('-body', `${body}`);
    if (beside) args.push('-beside');
    // A handshake is made with the server's proxy itself: nothing of the client's may be in between.
    const who = shape === 'handshake' ? 'proxy' : 'application';
    const child = start(netns, who, { command: place.tools.load, args });
    const lines = new Lines(child);
    const said = await lines.next().catch(async (cause: unknown) => {
      await end(child);
      throw new Error(`${this.name}: ${shape} could not begin\n${this.#said()}`, { cause });
    });
    if (said !== 'ready') throw new Error(`the load generator said ${said}`);
    return { lines, go: () => void child.stdin?.write('\n'), end: () => end(child) };
  }

  /** What the proxies printed last, for the message of a failure. */
  #said(): string {
    const last = ({ place }: PairPod): string =>
      existsSync(logOf(place)) ? readFileSync(logOf(place), 'utf8').slice(-2_000) : '';
    return Object.values(this.#pods).map(last).join('\n');
  }

  async #startOne(role: Place['role']): Promise<number | undefined> {
    const make = this.contestant.proxy;
    if (make === undefined) return undefined;
    const { netns, place } = this.#pods[role];
    // A pod that is new has kept nothing.
    rmSync(join(place.scratch, 'snapshots.json'), { force: true });
    const proxy = make(place);
    const log = logOf(place);
    writeFileSync(log, '');
    const waiting = start(netns, 'proxy', { command: place.tools.load, args: ['ready', ...readyOf(proxy, place)] });
    const begun = performance.timeOrigin + performance.now();
    const child = start(netns, 'proxy', proxy, log);
    this.#running.set(role, child);
    const died = once(child, 'exit').then(() => undefined);
    const at = await Promise.race([new Lines(waiting).next().catch(() => undefined), died]);
    if (at !== undefined) return Number(at) / 1e6 - begun;
    await end(waiting);
    throw new Error(
      `${this.name}: the ${role}'s proxy did not become ready:\n${readFileSync(log, 'utf8').slice(-2_000)}`,
    );
  }

  #cpu() {
    return { client: cpuMicroseconds(this.#pid('client')), server: cpuMicroseconds(this.#pid('server')) };
  }

  /** 0, which no process has, where nothing runs. */
  #pid(role: Place['role']): number {
    return this.#running.get(role)?.pid ?? 0;
  }
}

function readyOf({ ready }: Proxy, { address }: Place): readonly string[] {
  return 'tcp' in ready ? ['tcp', `${address}:${ready.tcp}`] : ['http', ready.http];
}

function logOf({ scratch }: Place): string {
  return join(scratch, 'log');
}

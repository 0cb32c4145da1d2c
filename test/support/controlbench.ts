// A real control API on loopback with a mesh that the test feeds, and clients that speak to it as sidecars do. Pods have
// addresses of 127.0.0.0/8, so that a client may choose which pod it is.
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from 'node:http2';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { type Clock, systemClock } from '../../lib/clock.ts';
import type { Authority } from '../../lib/pki/ca.ts';
import { MemoryCertificateSource } from '../../lib/runtime/credentials.ts';
import { createLogger } from '../../lib/runtime/logger.ts';
import { Metrics } from '../../lib/runtime/metrics.ts';
import type { ControlLimits } from '../../operator/control/limits.ts';
import { ReportStore } from '../../operator/control/report.ts';
import { type ControlServer, type ControlServerDeps, startControlServer } from '../../operator/control/server.ts';
import { MeshBench } from './meshbench.ts';
import { type LeafOptions, type TestLeaf, testAuthority, testLeaf } from './pki.ts';

/** A log line as it was written. */
export type LogLine = Readonly<Record<string, unknown>>;

/** What a test may choose. */
export interface ControlBenchOptions {
  readonly limits?: Partial<ControlLimits>;
  readonly host?: string;
  /** A CA that others share. */
  readonly authority?: Authority;
  /** What sidecars answer to ACME CAs. */
  readonly challenges?: ControlServerDeps['challenges'];
  /** Find other replicas by Service `tabard-system/tabard-operator`. */
  readonly withReplicas?: boolean;
}

/** The server side. */
export class ControlBench {
  readonly authority: Authority;
  readonly source: MemoryCertificateSource;
  readonly reports: ReportStore;
  readonly metrics: Metrics;
  readonly lines: LogLine[];
  readonly server: ControlServer;
  readonly bench: MeshBench<Clock>;
  readonly #clients = new Set<ControlTestClient>();
  readonly #valves = new Set<Valve>();
  #stopped = false;

  private constructor(
    of: Pick<ControlBench, 'authority' | 'source' | 'bench' | 'server' | 'metrics' | 'reports' | 'lines'>,
  ) {
    this.authority = of.authority;
    this.source = of.source;
    this.bench = of.bench;
    this.server = of.server;
    this.metrics = of.metrics;
    this.reports = of.reports;
    this.lines = of.lines;
  }

  static async start(options: ControlBenchOptions = {}): Promise<ControlBench> {
    const authority = options.authority ?? (await testAuthority());
    const source = new MemoryCertificateSource();
    await offer(source, authority, authority.certificate);
    const lines: LogLine[] = [];
    const destination = { write: (text: string) => void lines.push(JSON.parse(text) as LogLine) };
    const parts = {
      authority,
      source,
      bench: new MeshBench(systemClock),
      metrics: new Metrics(),
      reports: new ReportStore(systemClock),
      lines,
    };
    parts.bench.mesh.settled();
    const server = await startControlServer({
      mesh: parts.bench.mesh,
      certificates: source,
      reports: parts.reports,
      trustDomain: 'cluster.local',
      clusterRanges: () => ['127.0.0.0/8'],
      clock: systemClock,
      logger: createLogger({ name: 'operator', level: 'debug', destination }),
      metrics: parts.metrics,
      listen: { port: 0, ...(options.host === undefined ? {} : { host: options.host }) },
      limits: { podWaitMs: 200, ...options.limits },
      ...(options.challenges === undefined ? {} : { challenges: options.challenges }),
      ...(options.withReplicas === true
        ? { replicas: { service: 'tabard-system/tabard-operator', portName: 'control' } }
        : {}),
    });
    return new ControlBench({ ...parts, server });
  }

  /** A way to the server that can be shut. */
  async valve(): Promise<Valve> {
    const valve = await Valve.to(this.server.port);
    this.#valves.add(valve);
    return valve;
  }

  /** A client with a good certificate of service `web` of `shop`, at 127.0.0.1, unless told otherwise. */
  async client(options: ClientOptions = {}): Promise<ControlTestClient> {
    const leaf = options.leaf ?? (await testLeaf(options.authority ?? this.authority, options.of ?? {}));
    const client = await ControlTestClient.connect(options.through?.port ?? this.server.port, leaf, options);
    this.#clients.add(client);
    return client;
  }

  /** The certificate and trust that the operator goes on with. */
  async swap(authority: Authority, bundle: string): Promise<void> {
    await offer(this.source, authority, bundle);
  }

  /** Log lines of refused clients: reasons. */
  get refusals(): readonly unknown[] {
    return this.lines.filter(({ msg }) => msg === 'control client refused').map(({ reason }) => reason);
  }

  /** The value of a metric, by the start of its line in the text format. */
  async metric(start: string): Promise<number> {
    const line = (await this.metrics.text()).split('\n').find((each) => each.startsWith(`${start} `));
    return Number(line?.slice(start.length));
  }

  /** Ends the clients, then the server. */
  async stop(): Promise<void> {
    for (const each of [...this.#clients, ...this.#valves]) each.end();
    await this.drain(0);
  }

  /** Stops the server as SIGTERM does. */
  async drain(drainMs: number): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    await this.server.stop({ drainMs });
  }
}

async function offer(source: MemoryCertificateSource, authority: Authority, bundle: string): Promise<void> {
  const leaf = await testLeaf(authority, { namespace: 'tabard-system', service: 'tabard-operator' });
  const verdict = source.offer({ certificate: leaf.certificate, key: leaf.key, trustBundle: bundle }, new Date());
  if (!verdict.good) throw new Error(verdict.detail);
}

/** A way to the server that can be shut: nothing is read from the server then, and nothing more reaches it. */
export class Valve {
  readonly #server: Server;
  readonly #sockets: Socket[] = [];
  #isShut = false;

  private constructor(to: number) {
    this.#server = createServer((near) => {
      const far = connect(to, '127.0.0.1');
      for (const [from, onto] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.push(from);
        if (this.#isShut) from.pause();
        from.on('data', (chunk) => onto.write(chunk));
        from.on('error', () => undefined);
        from.on('close', () => onto.destroy());
      }
    });
  }

  static async to(port: number): Promise<Valve> {
    const valve = new Valve(port);
    const { promise, resolve } = Promise.withResolvers<void>();
    valve.#server.listen(0, '127.0.0.1', resolve);
    await promise;
    return valve;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  shut(): void {
    this.#isShut = true;
    for (const socket of this.#sockets) socket.pause();
  }

  open(): void {
    this.#isShut = false;
    for (const socket of this.#sockets) socket.resume();
  }

  end(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

export interface ClientOptions {
  readonly through?: Valve;
  readonly of?: LeafOptions;
  readonly authority?: Authority;
  readonly leaf?: TestLeaf;
  /** Source address. */
  readonly from?: string;
  readonly to?: string;
  readonly tls?: ConnectionOptions;
}

/** One line of a stream, parsed. */
export type Message = Readonly<Record<string, unknown>> & { readonly version: string };

/** A stream of snapshots. */
export class Follower {
  readonly messages: Message[] = [];
  status: number | undefined;
  /** Body of an answer that is no success. */
  refusal: Readonly<Record<string, unknown>> | undefined;
  ended = false;
  readonly stream: ClientHttp2Stream;
  readonly #wakes = new Set<() => void>();

  constructor(stream: ClientHttp2Stream) {
    this.stream = stream;
    let rest = '';
    stream.setEncoding('utf8');
    stream.on('response', (headers) => this.#changed(() => (this.status = headers[':status'])));
    stream.on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line !== '') this.#take(JSON.parse(line) as Message);
    });
    stream.on('error', () => undefined);
    stream.on('close', () => this.#changed(() => (this.ended = true)));
  }

  get last(): Message | undefined {
    return this.messages.at(-1);
  }

  /** Resolves when the condition holds; rejects after a time in which a busy machine gets to everything. */
  async until(condition: (follower: Follower) => boolean, ms: number = 20_000): Promise<this> {
    const end = performance.now() + ms;
    while (!condition(this)) {
      const left = end - performance.now();
      if (left <= 0) throw new Error(`not so after ${ms} ms; status ${this.status}, ${JSON.stringify(this.last)}`);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wakes.add(resolve);
      const timer = setTimeout(resolve, left);
      await promise;
      clearTimeout(timer);
      this.#wakes.delete(resolve);
    }
    return this;
  }

  #take(message: Message): void {
    this.#changed(() => (this.status === 200 ? this.messages.push(message) : (this.refusal = message)));
  }

  #changed(change: () => unknown): void {
    change();
    for (const wake of this.#wakes) wake();
  }
}

/** A client of the control API. */
export class ControlTestClient {
  readonly socket: TLSSocket;
  readonly session: ClientHttp2Session;
  goneAway = false;

  private constructor(socket: TLSSocket) {
    this.socket = socket;
    this.session = connectHttp2('https://control', { createConnection: () => socket });
    this.session.on('error', () => undefined);
    this.session.on('goaway', () => {
      this.goneAway = true;
    });
  }

  /** Rejects when TLS fails on this side; a server that refuses later closes the connection. */
  static async connect(port: number, leaf: TestLeaf | undefined, options: ClientOptions): Promise<ControlTestClient> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const socket = connectTls({
      host: options.to ?? '127.0.0.1',
      port,
      ...(options.from === undefined ? {} : { localAddress: options.from }),
      ...(leaf === undefined ? {} : { cert: leaf.certificate, key: leaf.key }),
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
      ...options.tls,
    });
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
    await promise;
    socket.off('error', reject);
    socket.on('error', () => undefined);
    return new ControlTestClient(socket);
  }

  get(path: string): Follower {
    return new Follower(this.session.request({ ':method': 'GET', ':path': path }));
  }

  destination(key: string): Follower {
    return this.get(`/v1/destinations/${encodeURIComponent(key)}`);
  }

  /** Status and body of the answer. */
  async post(body: string, path = '/v1/status', method = 'POST'): Promise<readonly [number | undefined, string]> {
    const headers = { ':method': method, ':path': path, 'content-type': 'application/json' };
    const stream = this.session.request(headers, { endStream: false });
    const { promise, resolve } = Promise.withResolvers<void>();
    let status: number | undefined;
    let text = '';
    stream.setEncoding('utf8');
    stream.on('response', (headers) => {
      status = headers[':status'];
    });
    stream.on('data', (chunk: string) => {
      text += chunk;
    });
    stream.on('error', () => undefined);
    stream.on('close', resolve);
    stream.end(body);
    await promise;
    return [status, text];
  }

  /** Resolves when the connection is over; rejects after a time in which a busy machine gets to everything. */
  async closed(ms: number = 20_000): Promise<void> {
    if (this.session.destroyed) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => reject(new Error(`the connection still stands after ${ms} ms`)), ms);
    this.session.once('close', resolve);
    await promise;
    clearTimeout(timer);
  }

  end(): void {
    this.session.destroy();
    this.socket.destroy();
  }
}

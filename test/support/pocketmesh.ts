// A little mesh for the sidecar's integration tests: a CA, a control API, pods with a sidecar and an application, and the ways in which
// a test looks at them. Everything is on loopback and is ended by `end`.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import type { Authority } from '../../lib/pki/ca.ts';
import { FakeControl } from './control.ts';
import { DAY_MS, type TestLeaf, testAuthority } from './pki.ts';
import { relays } from './relays.ts';
import { type SelfOptions, startSidecar, type TestSidecar, type TestSidecarOptions, testSelf } from './sidecar.ts';
import { until } from './until.ts';

export { until };

import { usualWay, type Way } from './ways.ts';

/** What an application does with a connection. */
export type Behaviour = (socket: Socket) => void;

/** A sidecar with the application behind it. */
export interface Pod extends TestSidecar {
  readonly service: string;
  readonly applicationPort: number;
  /** Connections that the application has seen. */
  readonly seen: () => number;
}

/** Sends back what it gets. */
export const echo: Behaviour = (socket) => void socket.pipe(socket);

/** Everything that a socket receives until its end; `error` is the code of the error that ended it, if any. */
export async function received(socket: Socket): Promise<{ readonly text: string; readonly error: string | undefined }> {
  const chunks: Buffer[] = [];
  let error: string | undefined;
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', (thrown: NodeJS.ErrnoException) => {
    error = thrown.code;
  });
  await new Promise<void>((resolve) => {
    if (socket.destroyed) resolve();
    socket.once('end', resolve);
    socket.once('close', () => resolve());
  });
  return { text: Buffer.concat(chunks).toString('latin1'), error };
}

/** Sends `text`, ends, and returns what came back. */
export async function ask(socket: Socket, text: string): Promise<string> {
  socket.end(text);
  return (await received(socket)).text;
}

/** A CA, a control API and pods. */
export class Mesh {
  readonly authority: Authority;
  readonly control: FakeControl;
  readonly way: Way;
  readonly #ends: (() => unknown)[] = [];

  private constructor(authority: Authority, control: FakeControl, way: Way) {
    this.authority = authority;
    this.control = control;
    this.way = way;
    this.#ends.push(() => control.stop());
  }

  /** `way`: how its pods reach each other. */
  static async start(way: Way = usualWay): Promise<Mesh> {
    // Old enough to have signed certificates that have expired since.
    const authority = await testAuthority({ now: new Date(Date.now() - 3 * DAY_MS) });
    return new Mesh(authority, await FakeControl.start(authority), way);
  }

  /** Ends everything, the newest first. */
  async end(): Promise<void> {
    for (const end of this.#ends.reverse()) await end();
    this.#ends.length = 0;
  }

  /** Calls `end` when the mesh ends. */
  onEnd(end: () => unknown): void {
    this.#ends.push(end);
  }

  /** An empty folder that goes with the mesh. */
  folder(): string {
    const folder = mkdtempSync(join(tmpdir(), 'tabard-mesh-'));
    this.onEnd(() => rmSync(folder, { recursive: true, force: true }));
    return folder;
  }

  /** An application on a free port of a loopback address. */
  async application(
    behaviour: Behaviour,
    host: string = '127.0.0.1',
  ): Promise<{ readonly port: number; readonly seen: () => number }> {
    let connections = 0;
    const open = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      connections += 1;
      open.add(socket);
      socket.on('close', () => open.delete(socket));
      socket.on('error', () => undefined);
      behaviour(socket);
    });
    server.listen(0, host);
    await once(server, 'listening');
    this.onEnd(() => {
      server.close();
      for (const socket of open) socket.destroy();
    });
    return { port: (server.address() as AddressInfo).port, seen: () => connections };
  }

  /** A pod that is ready. `self` changes its policy. */
  async pod(
    service: string,
    options: Partial<TestSidecarOptions> & { readonly behaviour?: Behaviour; readonly self?: SelfOptions } = {},
  ): Promise<Pod> {
    const { behaviour = echo, self = {}, ...rest } = options;
    const application = await this.application(behaviour);
    this.tell(service, self);
    const { authority, control, way } = this;
    const openHalf = relays[way.relay];
    const applicationPort = application.port;
    const sidecar = await startSidecar({ authority, control, service, applicationPort, openHalf, ...rest });
    this.onEnd(() => rmSync(sidecar.stateFolder, { recursive: true, force: true }));
    this.onEnd(() => sidecar.stop());
    await until(() => sidecar.core.notReady().length === 0, `${service} is ready`);
    return { ...sidecar, service, applicationPort: application.port, seen: application.seen };
  }

  /** Pods `web` and `api`, the latter published as port 8080. */
  async pair(): Promise<{ readonly web: Pod; readonly api: Pod }> {
    const web = await this.pod('web');
    const api = await this.pod('api');
    this.publish(8080, [api]);
    return { web, api };
  }

  /** Tells the pods of a service their policy. */
  tell(service: string, self: SelfOptions = {}): void {
    const connections = { transport: this.way.transport, ...self.connections };
    this.control.setSelf(testSelf(service, this.authority.certificate, { ...self, connections }));
  }

  /** Makes `127.0.0.1:port` a destination with these pods behind it. */
  publish(port: number, pods: readonly Pod[]): void {
    this.control.setDestination(`127.0.0.1:${port}`, {
      known: true,
      serverName: `${pods[0]?.service ?? 'none'}.shop.svc.cluster.local`,
      endpoints: pods.map(({ core, identity }) => ({
        address: '127.0.0.1',
        port: core.inbound.port,
        transport: 'mutual',
        identity,
      })),
    });
  }
}

/** A TLS client without a sidecar, on a connection to a pod's inbound port. Its handshake may have failed: look at `received`. */
export function client(socket: Socket, leaf: TestLeaf | undefined, options: ConnectionOptions = {}): TLSSocket {
  const credentials = leaf === undefined ? {} : { cert: leaf.certificate, key: leaf.key };
  const secure = connectTls({ socket, rejectUnauthorized: false, servername: 'api', ...credentials, ...options });
  secure.on('error', () => undefined);
  return secure;
}

/** The lines of a pod's log about refused connections. */
export function refusals(pod: TestSidecar): readonly TestSidecar['lines'][number][] {
  return pod.lines.filter(({ msg }) => msg === 'connection refused');
}

/** The lines of a pod's log about connections that were carried. */
export function carried(pod: TestSidecar): readonly TestSidecar['lines'][number][] {
  return pod.lines.filter(({ msg }) => msg === 'connection');
}

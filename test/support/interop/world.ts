// One mesh for all servers and clients of the interop tests: the folders of three services as the kubelet keeps them, every program at
// work on them, and the steps of a certificate's life.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { progressOn } from '../../../hack/cluster/progress.ts';
import { type InteropTools, interopTools } from '../../../hack/interop/tools.ts';
import type { Authority } from '../../../lib/pki/ca.ts';
import { testAuthority } from '../pki.ts';
import { type Client, type Credentials, clientKinds, nodeCall } from './clients.ts';
import { project } from './projected.ts';
import { type Issued, issued, withBundle } from './secrets.ts';
import { type Server, scratchIn, serverKinds } from './servers.ts';
import { okHttpClient, springServer, startSpring } from './spring.ts';

/** Services with a folder each. The key of Mono's is RSA, as its TLS knows no other. */
const keys = { web: 'ECDSA-P256', caller: 'ECDSA-P256', mono: 'RSA-2048' } as const;
export type Service = keyof typeof keys;
const services = Object.keys(keys) as readonly Service[];

/** Longest time in which a server must have taken up new files: generous, as the machine may be busy. */
const settleMs = 120_000;

/** What a server must do once it has taken up its files. */
export interface Expectation {
  /** Clients that it must accept and refuse. */
  readonly accepts: readonly Credentials[];
  readonly refuses: readonly Credentials[];
}

/** Everything that runs. */
export class World {
  readonly first: Authority;
  readonly second: Authority;
  readonly servers = new Map<string, Server>();
  readonly clients = new Map<string, Client>();
  /** What each folder shows. */
  readonly now = new Map<Service, Issued>();
  readonly #folder = mkdtempSync(join(tmpdir(), 'tabard-interop-'));

  private constructor(first: Authority, second: Authority) {
    this.first = first;
    this.second = second;
    for (const service of services) mkdirSync(this.folder(service));
  }

  /** Starts every program on certificates of the first CA. */
  static async start(): Promise<World> {
    const tools = await interopTools(progressOn((line) => process.stderr.write(`${line}\n`)));
    const world = new World(await testAuthority(), await testAuthority());
    try {
      for (const service of services) await world.issue(service, world.first, [world.first]);
      await world.#startPrograms(tools);
      return world;
    } catch (error) {
      await world.stop();
      throw error;
    }
  }

  async #startPrograms(tools: InteropTools): Promise<void> {
    const client = this.folder('caller');
    const place = (name: string, service: Service) => ({
      tls: this.folder(service),
      client,
      scratch: scratchIn(this.#folder, name),
    });
    for (const kind of serverKinds)
      this.servers.set(kind.name, await kind.start(tools, place(kind.name, kind.service)));
    for (const kind of clientKinds) this.clients.set(kind.name, await kind.start(tools, this.folder(kind.service)));
    const spring = await startSpring(tools, place(springServer.name, springServer.service));
    this.servers.set(springServer.name, spring.server);
    this.clients.set(okHttpClient.name, spring.client);
  }

  folder(service: Service): string {
    return join(this.#folder, service);
  }

  /** A new certificate in a service's folder. */
  async issue(service: Service, authority: Authority, bundle: readonly Authority[]): Promise<void> {
    this.#show(service, await issued(service, authority, bundle, keys[service]));
  }

  /** Another bundle beside the same certificate, in every folder. */
  async trust(bundle: readonly Authority[]): Promise<void> {
    for (const [service, known] of this.now) this.#show(service, await withBundle(service, known, bundle));
  }

  #show(service: Service, next: Issued): void {
    project(this.folder(service), next.files);
    this.now.set(service, next);
  }

  /** Has every server take up its files, and waits until each shows the serial and accepts and refuses whom it must. */
  async settled(expected: Expectation): Promise<readonly string[]> {
    for (const server of this.servers.values()) await server.reload();
    const faults = await Promise.all([...this.servers].map(([name, server]) => this.#settles(name, server, expected)));
    return faults.flat();
  }

  async #settles(name: string, server: Server, expected: Expectation): Promise<readonly string[]> {
    const deadline = performance.now() + settleMs;
    for (;;) {
      const faults = await this.#faults(name, server, expected);
      if (faults.length === 0 || performance.now() > deadline) return faults;
      await delay(200);
    }
  }

  async #faults(name: string, server: Server, { accepts, refuses }: Expectation): Promise<readonly string[]> {
    const { host, serial } = this.#identity(name);
    const found: string[] = [];
    for (const [index, credentials] of accepts.entries()) {
      const answer = await nodeCall(credentials, host, server.port);
      if (answer !== `ok ${serial} 200`)
        found.push(`${name}: accepted client ${index} gets "${answer}", not ${serial}`);
    }
    for (const [index, credentials] of refuses.entries()) {
      const answer = await nodeCall(credentials, host, server.port);
      if (!answer.startsWith('error')) found.push(`${name}: client ${index} that it must refuse gets "${answer}"`);
    }
    return found;
  }

  /** Every client calls every server; what goes wrong also after clients had time to take up their files, by `client -> server`. */
  async callAll(): Promise<ReadonlyMap<string, string>> {
    const deadline = performance.now() + settleMs;
    for (;;) {
      const wrong = await this.#callAll();
      if (wrong.size === 0 || performance.now() > deadline) return wrong;
      await delay(500);
    }
  }

  async #callAll(): Promise<ReadonlyMap<string, string>> {
    const wrong = new Map<string, string>();
    const perClient = [...this.clients].map(async ([clientName, client]) => {
      for (const [serverName, server] of this.servers) {
        const { host, serial } = this.#identity(serverName);
        const answer = await client.call(host, server.port);
        if (answer !== `ok ${serial} 200` && answer !== 'ok - 200') wrong.set(`${clientName} -> ${serverName}`, answer);
      }
    });
    await Promise.all(perClient);
    return wrong;
  }

  #identity(server: string): { readonly host: string; readonly serial: string } {
    const service = serverKinds.find(({ name }) => name === server)?.service ?? springServer.service;
    return { host: `${service}.shop.svc`, serial: this.now.get(service)?.serial ?? '' };
  }

  /** Ends every program. */
  async stop(): Promise<void> {
    const all = [...this.clients.values(), ...this.servers.values()];
    await Promise.all(all.map((each) => each.stop()));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

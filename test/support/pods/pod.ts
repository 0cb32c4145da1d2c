// One pod of a test: a network namespace with the redirect's rules, the sidecar as its container runs it, and an application. Either can be
// paused, ended and started anew, and the cable can be pulled.
import { chownSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { env, PROXY_UID, ports } from '../../../lib/api/contract.ts';
import type { Netns } from '../capture/netns.ts';
import type { RelayName } from '../relays.ts';
import { until } from '../until.ts';
import type { ApplicationQuestion, ApplicationState } from './application.ts';
import type { ControlQuestion, Page } from './control.ts';
import { Inside, type Line } from './inside.ts';

/** How a pod's sidecar runs. */
export interface SidecarSettings {
  /** The bundle. */
  readonly program: string;
  /** Its own choice where none is named. */
  readonly relay?: RelayName;
  /** How many processes it is; one by default. */
  readonly workers?: number;
  /** How long it may take to let its connections end. */
  readonly drainSeconds?: number;
  /** `debug` tells everything, and is for tests that end soon. */
  readonly logLevel?: 'debug' | 'info';
  /** How long its certificate is good; a day. */
  readonly certificateMs?: number;
  /** Further options of Node's. */
  readonly options?: readonly string[];
}

/** What a pod needs of the world around it. */
export interface PodDeps {
  readonly name: string;
  readonly netns: Netns;
  readonly address: string;
  /** For certificate and state; on the way to it everybody may pass. */
  readonly folder: string;
  readonly controlAddress: string;
  readonly controlIdentity: string;
  control<T>(question: ControlQuestion): Promise<T>;
  /** Pulls the cable at the node's end, or plugs it in. */
  plug(isIn: boolean): void;
  /** Takes the cable away for good. */
  unplug(): void;
}

/** Any of the figures of a pod is looked at until it is as it should be; a busy machine takes its time. */
const PATIENCE_MS = 120_000;
const MAX_STARTS = 10;

/** A pod. */
export class TestPod {
  readonly name: string;
  readonly address: string;
  readonly netns: Netns;
  readonly #deps: PodDeps;
  #sidecar: Inside | undefined;
  #application: Inside | undefined;

  constructor(deps: PodDeps) {
    this.#deps = deps;
    this.name = deps.name;
    this.address = deps.address;
    this.netns = deps.netns;
  }

  /** Identity of its service, which has its name. */
  get identity(): string {
    return `spiffe://cluster.local/ns/shop/svc/${this.name}`;
  }

  get sidecar(): Inside {
    if (this.#sidecar === undefined) throw new Error(`${this.name} has no sidecar`);
    return this.#sidecar;
  }

  get application(): Inside {
    if (this.#application === undefined) throw new Error(`${this.name} has no application`);
    return this.#application;
  }

  /** The sidecar's log. */
  get log(): readonly Line[] {
    return this.sidecar.lines;
  }

  /** Starts a sidecar, in the place of the one before, and waits until it is ready. */
  async startSidecar(settings: SidecarSettings): Promise<void> {
    await this.#sidecar?.end();
    for (let tries = 0; tries < MAX_STARTS; tries += 1) {
      await this.#startOne(settings);
      const chosen = this.log.find(({ msg }) => msg === 'relay chosen');
      if (settings.relay === undefined || chosen?.['path'] === settings.relay) return;
      // On a machine that is very busy the fast relay's self-test may not end in time, and the sidecar is right to take the other.
      await this.sidecar.end();
    }
    throw new Error(`${this.name} never came to run on the ${settings.relay} relay`);
  }

  /** Waits until the sidecar says that it is ready. */
  async ready(): Promise<void> {
    const { sidecar } = this;
    await this.#eventually('is ready', async () => {
      if (sidecar.isOver) throw new Error(`${this.name}'s sidecar ended: ${JSON.stringify(sidecar.lines.at(-1))}`);
      return (await this.page('/ready')).status === 200;
    });
  }

  /** A page of the admin port. */
  page(path: string): Promise<Page> {
    return this.#deps.control({ do: 'get', url: `http://${this.address}:${ports.admin}${path}` });
  }

  /** A number of the sidecar's metrics; 0 where it has none, and no number while it does not answer. */
  async metric(name: string): Promise<number> {
    const { status, text } = await this.page('/metrics');
    if (status !== 200) return Number.NaN;
    return Number(
      text
        .split('\n')
        .find((line) => line.startsWith(`${name} `))
        ?.split(' ')[1] ?? 0,
    );
  }

  /** Waits until the sidecar has so many connections in a direction, tunnels aside. */
  untilLive(direction: 'inbound' | 'outbound', count: number): Promise<void> {
    const name = `tabard_connections_active{direction="${direction}"}`;
    return this.#eventually(`has ${count} ${direction} connections`, async () => (await this.metric(name)) === count);
  }

  /** Waits until no connection of the application is open. */
  untilIdle(): Promise<void> {
    return this.#eventually('is idle', async () => (await this.ask<ApplicationState>({ do: 'state' })).open === 0);
  }

  /** Waits until the sidecar has logged this. */
  untilLogged(line: (line: Line) => boolean, what: string): Promise<void> {
    return until(() => this.log.some(line), `${this.name}: ${what}`, PATIENCE_MS);
  }

  /** Starts what does not run, and the application anew. */
  async restart(settings: SidecarSettings): Promise<void> {
    await this.#application?.end();
    this.startApplication();
    if (this.#sidecar?.isOver !== false) await this.startSidecar(settings);
  }

  /** Starts an application, in the place of the one before. */
  startApplication(): void {
    const script = join(import.meta.dirname, 'application.ts');
    this.#application = new Inside(this.netns, 'application', { args: [script] });
  }

  /** Asks the application. */
  ask<T = undefined>(question: ApplicationQuestion): Promise<T> {
    return this.application.ask<T>(question);
  }

  /** Calls an echo: what came back, or undefined where the connection was refused. */
  call(to: string, port: number, line: string, keep?: string): Promise<string | null> {
    return this.ask<string | null>({ do: 'call', to, port, line, ...(keep === undefined ? {} : { keep }) });
  }

  /** Calls until somebody answers so. */
  untilAnswers(to: string, port: number, answer: string): Promise<void> {
    return this.#eventually(
      `hears "${answer}" from ${to}`,
      async () => (await this.call(to, port, 'hello')) === answer,
    );
  }

  /** Pulls the cable: what is sent is lost, and nobody is told. */
  pull(): void {
    this.#deps.plug(false);
  }

  /** Plugs it in again. */
  plug(): void {
    this.#deps.plug(true);
  }

  /** Takes the cable away for good. */
  unplug(): void {
    this.#deps.unplug();
  }

  async end(): Promise<void> {
    await Promise.all([this.#sidecar?.end(), this.#application?.end()]);
  }

  async #startOne(settings: SidecarSettings): Promise<void> {
    const {
      program,
      relay,
      workers = 1,
      drainSeconds = 60,
      logLevel = 'debug',
      options = [],
      certificateMs,
    } = settings;
    const { folder, controlAddress, controlIdentity, address, name } = this.#deps;
    const tls = join(folder, 'tls');
    const state = join(folder, 'state');
    const lifetime = certificateMs === undefined ? {} : { lifetimeMs: certificateMs };
    await this.#deps.control({ do: 'certify', service: name, folder: tls, ...lifetime });
    // A new pod's: with what the one before kept it would be ready, and go by it, before it is told what holds now.
    rmSync(state, { recursive: true, force: true });
    mkdirSync(state);
    chownSync(state, PROXY_UID, PROXY_UID);
    this.#sidecar = new Inside(this.netns, 'proxy', {
      // As the webhook starts it (webhook/container.ts), but for the log.
      args: ['--no-maglev', '--v8-pool-size=1', '--max-semi-space-size=2', '--expose-gc', ...options, program],
      env: {
        [env.podName]: `${name}-0`,
        [env.podUid]: `uid-${name}`,
        [env.podIps]: address,
        [env.service]: name,
        [env.controlAddress]: controlAddress,
        [env.controlIdentity]: controlIdentity,
        [env.logLevel]: logLevel,
        [env.relay]: relay === 'public' ? 'Public' : 'Auto',
        [env.drainSeconds]: String(drainSeconds),
        [env.workers]: String(workers),
        TABARD_TLS_FOLDER: tls,
        TABARD_STATE_FOLDER: state,
      },
    });
    await this.ready();
  }

  async #eventually(what: string, condition: () => Promise<boolean>): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (!(await condition())) {
      if (performance.now() > end) throw new Error(`${this.name} never ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
}

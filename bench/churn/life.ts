// The world of the churn and what goes on in it: two pods whose sidecars are watched, a server and a client that come and go, policies,
// certificates, revocations and the control API. Every kind of event has its turn, so that a cycle ends as every other one does.
import { readFileSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { Inside } from '../../test/support/pods/inside.ts';
import type { TestPod } from '../../test/support/pods/pod.ts';
import { PodWorld } from '../../test/support/pods/world.ts';
import type { Called, CallerQuestion } from './caller.ts';
import { clientPolicies, common, type Policy, serverPolicies } from './policies.ts';
import { DEAF_PORT, HTTP_PORT, IMPOSTOR, PLAIN_PORT, SHAKY, STEADY } from './ports.ts';
import type { Held } from './probe.ts';

/** Whose sidecars are watched. */
export const watched = ['client', 'server'] as const;
export type Watched = (typeof watched)[number];

/** Kinds of them that are told apart: details may hold anything. */
const MOST_REFUSALS = 50;

/** How much goes on. */
export interface Pace {
  /** Connections of the client in a second. */
  readonly perSecond: number;
  /** Connections that stay. */
  readonly lasting: number;
  /** How long certificates live: some cycles, as what is remembered of one has to go with it. */
  readonly certificateMs: number;
}

/** The running world. */
export class Churn {
  readonly #world: PodWorld;
  readonly #certificateMs: number;
  readonly #pods: Readonly<Record<Watched | 'second' | 'visitor', TestPod>>;
  readonly #callers: { client: Inside; visitor: Inside };
  readonly #programs: Inside[];
  #cycles = 0;
  /** Lines of the watched sidecars that tell of a fault of their own. */
  readonly faults: string[] = [];
  /** Why the watched sidecars refused or lost connections, and how often they said so. */
  readonly refusals = new Map<string, number>();

  private constructor(parts: {
    world: PodWorld;
    certificateMs: number;
    pods: Readonly<Record<Watched | 'second' | 'visitor', TestPod>>;
    callers: { client: Inside; visitor: Inside };
    programs: Inside[];
  }) {
    this.#world = parts.world;
    this.#certificateMs = parts.certificateMs;
    this.#pods = parts.pods;
    this.#callers = parts.callers;
    this.#programs = parts.programs;
  }

  /** Everything up. */
  static async start({ perSecond, lasting, certificateMs }: Pace): Promise<Churn> {
    const world = await PodWorld.start();
    try {
      const probe = join(world.folder, 'probe.mjs');
      writeFileSync(probe, stripTypeScriptTypes(readFileSync(join(import.meta.dirname, 'probe.ts'), 'utf8')));
      const [server, client, second, visitor] = ['server', 'client', 'second', 'visitor'].map((name) =>
        world.pod(name),
      );
      if (!server || !client || !second || !visitor) throw new Error('four pods were made');
      const pods = { server, client, second, visitor };
      const run = (pod: TestPod, script: string, ...args: readonly string[]): Inside =>
        new Inside(pod.netns, 'application', { args: [join(import.meta.dirname, script), ...args] });
      const programs = [run(server, 'server.ts'), run(second, 'server.ts')];
      for (const pod of Object.values(pods)) {
        await tell(world, pod, { transport: 'Tunnel', self: {} });
        const settings = quiet(world, certificateMs);
        await pod.startSidecar(isWatched(pod) ? { ...settings, options: ['--import', probe] } : settings);
      }
      await publish(world, pods, true);
      const callers = {
        client: run(client, 'caller.ts', String(perSecond), String(lasting)),
        visitor: run(visitor, 'caller.ts', '1', '1'),
      };
      return new Churn({
        world,
        certificateMs,
        pods,
        callers,
        programs: [...programs, callers.client, callers.visitor],
      });
    } catch (error) {
      await world.end();
      throw error;
    }
  }

  /** How often every event has had its turn. */
  get cycles(): number {
    return this.#cycles;
  }

  /** Every event once, with a pause after each; the connections go on meanwhile. */
  async cycle(pause: () => Promise<void>): Promise<void> {
    this.#cycles += 1;
    const { server, client, second, visitor } = this.#pods;
    const tls = (pod: TestPod): string => join(this.#world.folder, pod.name, 'tls');
    const certify = (pod: TestPod) =>
      this.#world.control({ do: 'certify', service: pod.name, folder: tls(pod), lifetimeMs: this.#certificateMs });
    const again = (pod: TestPod) => pod.startSidecar(quiet(this.#world, this.#certificateMs));
    const serial = this.#cycles.toString(16).toUpperCase();
    const events: readonly (() => Promise<unknown>)[] = [
      () => tell(this.#world, server, pick(serverPolicies, this.#cycles)),
      () => second.sidecar.end(),
      () => certify(server),
      () => publish(this.#world, this.#pods, false),
      () => this.#world.control({ do: 'revoke', entries: [{ identity: visitor.identity }, { serial }] }),
      () => tell(this.#world, client, pick(clientPolicies, this.#cycles)),
      () => again(visitor),
      () => certify(client),
      () => again(second),
      // In plaintext, and past every sidecar but the server's.
      () => this.#world.control({ do: 'get', url: `http://${server.address}:${PLAIN_PORT}/` }),
      () => publish(this.#world, this.#pods, true),
      () => this.#world.control({ do: 'revoke', entries: [] }),
      () => this.#world.control({ do: 'hang up' }),
    ];
    for (const event of events) {
      await event();
      await pause();
      this.#look();
    }
  }

  /** What the watched sidecars hold while nothing but lasting connections goes through them. */
  async sample(): Promise<Readonly<Record<Watched, Held>>> {
    const { client } = this.#callers;
    await ask(client, 'rest');
    const [clientHeld, serverHeld] = await Promise.all(watched.map((name) => this.#pods[name].sidecar.ask<Held>({})));
    await ask(client, 'go on');
    if (clientHeld === undefined || serverHeld === undefined) throw new Error('a sidecar did not say what it holds');
    return { client: clientHeld, server: serverHeld };
  }

  /** What came of the connections through the watched two. */
  called(): Promise<Called> {
    return ask(this.#callers.client, 'tell');
  }

  /** A figure of a watched sidecar. */
  metric(name: Watched, metric: string): Promise<number> {
    return this.#pods[name].metric(metric);
  }

  async end(): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.end()));
    await this.#world.end();
  }

  #count(said: string): void {
    const what = said.replace(/\d+/g, '#');
    if (this.refusals.size < MOST_REFUSALS || this.refusals.has(what)) {
      this.refusals.set(what, (this.refusals.get(what) ?? 0) + 1);
    }
  }

  /** Reads what the sidecars say, and forgets it: a day of it is much. */
  #look(): void {
    for (const name of watched) {
      const { sidecar } = this.#pods[name];
      if (sidecar.isOver) throw new Error(`the ${name}'s sidecar ended: ${JSON.stringify(sidecar.lines.at(-1))}`);
      const lines = sidecar.lines.splice(0);
      for (const { msg, reason, detail, cause } of lines) {
        if (msg === 'connection refused') this.#count(`${name} refused: ${String(reason)}, ${String(detail)}`);
        if (msg === 'tunnel ended' && cause !== 'closed') this.#count(`${name}'s tunnel ended: ${String(cause)}`);
      }
      const bad = lines.filter(({ level }) => level === 'error' || level === 'fatal');
      this.faults.push(...bad.map((line) => `${name}: ${JSON.stringify(line)}`));
    }
    for (const name of ['second', 'visitor'] as const) this.#pods[name].sidecar.lines.splice(0);
  }
}

const isWatched = ({ name }: TestPod): boolean => watched.some((each) => each === name);
const quiet = (world: PodWorld, certificateMs: number) =>
  ({ program: world.today, logLevel: 'info', certificateMs }) as const;
const pick = (policies: readonly Policy[], turn: number): Policy =>
  policies[turn % policies.length] ?? { transport: 'Tunnel', self: {} };
const ask = (caller: Inside, question: CallerQuestion['do']): Promise<Called> =>
  caller.ask<Called>({ do: question } satisfies CallerQuestion);

function tell(world: PodWorld, pod: TestPod, { transport, self }: Policy): Promise<void> {
  const connections = { handshakeTimeoutMs: 10_000, ...self.connections };
  return world.tell(pod, transport, { ...common, ...self, connections });
}

async function publish(
  world: PodWorld,
  { server, second }: Readonly<Record<'server' | 'second', TestPod>>,
  isBack: boolean,
): Promise<void> {
  for (const port of [PLAIN_PORT, HTTP_PORT, DEAF_PORT]) await world.publish(STEADY, port, [server]);
  await world.publish(SHAKY, PLAIN_PORT, isBack ? [server, second] : [server]);
  const promised = {
    address: server.address,
    port: PLAIN_PORT,
    transport: 'mutual',
    identity: second.identity,
  } as const;
  await world.control({
    do: 'destination',
    key: `${IMPOSTOR}:${PLAIN_PORT}`,
    destination: { known: true, serverName: 'second.shop.svc.cluster.local', endpoints: [promised] },
  });
}

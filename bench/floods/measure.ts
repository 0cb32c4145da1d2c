// Healthy clients with and without a flood beside them, in turns.
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { FloodCounts } from '../../test/support/floods/hostile.ts';
import type { Flood } from '../../test/support/floods/kinds.ts';
import { dnsNameOf } from '../dataplane/contestant.ts';
import type { Load, Pair, Sample } from '../dataplane/pair.ts';
import { end, Lines } from '../dataplane/program.ts';
import type { HostileOrder } from './hostile.ts';

/** Where the application of hostile clients listens, in the server's pod. */
export const hostilePort = 8081;

/** What healthy clients do: a rate that leaves most of the machine alone, from the moment at which each request is due. */
export const healthy: Load = { shape: 'keepalive', connections: 16, rate: 500, seconds: 3 };

/** A flood has gone on for so long before it is looked at. */
const LEAD_MS = 1_000;
const script = (name: string): string => join(import.meta.dirname, name);
const flags = ['--disable-warning=ExperimentalWarning'];

/** One look at one flood. */
export interface Round {
  readonly alone: Sample;
  readonly beside: Sample;
  /** Memory of the server's sidecar at the end of the flood, in megabytes. */
  readonly serverMb: number;
  readonly counts: FloodCounts;
}

/** Attackers of each look have an address that nobody had before: what the last ones did is not held against them. */
const attackers = { prefix: '10.77.200', used: 0 };

/** Starts the application of hostile clients, whose addresses are the client's pod's from then on. Ends with the benchmark, or when `end` is called. */
export async function startApplication(pair: Pair): Promise<{ end(): Promise<void> }> {
  const route = ['route', 'replace', 'local', `${attackers.prefix}.0/24`, 'dev', 'lo'];
  const [failed] = await once(
    pair.launch('client', 'application', () => ({ command: 'ip', args: route })),
    'exit',
  );
  if (failed !== 0) throw new Error('the client has no addresses for attackers');
  const child = pair.launch('server', 'application', ({ server }) => ({
    command: process.execPath,
    args: [...flags, script('application.ts'), server, String(hostilePort)],
  }));
  await new Lines(child).next();
  return { end: () => end(child) };
}

/** Healthy clients without and with the flood; which comes first changes from round to round. */
export async function look(
  pair: Pair,
  flood: Flood,
  { round, length }: { round: number; length: number },
): Promise<Round> {
  const load = { ...healthy, seconds: (healthy.seconds ?? 1) * length };
  const before = round % 2 === 0 ? await pair.load(load) : undefined;
  const attacked = await besideFlood(pair, flood, load);
  // What the flood has left is over by then.
  await delay(LEAD_MS);
  return { alone: before ?? (await pair.load(load)), ...attacked };
}

async function besideFlood(pair: Pair, flood: Flood, load: Load): Promise<Omit<Round, 'alone'>> {
  attackers.used += 1;
  const from = `${attackers.prefix}.${attackers.used}`;
  // As the proxy's user: nothing of the client's sidecar is in between, as with any client of the mesh that has none.
  const child = pair.launch('client', 'proxy', ({ server, tls, peerService }) => {
    const serverName = dnsNameOf(peerService);
    const order: HostileOrder = { flood: flood.name, from, host: server, port: hostilePort, tls, serverName };
    const hostile = [process.execPath, ...flags, script('hostile.ts'), JSON.stringify(order)];
    // Attackers have machines of their own: here, where they share one, whoever else wants the processor gets it first (SCHED_IDLE, sched(7)).
    return { command: 'chrt', args: ['--idle', '0', ...hostile] };
  });
  const lines = new Lines(child);
  try {
    await lines.next();
    child.stdin?.write('go\n');
    await delay(LEAD_MS);
    const beside = await pair.load(load);
    const serverMb = pair.memory().server;
    child.stdin?.write('enough\n');
    return { beside, serverMb, counts: JSON.parse(await lines.next()) as FloodCounts };
  } finally {
    await end(child);
  }
}

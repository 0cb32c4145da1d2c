// Does a sidecar do more with more cores: `node bench/cores.ts [--quick] [--part 0.1] [--only direct]`. Sidecars of one, two and three
// workers, each worker held to a part of a core by a quota of its own, so that on any machine it is the workers that everybody waits for; loaded in turns, over both transports. Prints one line per figure;
// the last line is {"bars":[...]}. Needs root, for network namespaces and control groups.
import { parseArgs } from 'node:util';
import { progressOn } from '../hack/cluster/progress.ts';
import { Quotas } from './cores/quota.ts';
import { assemble, hold, type Size, sizes, type Team, type Turn, turn, type Work, warm } from './cores/scaling.ts';
import { workersPair } from './dataplane/tabard.ts';
import { World } from './dataplane/world.ts';
import { type Bar, bar, line, quantile, spreadText } from './issuance/figures.ts';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    part: { type: 'string', default: '0.1' },
    only: { type: 'string', default: '' },
  },
});
/** Of a core, for each worker of the server's sidecar. Three times a tenth leaves most of two cores to clients, their sidecar and the application. */
const part = Number(values.part);
const { rounds, seconds } = values.quick ? { rounds: 2, seconds: 2 } : { rounds: 7, seconds: 4 };
const progress = progressOn((text) => process.stderr.write(`${text}\n`));
/** What so many workers must do at least, of what one does. */
const least: Readonly<Record<Size, number>> = { 1: 1, 2: 1.6, 3: 2.2 };
/** Where workers use less than this of their part it is not they who hold things up, and the other bars say nothing of them. */
const LEAST_USED = 0.8;

/** A kind of traffic, how many workers the client's sidecar has for it, and what is done. */
interface Way {
  readonly transport: 'Direct' | 'Tunnel';
  readonly clients: number;
  readonly works: readonly Work[];
}

const connect: Work = {
  name: 'a connection per request, a second',
  load: { shape: 'connect', connections: 192, seconds },
  warmUp: 10_000,
};
const requests: Work = {
  name: 'small requests on 96 lasting connections, a second',
  load: { shape: 'keepalive', connections: 96, seconds },
  warmUp: 20_000,
};
/** Eight tunnels are dealt by chance, once, and new connections wait for the worker that has most of them. */
const dealt: Work = { ...connect, isAside: true };
/** Sessions are resumed by the worker that made them: with more workers a client that comes back makes more full handshakes. */
const resumed: Work = {
  name: 'a connection per request, resumed where it can be, a second',
  load: { shape: 'connect', connections: 64, seconds },
  warmUp: 1_000,
  isAside: true,
};
/** A tunnel is one connection, and so one worker's: eight workers on the other side have eight, as eight client pods have. */
const ways: readonly Way[] = [
  {
    transport: 'Direct',
    clients: 3,
    works: [
      { name: 'full mTLS handshakes a second', load: { shape: 'handshake', connections: 24, seconds }, warmUp: 1_000 },
      resumed,
      requests,
    ],
  },
  { transport: 'Tunnel', clients: 8, works: [dealt, requests] },
];

type Turns = Map<Size, Turn[]>;

/** What the workers used of their part in the work that used least of it. */
function leastUsed(found: ReadonlyMap<Work, Turns>): number {
  const all = [...found].flatMap(([{ isAside }, turns]) => (isAside === true ? [] : [...turns.values()]));
  return Math.min(
    ...all.map((each) =>
      quantile(
        each.map(({ used }) => used),
        0.5,
      ),
    ),
  );
}

function report(transport: string, { name, isAside = false }: Work, turns: Turns): readonly Bar[] {
  line(`${transport}: ${name}`, '');
  const rates = (size: Size): readonly number[] => (turns.get(size) ?? []).map(({ rate }) => rate);
  const bars: Bar[] = [];
  for (const size of sizes) {
    const all = turns.get(size) ?? [];
    const median = (of: (each: Turn) => number): string => quantile(all.map(of), 0.5).toFixed(2);
    const shares = Array.from({ length: size }, (_, index) => median((each) => each.shares[index] ?? 0)).join(' / ');
    line(`  ${size} ${size === 1 ? 'worker' : 'workers'}`, spreadText(rates(size)));
    line('    of what they may use they used; shares', `${median(({ used }) => used)}; ${shares}`);
    if (size === 1) continue;
    const ones = rates(1);
    const times = rates(size).map((rate, round) => rate / (ones[round] ?? Number.NaN));
    line('    times one worker', spreadText(times, 2), 'x');
    if (!isAside)
      bars.push(bar(`${transport}: ${name}, ${size} workers`, quantile(times, 0.5), { least: least[size] }, 'x one'));
  }
  return bars;
}

async function measure(
  teams: readonly Team[],
  works: readonly Work[],
  quotas: Quotas,
): Promise<ReadonlyMap<Work, Turns>> {
  for (const team of teams) {
    for (const work of works) await warm(team, work);
    progress.note(`${team.pair.name} is warm`);
  }
  for (const team of teams) hold(team, quotas, part);
  const found = new Map<Work, Turns>(works.map((work) => [work, new Map(sizes.map((size) => [size, []]))]));
  for (let round = 0; round < rounds; round += 1) {
    const first = round % teams.length;
    for (const [{ load }, turns] of found) {
      for (const team of [...teams.slice(first), ...teams.slice(0, first)]) {
        turns.get(team.size)?.push(await turn(team, load, part));
      }
    }
    progress.note(`round ${round + 1} of ${rounds}`);
  }
  return found;
}

async function alongWay(world: World, way: Way): Promise<readonly Bar[]> {
  const quotas = Quotas.open();
  const teams: Team[] = [];
  try {
    for (const size of sizes) {
      const pair = world.pairs.find(({ name }) => name === nameOf(way, size));
      if (pair === undefined) throw new Error(`there is no pair ${nameOf(way, size)}`);
      await pair.start();
      teams.push(await assemble(size, pair, way.clients));
    }
    const found = await measure(teams, way.works, quotas);
    const turns = [...found.values()].flatMap((each) => [...each.values()].flat());
    const failed = turns.reduce((sum, { errors }) => sum + errors, 0);
    return [
      ...[...found].flatMap(([work, each]) => report(way.transport, work, each)),
      bar(`${way.transport}: of their part the workers used`, leastUsed(found), { least: LEAST_USED }, ''),
      bar(`${way.transport}: what failed`, failed, { most: 0 }, ''),
    ];
  } finally {
    await Promise.all(teams.map(({ pair }) => pair.stop()));
    quotas.remove();
  }
}

function nameOf({ transport }: Way, size: Size): string {
  return `${transport}, ${size}`;
}

async function main(): Promise<void> {
  const chosen = ways.filter(({ transport }) => transport.toLowerCase().includes(values.only.toLowerCase()));
  const pairs = chosen.flatMap((way) =>
    sizes.map((size) => workersPair(nameOf(way, size), way.transport, { client: way.clients, server: size })),
  );
  const world = await World.make(pairs, progress);
  let ending: Promise<void> | undefined;
  const remove = (): Promise<void> => (ending ??= world.remove());
  // Namespaces outlive whoever made them.
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void remove().then(() => process.exit(1)));
  try {
    line('part of a core that each worker has', part);
    const bars: Bar[] = [];
    for (const way of chosen) bars.push(...(await alongWay(world, way)));
    process.stdout.write(`${JSON.stringify({ bars })}\n`);
    if (bars.some(({ ok }) => !ok)) process.exitCode = 1;
  } finally {
    await remove();
  }
}

await main();

// What the mesh and its snapshots cost for a cluster of a given size, without a network: `node --expose-gc bench/mesh.ts [services]
// [pods per service] [clients] [destinations per client]`. Prints one line per
// measure; times are CPU time. No bar is set for these figures, which the last line says in the form of all benchmarks.

import { systemClock } from '../lib/clock.ts';
import type { KubeObject } from '../lib/kube/object.ts';
import { createLogger } from '../lib/runtime/logger.ts';
import { selfContent } from '../operator/control/self.ts';
import { Topics } from '../operator/control/topics.ts';
import { destinationKey } from '../operator/mesh/address.ts';
import { MeshBench, pod, service, slice } from '../test/support/meshbench.ts';

const [services = 1_000, perService = 10, clients = 1_000, perClient = 20] = process.argv.slice(2).map(Number);

const ip = (index: number): string => `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`;
const podOf = (of: number, index: number, labels: Record<string, string> = {}) =>
  pod({ name: `s${of}-${index}`, ips: [ip(of * perService + index)], labels });
const clusterIp = (of: number): string => `172.${16 + (of >> 16)}.${(of >> 8) & 255}.${of & 255}`;
const sliceOf = (of: number, readyFrom = 0) =>
  slice({
    name: `s${of}-x`,
    of: `s${of}`,
    endpoints: Array.from({ length: perService }, (_, index) => ({
      ip: ip(of * perService + index),
      pod: `s${of}-${index}`,
      ready: index >= readyFrom,
    })),
  });

function heap(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

/** CPU time, which other work on the machine does not lengthen. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

function line(what: string, value: number, unit: string): void {
  process.stdout.write(`${what.padEnd(62)} ${value.toFixed(value < 10 ? 3 : 1).padStart(10)} ${unit}\n`);
}

const empty = heap();
const objects = Array.from({ length: services }, (_, of) => ({
  pods: Array.from({ length: perService }, (_unused, index) => podOf(of, index)),
  service: service({ name: `s${of}`, ips: [clusterIp(of)] }),
  slice: sliceOf(of),
}));
const loaded = heap();
line(`${services * perService} pods, ${services} Services and slices as objects`, loaded - empty, 'MB');

const bench = new MeshBench(systemClock);
let begun = cpuMs();
for (const each of objects) bench.apply(...each.pods, each.service, each.slice);
line('first list put into the mesh', cpuMs() - begun, 'ms');
line('the mesh itself', heap() - loaded, 'MB');

const turns = 10_000;
function measure(what: string, make: (turn: number) => KubeObject): void {
  const made = Array.from({ length: turns }, (_, turn) => make(turn));
  begun = cpuMs();
  for (const object of made) bench.apply(object);
  line(what, ((cpuMs() - begun) * 1_000) / turns, 'us');
}
measure('a pod event that changes nothing', (turn) => podOf(turn % services, 0));
measure('a pod event that changes something', (turn) => podOf(turn % services, 0, { turn: String(turn) }));
measure('a slice event', (turn) => sliceOf(turn % services, turn % 2));
begun = cpuMs();
for (let turn = 0; turn < turns; turn += 1) bench.mesh.destination({ address: clusterIp(turn % services), port: 80 });
line('an answer for a ClusterIP', ((cpuMs() - begun) * 1000) / turns, 'us');

const stop = new AbortController();
const sources = {
  mesh: bench.mesh,
  trustDomain: 'cluster.local',
  trustBundle: () => 'x'.repeat(1_200),
  clusterRanges: () => [],
};
const topics = new Topics({
  mesh: bench.mesh,
  selfOf: (of) => selfContent(sources, of),
  clock: systemClock,
  logger: createLogger({ name: 'operator', level: 'silent' }),
  signal: stop.signal,
});
const before = heap();
let delivered = 0;
begun = cpuMs();
for (let client = 0; client < clients; client += 1) {
  const uid = `uid-shop-s${client % services}-${client % perService}`;
  const who = { uid, node: 'node-1' };
  topics.follow({ kind: 'self', uid }, who, () => (delivered += 1));
  for (let index = 0; index < perClient; index += 1) {
    const at = { address: clusterIp((client * 7 + index * 13) % services), port: 80 };
    topics.follow({ kind: 'destination', at }, who, () => (delivered += 1));
  }
}
line(`${clients} clients follow themselves and ${perClient} destinations each`, cpuMs() - begun, 'ms');
const { topics: count, lines, bytes } = topics.sizes();
line('subjects followed', count, '');
line('lines kept (shared)', lines, '');
line('bytes of lines', bytes / 2 ** 20, 'MB');
line('subscriptions and lines, without sockets', heap() - before, 'MB');

delivered = 0;
begun = cpuMs();
const rounds = 50;
for (let round = 0; round < rounds; round += 1) {
  for (let of = 0; of < 20; of += 1) bench.apply(sliceOf((round * 20 + of) % services, (round + 1) % 2));
  await systemClock.sleep(20);
}
const spentMs = cpuMs() - begun;
line(`CPU for one changed slice, to all its followers (${delivered} lines)`, (spentMs * 1_000) / (rounds * 20), 'us');
begun = cpuMs();
topics.selfChanged();
delivered = 0;
bench.policies.set('none', {});
await systemClock.sleep(500);
line('lines after a change for everyone that changes nothing', delivered, '');
line(
  `one destination: ${destinationKey({ address: clusterIp(0), port: 80 })}, all of it`,
  bytes / Math.max(1, lines),
  'bytes',
);
stop.abort();
console.log(JSON.stringify({ bars: [] }));

// The spans of the benchmark against the API server. Each starts an operator of its own, waits for what it measures with a bound,
// and stops it.
import { join } from 'node:path';
import type { Progress } from '../../hack/cluster/progress.ts';
import { annotations, names } from '../../lib/api/contract.ts';
import { resources } from '../../lib/kube/resources.ts';
import { type Bar, bar, line, quantile, spreadText } from './figures.ts';
import { type BenchOperator, callsOf, controlPlaneCpuSeconds, gaugeOf, startOperator } from './operator.ts';
import { expireTogether } from './outage.ts';
import { SecretWatch } from './secrets.ts';
import { type Sample, StoredCount } from './stored.ts';
import type { World } from './world.ts';

/** What the spans work on. */
export interface Setting {
  readonly world: World;
  readonly progress: Progress;
  readonly folder: string;
  readonly bundle: string;
  readonly profile: string | undefined;
}

const longestMs = 600_000;
const nothing: Sample = { atMs: 0, count: 0 };
/** cert-manager's published figure: design/20221205-memory-management.md of its repository. */
const rival = 500 / 417;

async function operator(setting: Setting, name: string): Promise<BenchOperator> {
  const { world, folder, bundle, profile } = setting;
  const nodeArguments =
    profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`, `--cpu-prof-name=${name}.cpuprofile`];
  return startOperator({
    bundle,
    kubeconfig: world.operatorKubeconfig,
    log: join(folder, `${name}.log`),
    nodeArguments,
  });
}

/** First certificates of all services, whose pods are there already when the operator starts. */
export async function issuePhase(setting: Setting): Promise<readonly Bar[]> {
  const { world, progress } = setting;
  const count = world.services.length;
  await progress.step(`${count * world.size.podsPerService} pods with their status`, () => world.pods(world.services));
  const stored = await StoredCount.start(world.plane);
  const running = await operator(setting, 'issue');
  // The CA makes one Secret more.
  await stored.reaches(2, longestMs);
  const before = { operator: running.cpuSeconds(), plane: controlPlaneCpuSeconds(world.plane.name) };
  const left = count + 1 - stored.count;
  const complete = await progress.step(`${count} first certificates`, () => stored.reaches(count + 1, longestMs));
  if (!complete) throw new Error(`only ${stored.count - 1} of ${count} certificates came`);
  const cpu = (running.cpuSeconds() - before.operator) / left;
  const planeCpu = (controlPlaneCpuSeconds(world.plane.name) - before.plane) / left;
  await settled(running);
  const text = await running.metrics();
  const memory = running.memory();
  const logged = running.logBytes();
  await running.stop();
  stored.close();
  const [first = nothing, last = nothing] = [stored.samples[0], stored.samples.at(-1)];
  const rates = stored.perSecond();
  const rate = ((last.count - first.count) * 1_000) / Math.max(1, last.atMs - first.atMs);
  line(
    `operator ready to issue ${count} (from its start to the first Secret)`,
    (first.atMs - running.startedMs) / 1_000,
    's',
  );
  line('certificates end to end, all over all', rate, 'certificates/s');
  line('the same by full seconds (median, lowest to highest)', spreadText(rates), 'certificates/s');
  line('  beside it: cert-manager, 500 in 417 s (published)', rival, 'certificates/s');
  line('processor time per certificate: operator', cpu * 1_000, 'ms');
  line('processor time per certificate: API server and etcd', planeCpu * 1_000, 'ms');
  line('what two cores could do that have nothing else to do', 2 / (cpu + planeCpu), 'certificates/s (computed)');
  callLines(text, count);
  line('memory of the operator, resident (peak)', `${memory.rss.toFixed(0)} (${memory.peak.toFixed(0)})`, 'MB');
  const megabytes = (name: string): number => gaugeOf(text, name) / 2 ** 20;
  line(
    '  JavaScript heap in use; buffers',
    `${megabytes('nodejs_heap_size_used_bytes').toFixed(0)}; ${megabytes('nodejs_external_memory_bytes').toFixed(0)}`,
    'MB',
  );
  line('log per certificate', logged / count, 'bytes');
  const renewals = (await renewalTimes(world)).sort((a, b) => a - b);
  if (renewals.length !== count) throw new Error(`${renewals.length} certificates lie there, not ${count}`);
  const minutes = ((renewals.at(-1) ?? 0) - (renewals[0] ?? 0)) / 60_000;
  line('their renewals are spread over', minutes, 'minutes');
  return [
    bar('certificates end to end', rate, { least: 300 }, 'certificates/s'),
    bar('operator memory', Math.max(memory.rss, memory.peak), { most: 350 }, 'MB'),
    bar('writes of Secrets per certificate', secretWrites(text) / count, { most: 1.01 }, 'calls'),
  ];
}

/** When the certificates that lie in the cluster are to be renewed: epoch milliseconds. */
async function renewalTimes(world: World): Promise<number[]> {
  const watch = await SecretWatch.start(world.connection.client);
  await watch.stop();
  return [...watch.latest.values()].map(({ renewAtMs }) => renewAtMs);
}

/** How long a pod waits for its certificate when the mesh is otherwise quiet. */
export async function latencyPhase(setting: Setting): Promise<void> {
  const { world, progress } = setting;
  const { client } = world.connection;
  const running = await operator(setting, 'latency');
  await settled(running);
  const watch = await SecretWatch.start(client);
  const waits: number[] = [];
  // Apart from the rest, whose policies later spans change.
  await world.namespace('late');
  await progress.step('50 new services, one after the other', async () => {
    for (let index = 0; index < 50; index += 1) {
      const service = { namespace: 'late', name: `late-${index}`, index: world.services.length + index };
      await world.replicaSet(service);
      const before = watch.writes.length;
      const from = Date.now();
      await world.pod(service, 0);
      if (!(await watch.reaches(before + 1, 30_000))) throw new Error(`no certificate for ${service.name} within 30 s`);
      waits.push((watch.writes.at(-1)?.seenMs ?? 0) - from);
    }
  });
  await watch.stop();
  await running.stop();
  line('from the pod to its Secret, median', quantile(waits, 0.5), 'ms');
  line('from the pod to its Secret, 99th of 100', quantile(waits, 0.99), 'ms');
}

/** All certificates expire within a minute when the operator comes back. */
export async function outagePhase(setting: Setting): Promise<readonly Bar[]> {
  const { world, progress } = setting;
  const count = world.services.length;
  await progress.step(`${count} certificates that are due and expire together`, () => expireTogether(world));
  const watch = await SecretWatch.start(world.connection.client);
  const expiry = new Map([...watch.latest].map(([key, { notAfterMs }]) => [key, notAfterMs]));
  const running = await operator(setting, 'outage');
  const complete = await progress.step(`${count} renewals after the outage`, () => watch.reaches(count, longestMs));
  if (!complete) throw new Error(`only ${watch.writes.length} of ${count} certificates came`);
  const text = await running.metrics();
  const memory = running.memory();
  await running.stop();
  await watch.stop();
  const first = new Map<string, number>();
  for (const { key, seenMs } of watch.writes) if (!first.has(key)) first.set(key, seenMs);
  const times = [...first.values()];
  const spare = [...first].map(([key, seenMs]) => (expiry.get(key) ?? 0) - seenMs);
  const late = spare.filter((ms) => ms < 0).length;
  const order = [...first.keys()].map((key) => expiry.get(key) ?? 0);
  line(
    `after an outage: ${count} renewals took`,
    ((times.at(-1) ?? 0) - running.startedMs) / 1_000,
    's from the start',
  );
  line('  rate', (count * 1_000) / ((times.at(-1) ?? 0) - (times[0] ?? 0)), 'certificates/s');
  line('  time left of the one that came nearest to its end', Math.min(...spare) / 1_000, 's');
  line('  renewed before one that expires over 2 s earlier', 100 * disorder(order, 2_000), '% of renewals');
  line('  memory of the operator, resident (peak)', `${memory.rss.toFixed(0)} (${memory.peak.toFixed(0)})`, 'MB');
  callLines(text, count);
  return [bar('certificates late after an outage', late, { most: 0 }, 'certificates')];
}

/**
 * Every leaf is signed anew by another CA, at the pace of renewals. The CA is distrusted by order: no sidecars run here that could
 * report a new bundle, and without their reports a rotation rightly waits. The work of re-issuing is the same.
 */
export async function rotatePhase(setting: Setting): Promise<readonly Bar[]> {
  const { world, progress } = setting;
  const { client } = world.connection;
  const running = await operator(setting, 'rotate');
  await settled(running);
  const watch = await SecretWatch.start(client);
  const count = watch.latest.size;
  const ref = { name: names.defaultIssuer };
  const fingerprint = (await client.get(resources.tlsissuers, ref)).status?.caFingerprint ?? '';
  const from = Date.now();
  const cpu = running.cpuSeconds();
  await client.patch(resources.tlsissuers, ref, {
    metadata: { annotations: { [annotations.distrustNow]: fingerprint } },
  });
  const complete = await progress.step(`${count} certificates of another CA`, () => watch.reaches(count, longestMs));
  if (!complete) throw new Error(`only ${watch.writes.length} of ${count} certificates came`);
  const spent = running.cpuSeconds() - cpu;
  const memory = running.memory();
  await running.stop();
  await watch.stop();
  const times = watch.writes.map(({ seenMs }) => seenMs);
  const tookMs = (times.at(-1) ?? 0) - from;
  line(`another CA: ${count} certificates re-issued, paced at 50/s, in`, tookMs / 1_000, 's');
  line('  processor of the operator meanwhile', (spent * 100_000) / tookMs, '% of a core');
  line('  memory of the operator, resident (peak)', `${memory.rss.toFixed(0)} (${memory.peak.toFixed(0)})`, 'MB');
  return [];
}

/** Part of the renewals that came although another, expiring more than `slackMs` earlier, still waited. */
function disorder(order: readonly number[], slackMs: number): number {
  let soonestAfter = Infinity;
  let wrong = 0;
  for (const expires of [...order].reverse()) {
    if (expires > soonestAfter + slackMs) wrong += 1;
    soonestAfter = Math.min(soonestAfter, expires);
  }
  return wrong / order.length;
}

/** Waits, two minutes at most, until the operator has had nothing to do for two seconds. */
async function settled(running: BenchOperator): Promise<void> {
  let quiet = 0;
  for (let tries = 0; tries < 240 && quiet < 4; tries += 1) {
    const before = running.cpuSeconds();
    await new Promise((resolve) => setTimeout(resolve, 500));
    quiet = running.cpuSeconds() - before < 0.03 ? quiet + 1 : 0;
  }
}

function callLines(text: string, count: number): void {
  for (const [call, times] of callsOf(text)) {
    if (times >= count / 50 && !call.startsWith('list') && !call.startsWith('watch')) {
      line(`  calls per certificate: ${call}`, (times / count).toFixed(3));
    }
  }
}

function secretWrites(text: string): number {
  const calls = callsOf(text);
  return (calls.get('create secrets') ?? 0) + (calls.get('apply secrets') ?? 0);
}

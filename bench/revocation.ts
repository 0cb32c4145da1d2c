// From the apply of a TLSRevocation to the last live connection cut: `node bench/revocation.ts [--sidecars 500] [--trials 50]
// [--operators 1]`, with a real API server and etcd, operators as the image runs them, and simulated sidecars (bench/revocation/sidecar.ts), all on this
// machine. Prints one line per figure; the last line is {"bars":[...]}.
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildBundles } from '../hack/build.ts';
import { progressOn } from '../hack/cluster/progress.ts';
import { spiffeId } from '../lib/api/contract.ts';
import type { TLSRevocation } from '../lib/api/tlsrevocation.ts';
import type { KubeClient } from '../lib/kube/client.ts';
import { resources } from '../lib/kube/resources.ts';
import { bar, line, quantile } from './issuance/figures.ts';
import type { Answer, Order } from './revocation/fleet.ts';
import type { SimulatedPod } from './revocation/sidecar.ts';
import { namespace, startWorld } from './revocation/world.ts';

const { values } = parseArgs({
  options: {
    sidecars: { type: 'string', default: '500' },
    trials: { type: 'string', default: '50' },
    operators: { type: 'string', default: '1' },
  },
});
const [sidecars, trials, operators] = [values.sidecars, values.trials, values.operators].map(Number) as [
  number,
  number,
  number,
];
const pauseMs = 1_000;
/** Processes that the sidecars are spread over. */
const fleets = 2;
const progress = progressOn((text) => process.stderr.write(`${text}\n`));

/** A process with some sidecars. */
class Fleet {
  readonly #child: ChildProcess;

  constructor() {
    this.#child = fork(join(import.meta.dirname, 'revocation/fleet.ts'), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
  }

  /** Resolves with the next answer of that kind. */
  answer<K extends Answer['kind']>(kind: K): Promise<Extract<Answer, { kind: K }>> {
    return new Promise((resolve, reject) => {
      const gone = (): void => reject(new Error('a process of sidecars ended by itself'));
      const take = (answer: Answer): void => {
        if (answer.kind !== kind) return;
        this.#child.off('message', take);
        this.#child.off('exit', gone);
        resolve(answer as Extract<Answer, { kind: K }>);
      };
      this.#child.on('message', take);
      this.#child.on('exit', gone);
    });
  }

  order(order: Order): void {
    this.#child.send(order);
  }

  stop(): void {
    this.#child.removeAllListeners('exit');
    this.#child.disconnect();
  }
}

interface Trial {
  /** Milliseconds from the request to each cut. */
  readonly cutMs: readonly number[];
  /** Until the answer of the API server. */
  readonly appliedMs: number;
}

async function trial(client: KubeClient, all: readonly Fleet[], name: string): Promise<Trial> {
  const peer = spiffeId('cluster.local', namespace, name);
  const connected = all.map((fleet) => fleet.answer('connected'));
  const cut = Promise.all(all.map((fleet) => fleet.answer('cut')));
  for (const fleet of all) fleet.order({ kind: 'connect', peer });
  await Promise.all(connected);
  const begun = process.hrtime.bigint();
  await client.create(resources.tlsrevocations, {
    metadata: { name },
    spec: { identity: peer, reason: 'keyCompromise' },
  });
  const appliedMs = Number(process.hrtime.bigint() - begun) / 1e6;
  const cutMs = (await cut).flatMap(({ at }) => at.map((text) => Number(BigInt(text) - begun) / 1e6));
  return { cutMs, appliedMs };
}

/** Milliseconds until the status says that everybody enforces it; only with one operator, which hears of all. */
async function enforced(client: KubeClient, name: string): Promise<{ readonly ms: number; readonly text: string }> {
  const begun = performance.now();
  let last: TLSRevocation | undefined;
  while (performance.now() - begun < 60_000) {
    last = await client.get(resources.tlsrevocations, { name });
    if (last.status?.enforcedAt !== undefined) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { ms: performance.now() - begun, text: last?.status?.enforced ?? 'unknown' };
}

async function measure(client: KubeClient, pods: readonly SimulatedPod[]): Promise<readonly Trial[]> {
  const all = Array.from({ length: fleets }, () => new Fleet());
  try {
    const ready = all.map((fleet) => fleet.answer('ready'));
    await progress.step(`${pods.length} sidecars connected`, async () => {
      for (const [index, fleet] of all.entries()) {
        fleet.order({ kind: 'be', pods: pods.filter((_, at) => at % fleets === index) });
      }
      await Promise.all(ready);
    });
    const done: Trial[] = [];
    for (let round = 0; round <= trials; round += 1) {
      const name = `victim-${round}`;
      const result = await trial(client, all, name);
      // The first warms everything up.
      if (round > 0) done.push(result);
      if (round % 10 === 0) process.stderr.write(`trial ${round}: ${Math.max(...result.cutMs).toFixed(0)} ms\n`);
      if (round === trials && operators === 1) {
        const { ms, text } = await enforced(client, name);
        line('from the last cut to the status that says so', ms, `ms (${text} sidecars)`);
      }
      await client.delete(resources.tlsrevocations, { name });
      // Nobody applies a hundred one after the other: what one leads to (reports, status, the lifting) is not measured with the next.
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    return done;
  } finally {
    for (const fleet of all) fleet.stop();
  }
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tabard-revocation-'));
  try {
    line('load of the machine before (1 min)', loadavg()[0] ?? 0);
    const [bundle] = await buildBundles({ programs: ['operator'], folder });
    const services = Math.max(1, Math.round(sidecars / 10));
    const running = await startWorld(
      { sidecars, services, operators },
      { bundle: bundle?.path ?? '', folder },
      progress,
    );
    try {
      const cpuSeconds = (): number => running.operators.reduce((sum, each) => sum + each.cpuSeconds(), 0);
      const before = cpuSeconds();
      const done = await measure(running.world.connection.client, running.pods);
      const spentMs = ((cpuSeconds() - before) * 1_000) / done.length;
      const each = done.flatMap(({ cutMs }) => cutMs);
      const last = done.map(({ cutMs }) => Math.max(...cutMs));
      line('sidecars, operators, trials', `${sidecars}, ${operators}, ${done.length}`);
      line('live connections cut', each.length);
      line(
        'the API server has the revocation (p50)',
        quantile(
          done.map(({ appliedMs }) => appliedMs),
          0.5,
        ),
        'ms',
      );
      line('a connection cut after the apply (p50)', quantile(each, 0.5), 'ms');
      line('a connection cut after the apply (p99)', quantile(each, 0.99), 'ms');
      line('the last connection cut after the apply (p50)', quantile(last, 0.5), 'ms');
      line('the last connection cut after the apply (p99)', quantile(last, 0.99), 'ms');
      line('the last connection cut after the apply (worst)', Math.max(...last), 'ms');
      line('processor time of the operators, one revocation and its lifting', spentMs, 'ms');
      line('memory of the operators', running.operators.map((each) => each.memory().rss.toFixed(0)).join(', '), 'MB');
      line('load of the machine after (1 min)', loadavg()[0] ?? 0);
      const verdict = bar('last live connection cut, p99', quantile(last, 0.99), { most: 2_000 }, 'ms');
      process.stdout.write(`${JSON.stringify({ bars: [verdict] })}\n`);
      if (!verdict.ok) process.exitCode = 1;
    } finally {
      await running.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await main();

// How fast certificates come into being, what that costs, and whether any is late: `node bench/issuance.ts [--services 10000]
// [--small] [--phases sign,issue,latency,outage,rotate] [--profile FOLDER]` against a real API server with etcd on this machine.
// Prints one line per figure; the last line is {"bars":[...]}.
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildBundles } from '../hack/build.ts';
import { progressOn } from '../hack/cluster/progress.ts';
import { type Bar, bar, line, quantile, spreadText } from './issuance/figures.ts';
import { issuePhase, latencyPhase, outagePhase, rotatePhase } from './issuance/phases.ts';
import { scheduleOf, signingRates } from './issuance/signing.ts';
import { World } from './issuance/world.ts';

const { values } = parseArgs({
  options: {
    services: { type: 'string', default: '10000' },
    small: { type: 'boolean', default: false },
    phases: { type: 'string', default: 'sign,issue,latency,outage,rotate' },
    profile: { type: 'string' },
  },
});
const services = values.small ? 300 : Number(values.services);
const phases = new Set(values.phases.split(','));
const progress = progressOn((text) => process.stderr.write(`${text}\n`));

async function signing(): Promise<readonly Bar[]> {
  const { signed, whole, perCpu } = await signingRates(5, 2_000);
  line('signing alone, one thread (median, lowest to highest of 5 rounds)', spreadText(signed), 'certificates/s');
  line('  per second of its processor time', spreadText(perCpu), 'certificates');
  line('new key, signature, PEM of both', spreadText(whole), 'certificates/s');
  const times = await scheduleOf(10_000);
  const last = times.at(-1) ?? 0;
  const minutes = new Map<number, number>();
  for (const at of times) minutes.set(Math.floor(at / 60_000), (minutes.get(Math.floor(at / 60_000)) ?? 0) + 1);
  const most = Math.max(...minutes.values());
  line('10,000 leaves (24 h) made in one second are renewed over', last / 60_000, 'minutes');
  line('of them in the fullest minute', most, `renewals (even: ${(10_000 / (last / 60_000)).toFixed(0)})`);
  return [bar('signing alone', quantile(signed, 0.5), { least: 3_000 }, 'certificates/s')];
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tabard-bench-'));
  const bars: Bar[] = [];
  line('load of the machine before (1 min)', loadavg()[0] ?? 0);
  if (phases.has('sign')) bars.push(...(await signing()));
  const needed = ['issue', 'latency', 'outage', 'rotate'].filter((phase) => phases.has(phase));
  let world: World | undefined;
  try {
    if (needed.length > 0) {
      const [bundle] = await buildBundles({ programs: ['operator'], folder });
      const size = { services, podsPerService: 2, namespaces: Math.max(1, Math.round(services / 100)) };
      world = await World.start(size, progress);
      await world.fill(progress);
      const setting = { world, progress, folder, bundle: bundle?.path ?? '', profile: values.profile };
      bars.push(...(await issuePhase(setting)));
      if (phases.has('latency')) await latencyPhase(setting);
      if (phases.has('outage')) bars.push(...(await outagePhase(setting)));
      if (phases.has('rotate')) bars.push(...(await rotatePhase(setting)));
    }
  } finally {
    await world?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  line('load of the machine after (1 min)', loadavg()[0] ?? 0);
  process.stdout.write(`${JSON.stringify({ bars })}\n`);
  if (bars.some(({ ok }) => !ok)) process.exitCode = 1;
}

await main();

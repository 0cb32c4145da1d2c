// Whether a sidecar grows: `node bench/churn.ts [--minutes 60] [--hours 24] [--rate 20] [--pause 2] [--certificates 300]` (connections a second,
// seconds between events, seconds that a certificate lives). Two real sidecars in network namespaces live through every kind of connection and event (bench/churn/life.ts), are looked at once a cycle, and every figure's growth after the
// warm-up is judged by its slope. Prints a line per figure; the last line is {"bars":[...]}. Needs root.
import { parseArgs } from 'node:util';
import { progressOn } from '../hack/cluster/progress.ts';
import { Churn, type Watched, watched } from './churn/life.ts';
import type { Held } from './churn/probe.ts';
import { grows, median, type Slope, slopeOf } from './churn/slope.ts';
import { line } from './issuance/figures.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    hours: { type: 'string' },
    rate: { type: 'string', default: '20' },
    pause: { type: 'string', default: '2' },
    certificates: { type: 'string', default: '300' },
  },
});
const HOUR = 3_600_000;
const wholeMs = values.hours === undefined ? Number(values.minutes ?? '60') * 60_000 : Number(values.hours) * HOUR;
/** Code is compiled, caches fill, buffers find their size: a quarter of the time, an hour at most. */
const warmUpMs = Math.min(HOUR, wholeMs / 4);
const progress = progressOn((text) => process.stderr.write(`${text}\n`));

/** What goes on in an hour at the usual pace, on a machine that is not busy: a faster run may carry a day's worth. */
const usual = { connections: 20 * 3_600, cycles: 90 } as const;

/** What may come in an hour and is no leak yet: of the memory, a dozen megabytes in a day. */
const allowed: readonly (readonly [figure: keyof Held, unit: string, perHour: number])[] = [
  ['rssMb', 'MB', 0.5],
  ['trimmedMb', 'MB', 0.5],
  ['heapMb', 'MB', 0.25],
  ['buffersMb', 'MB', 0.25],
  ['objects', 'objects', 500],
  ['files', 'files', 0.5],
  ['resources', 'resources', 0.5],
];

interface Sample {
  readonly hours: number;
  readonly held: Readonly<Record<Watched, Held>>;
}

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort());

/** Of the last samples one at least has to be without a socket that is adrift: for a moment every one is that is closed. */
const LAST_SAMPLES = 10;

const pause = (): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, Number(values.pause) * 1_000);
  });

/** Cycles until the time is over, or somebody wants to know sooner. */
async function live(churn: Churn): Promise<readonly Sample[]> {
  const begunMs = performance.now();
  const samples: Sample[] = [];
  while (performance.now() - begunMs < wholeMs && !interrupted.signal.aborted) {
    await churn.cycle(pause);
    const held = await churn.sample();
    const hours = (performance.now() - begunMs) / HOUR;
    samples.push({ hours, held });
    if (samples.length % 10 === 1)
      progress.note(`${(hours * 60).toFixed(0)} min: ${watched.map((name) => short(name, held[name])).join('; ')}`);
  }
  return samples;
}

const short = (name: string, { rssMb, trimmedMb, heapMb, objects, files }: Held): string =>
  `${name} ${rssMb.toFixed(1)} MB (${trimmedMb.toFixed(1)}), heap ${heapMb.toFixed(2)} MB, ${objects} objects, ${files} files`;

async function connections(churn: Churn): Promise<{ readonly right: number; readonly wrong: number }> {
  const { kinds, why, reopened } = await churn.called();
  const sum = (which: 'right' | 'wrong'): number => Object.values(kinds).reduce((all, each) => all + each[which], 0);
  for (const [kind, { right, wrong }] of Object.entries(kinds))
    line(`connections, ${kind}: as it should be, not`, `${right}, ${wrong}`);
  line('lasting connections that were ended and opened again', String(reopened));
  for (const [what, lines] of churn.refusals) line(`lines of the ${what}`, String(lines));
  for (const text of why) line(text, '');
  for (const text of churn.faults.slice(0, 20)) line(text, '');
  return { right: sum('right'), wrong: sum('wrong') };
}

function judge(samples: readonly Sample[]) {
  const [first] = samples;
  const after = samples.filter(({ hours }) => hours * HOUR >= warmUpMs);
  line('samples after the warm-up, minutes of it', `${after.length}, ${(warmUpMs / 60_000).toFixed(0)}`);
  return watched.flatMap((name) =>
    allowed.map(([figure, unit, perHour]) => {
      const slope: Slope = slopeOf(after.map(({ hours, held }) => ({ hours, value: held[name][figure] })));
      const { perHour: value, low, high } = rounded(slope);
      const middle = median(after.map(({ held }) => held[name][figure]));
      const begin = first?.held[name][figure] ?? Number.NaN;
      line(
        `${name}, ${figure}: at first, median, an hour's growth (95 %)`,
        `${begin.toFixed(1)}, ${middle.toFixed(1)}, ${value} (${low} to ${high})`,
        unit,
      );
      return {
        name: `${name}, growth of ${figure}`,
        value,
        low,
        high,
        limit: perHour,
        unit: `${unit}/h`,
        ok: !grows(slope, perHour),
      };
    }),
  );
}

function rounded({ perHour, low, high }: Slope): Slope {
  const round = (value: number): number => Math.round(value * 1_000) / 1_000;
  return { perHour: round(perHour), low: round(low), high: round(high) };
}

/** Sockets of a sidecar that stay open when nobody is at either end: each is lost for good, and a slope does not see three in an hour. */
function adriftIn(samples: readonly Sample[], name: Watched): number {
  return Math.min(...samples.slice(-LAST_SAMPLES).map(({ held }) => held[name].adrift));
}

function tellEvents(cycles: number, connections: number): void {
  const events =
    'policies of each side, renewals of each, revocations, their end, neighbours killed and started (two), endpoints gone and back, losses of the control API';
  line(events, String(cycles));
  const hours = [connections / usual.connections, cycles / usual.cycles].map((each) => each.toFixed(1));
  line('hours of the usual pace, by connections and by events', hours.join(', '));
}

async function main(): Promise<void> {
  const pace = { perSecond: Number(values.rate), lasting: 8, certificateMs: Number(values.certificates) * 1_000 };
  const churn = await progress.step('pods', () => Churn.start(pace));
  try {
    const samples = await live(churn);
    const { right, wrong } = await connections(churn);
    const ended = await churn.metric('client', 'tabard_tunnels_active{direction="outbound"}');
    line('tunnels of the client at the end', ended);
    line('connections, as they should be', right);
    tellEvents(churn.cycles, right + wrong);
    const none = (name: string, value: number) => ({ name, value, limit: 0, unit: '', ok: value === 0 });
    const bars = [
      ...judge(samples),
      ...watched.map((name) => none(`${name}, sockets that were never closed`, adriftIn(samples, name))),
      none('connections that did not come out as they should', wrong),
      none('faults in the logs', churn.faults.length),
    ];
    process.stdout.write(`${JSON.stringify({ bars })}\n`);
    if (bars.some(({ ok }) => !ok)) process.exitCode = 1;
  } finally {
    await churn.end();
  }
}

await main();

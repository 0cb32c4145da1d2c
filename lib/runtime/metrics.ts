// Prometheus metrics of one process, in the text format 0.0.4. Every part gets the Metrics object and declares its own
// families once, at start; label values come from closed sets, never from user input without a bound.
// Our own few lines, because the usual package costs 16 MB of memory in every sidecar (docs/adr/0003).
import { type Family, formatted, type Labels, MetricFamily, type Sample } from './family.ts';
import { processSamples } from './processmetrics.ts';

export type { Family, Labels };

/** Only counts up. */
export interface CounterMetric {
  inc(labels?: Labels, by?: number): void;
  /** Counts these labels alone, from the first time on: for what is counted more often than it is worth to name them. */
  of(labels: Labels): (by?: number) => void;
}

/** Goes up and down. */
export interface GaugeMetric {
  set(value: number, labels?: Labels): void;
  inc(labels?: Labels, by?: number): void;
  dec(labels?: Labels, by?: number): void;
  /** Drops one series, so that what is gone is not shown for ever. */
  remove(labels: Labels): void;
}

/** Observations in buckets; values are in the unit of the name (`_seconds`, `_bytes`). */
export interface HistogramMetric {
  observe(value: number, labels?: Labels): void;
}

/** Upper bounds for things that take microseconds to seconds: handshakes, reconciles, requests. */
export const secondsBuckets: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];

/** The registry of one process. Using a label that a family did not declare throws a RangeError: a bug of the caller. */
export class Metrics {
  readonly #families = new Map<string, { readonly head: string; readonly samples: () => Iterable<Sample> }>();

  /** Adds the process's own figures (CPU, memory, open files, event loop) under `process_` and `nodejs_`. */
  collectProcess(): void {
    for (const { family, type, read } of processSamples()) {
      this.#add(family, type, () => [{ suffix: '', labels: '', value: read() }]);
    }
  }

  counter(family: Family): CounterMetric {
    const values = this.#values(family, 'counter', () => 0);
    return {
      inc: (labels = {}, by = 1) => values.update(labels, (value) => value + by),
      of: (labels) => {
        let series: { value: number } | undefined;
        return (by = 1) => {
          series ??= values.series(labels);
          series.value += by;
        };
      },
    };
  }

  gauge(family: Family): GaugeMetric {
    const values = this.#values(family, 'gauge', () => 0);
    return {
      set: (value, labels = {}) => values.update(labels, () => value),
      inc: (labels = {}, by = 1) => values.update(labels, (value) => value + by),
      dec: (labels = {}, by = 1) => values.update(labels, (value) => value - by),
      remove: (labels) => values.remove(labels),
    };
  }

  /** A gauge whose value is read when the metrics are asked for. */
  observedGauge(family: Family, read: (set: (value: number, labels?: Labels) => void) => void): void {
    this.#add(family, 'gauge', () => {
      const values = new MetricFamily(family, () => 0);
      read((value, labels = {}) => values.update(labels, () => value));
      return values.samples(plainSample);
    });
  }

  histogram(family: Family & { readonly buckets?: readonly number[] }): HistogramMetric {
    const bounds = [...(family.buckets ?? secondsBuckets)].sort((a, b) => a - b);
    const empty = (): Observed => ({ counts: [...bounds, 0].map(() => 0), sum: 0 });
    const values = new MetricFamily(family, empty);
    this.#add(family, 'histogram', () => values.samples((labels, observed) => bucketSamples(bounds, labels, observed)));
    return {
      observe: (value, labels = {}) =>
        values.update(labels, (observed) => {
          const at = bounds.findIndex((bound) => value <= bound);
          const index = at < 0 ? bounds.length : at;
          observed.counts[index] = (observed.counts[index] ?? 0) + 1;
          observed.sum += value;
          return observed;
        }),
    };
  }

  /** Content type of `text`. */
  get contentType(): string {
    return 'text/plain; version=0.0.4; charset=utf-8';
  }

  /** All families in the Prometheus text format. */
  text(): Promise<string> {
    let text = '';
    for (const [name, { head, samples }] of this.#families) {
      text += head;
      for (const { suffix, labels, value } of samples()) {
        text += `${name}${suffix}${labels === '' ? '' : `{${labels}}`} ${formatted(value)}\n`;
      }
    }
    return Promise.resolve(text);
  }

  #values(family: Family, type: string, start: () => number): MetricFamily<number> {
    const values = new MetricFamily(family, start);
    this.#add(family, type, () => values.samples(plainSample));
    return values;
  }

  #add({ name, help }: Family, type: string, samples: () => Iterable<Sample>): void {
    if (this.#families.has(name)) throw new RangeError(`the metric ${name} is declared twice`);
    const text = help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
    this.#families.set(name, { head: `# HELP ${name} ${text}\n# TYPE ${name} ${type}\n`, samples });
  }
}

interface Observed {
  /** Observations per bucket, not yet summed up; the last one is +Inf. */
  readonly counts: number[];
  sum: number;
}

function plainSample(labels: string, value: number): readonly Sample[] {
  return [{ suffix: '', labels, value }];
}

function bucketSamples(bounds: readonly number[], labels: string, { counts, sum }: Observed): readonly Sample[] {
  const prefix = labels === '' ? '' : `${labels},`;
  let total = 0;
  const buckets = counts.map((count, index) => {
    total += count;
    return { suffix: '_bucket', labels: `${prefix}le="${formatted(bounds[index] ?? Infinity)}"`, value: total };
  });
  return [...buckets, { suffix: '_sum', labels, value: sum }, { suffix: '_count', labels, value: total }];
}

// Prometheus metrics of one process. Every part gets the Metrics object and declares its own families once, at start;
// label values come from closed sets, never from user input without a bound.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** Labels by name; each family lists the names it takes. */
export type Labels = Readonly<Record<string, string | number>>;

/** Only counts up. */
export interface CounterMetric {
  inc(labels?: Labels, by?: number): void;
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

/** What a family is. `name` carries the unit and, for counters, ends in `_total`. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}

/** Upper bounds for things that take microseconds to seconds: handshakes, reconciles, requests. */
export const secondsBuckets: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];

/** The registry of one process. */
export class Metrics {
  readonly #registry = new Registry();

  /** Adds Node's own figures (CPU, memory, event loop delay) under `process_` and `nodejs_`. They cost some memory. */
  collectProcess(): void {
    collectDefaultMetrics({ register: this.#registry });
  }

  counter(family: Family): CounterMetric {
    const metric = new Counter({ ...this.#common(family) });
    return { inc: (labels = {}, by = 1) => metric.inc(labels, by) };
  }

  gauge(family: Family): GaugeMetric {
    const metric = new Gauge({ ...this.#common(family) });
    return gaugeOf(metric);
  }

  /** A gauge whose value is read when the metrics are asked for. */
  observedGauge(family: Family, read: (set: (value: number, labels?: Labels) => void) => void): void {
    const metric: Gauge = new Gauge({
      ...this.#common(family),
      collect: () => {
        metric.reset();
        read((value, labels = {}) => metric.set(labels, value));
      },
    });
  }

  histogram(family: Family & { readonly buckets?: readonly number[] }): HistogramMetric {
    const metric = new Histogram({ ...this.#common(family), buckets: [...(family.buckets ?? secondsBuckets)] });
    return { observe: (value, labels = {}) => metric.observe(labels, value) };
  }

  /** Content type of `text`. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All families in the Prometheus text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #common(family: Family) {
    return {
      name: family.name,
      help: family.help,
      labelNames: [...(family.labels ?? [])],
      registers: [this.#registry],
    };
  }
}

function gaugeOf(metric: Gauge): GaugeMetric {
  return {
    set: (value, labels = {}) => metric.set(labels, value),
    inc: (labels = {}, by = 1) => metric.inc(labels, by),
    dec: (labels = {}, by = 1) => metric.dec(labels, by),
    remove: (labels) => metric.remove(labels),
  };
}

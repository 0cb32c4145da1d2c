// One metric family: its series by label values, and how they are written in the Prometheus text format.

/** Labels by name; each family lists the names it takes. A name that is left out counts as empty. */
export type Labels = Readonly<Record<string, string | number>>;

/** What a family is. `name` carries the unit and, for counters, ends in `_total`. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}

/** One line: `<name><suffix>{<labels>} <value>`. */
export interface Sample {
  readonly suffix: string;
  /** As text, without braces. */
  readonly labels: string;
  readonly value: number;
}

/** Series of values of type T. A family without labels has its one series from the start. */
export class MetricFamily<T> {
  readonly #family: Family;
  readonly #names: readonly string[];
  readonly #known: ReadonlySet<string>;
  readonly #start: () => T;
  readonly #series = new Map<string, { readonly labels: string; value: T }>();

  constructor(family: Family, start: () => T) {
    this.#family = family;
    this.#names = family.labels ?? [];
    this.#known = new Set(this.#names);
    this.#start = start;
    if (this.#names.length === 0) this.#series.set('', { labels: '', value: start() });
  }

  /** Changes the value of one series, which begins with the start value. */
  update(labels: Labels, change: (value: T) => T): void {
    const series = this.series(labels);
    series.value = change(series.value);
  }

  /** One series, made where there is none. Whoever keeps it must not `remove` it. */
  series(labels: Labels): { value: T } {
    const key = this.#key(labels);
    let series = this.#series.get(key);
    if (series === undefined) {
      series = { labels: this.#text(labels), value: this.#start() };
      this.#series.set(key, series);
    }
    return series;
  }

  /** Drops one series. */
  remove(labels: Labels): void {
    this.#series.delete(this.#key(labels));
  }

  /** The lines of all series. */
  *samples(write: (labels: string, value: T) => Iterable<Sample>): Generator<Sample> {
    for (const { labels, value } of this.#series.values()) yield* write(labels, value);
  }

  #key(labels: Labels): string {
    for (const name in labels) {
      if (!this.#known.has(name)) throw new RangeError(`the metric ${this.#family.name} has no label "${name}"`);
    }
    let key = '';
    for (const name of this.#names) key += `${labels[name] ?? ''}\0`;
    return key;
  }

  #text(labels: Labels): string {
    return this.#names.map((name) => `${name}="${escaped(String(labels[name] ?? ''))}"`).join(',');
  }
}

/** A number as Prometheus reads it. */
export function formatted(value: number): string {
  if (value === Infinity) return '+Inf';
  if (value === -Infinity) return '-Inf';
  return String(value);
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

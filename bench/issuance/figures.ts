// How the benchmark's figures are summed up and printed.

/** The value below which a part (0..1) of the values lies. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

/** `median (lowest to highest)`. */
export function spreadText(values: readonly number[], digits = 0): string {
  const [low, middle, high] = [0, 0.5, 1].map((part) => quantile(values, part).toFixed(digits));
  return `${middle} (${low} to ${high})`;
}

/** One line of the report. */
export function line(what: string, value: string | number, unit = ''): void {
  const text = typeof value === 'number' ? value.toFixed(value < 10 ? 2 : 0) : value;
  process.stdout.write(`${what.padEnd(70)} ${text.padStart(12)} ${unit}\n`);
}

/** A bar that must hold. */
export interface Bar {
  readonly name: string;
  readonly value: number;
  readonly limit: number;
  readonly unit: string;
  readonly ok: boolean;
}

/** A bar; `least` says whether the value must not be below or not above it. */
export function bar(
  name: string,
  value: number,
  limit: { readonly least: number } | { readonly most: number },
  unit: string,
): Bar {
  const least = 'least' in limit;
  const against = least ? limit.least : limit.most;
  return {
    name,
    value: Math.round(value * 100) / 100,
    limit: against,
    unit,
    ok: least ? value >= against : value <= against,
  };
}

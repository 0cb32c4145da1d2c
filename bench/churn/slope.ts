// How fast a figure grows, judged so that a few odd samples count for nothing: the slope of Theil and Sen, the median of the slopes between
// every two points, with its 95 % interval. Pure.

/** A figure at a moment. */
export interface Point {
  readonly hours: number;
  readonly value: number;
}

/** Growth in an hour, and between which two values it lies. */
export interface Slope {
  readonly perHour: number;
  readonly low: number;
  readonly high: number;
}

/** Neighbours in time resemble each other; the interval takes its points for independent. So many are left of a long run, each a median. */
const MOST_POINTS = 48;
/** Two-sided, of the normal distribution. */
const Z_95 = 1.96;

/** The slope through at least three points, in the order of time. */
export function slopeOf(all: readonly Point[]): Slope {
  const points = thinned(all);
  const slopes = points.flatMap((later, at) =>
    points.slice(0, at).map((sooner) => (later.value - sooner.value) / (later.hours - sooner.hours)),
  );
  slopes.sort((a, b) => a - b);
  const count = points.length;
  const margin = (Z_95 * Math.sqrt((count * (count - 1) * (2 * count + 5)) / 18)) / 2;
  const at = (place: number): number =>
    slopes[Math.max(0, Math.min(slopes.length - 1, Math.round(place)))] ?? Number.NaN;
  const middle = (slopes.length - 1) / 2;
  return {
    perHour: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2,
    low: at(middle - margin),
    high: at(middle + margin),
  };
}

/** Whether a figure grows: faster than is allowed, and certainly at all. */
export function grows({ perHour, low }: Slope, allowedPerHour: number): boolean {
  return perHour > allowedPerHour && low > 0;
}

function thinned(points: readonly Point[]): readonly Point[] {
  const size = Math.ceil(points.length / MOST_POINTS);
  if (size <= 1) return points;
  const blocks = Array.from({ length: Math.floor(points.length / size) }, (_, block) =>
    points.slice(block * size, (block + 1) * size),
  );
  return blocks.map((block) => ({
    hours: median(block.map(({ hours }) => hours)),
    value: median(block.map(({ value }) => value)),
  }));
}

/** The middle of some values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2;
}

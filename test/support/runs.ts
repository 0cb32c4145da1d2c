// How often a property is tried. `make test` tries the stated number of cases from a fixed seed, so that a run tells the same each time; `make fuzz` sets
// TABARD_FUZZ to multiply the number and TABARD_FUZZ_SEED to begin elsewhere. A failure prints the seed and the path to the case.
const { TABARD_FUZZ = '1', TABARD_FUZZ_SEED = '20261122' } = process.env;

/** Parameters of `fc.assert` for a property that `count` cases are enough for in everyday runs. */
export function runs(count: number): { readonly numRuns: number; readonly seed: number } {
  return { numRuns: count * Math.max(1, Number(TABARD_FUZZ)), seed: Number(TABARD_FUZZ_SEED) };
}

/** Milliseconds that a test with `runs` may take: generous, and more where more is tried. */
export function runsTimeout(everydayMs: number): number {
  return everydayMs * Math.max(1, Number(TABARD_FUZZ));
}

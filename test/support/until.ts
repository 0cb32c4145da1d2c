// Waiting for a condition, for tests.

/** Waits for a condition, looked at every ten milliseconds; throws after `ms`. */
export async function until(condition: () => boolean, what: string, ms: number = 20_000): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not so after ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

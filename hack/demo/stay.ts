// Waiting for the person in front of the screen.
import { aborted } from '../../lib/runtime/signals.ts';

/** Resolves when the signal is aborted, and keeps the process alive until then: a listener for Ctrl-C alone does not. */
export async function stay(signal: AbortSignal): Promise<void> {
  const alive = setInterval(() => undefined, 60_000);
  await aborted(signal);
  clearInterval(alive);
}

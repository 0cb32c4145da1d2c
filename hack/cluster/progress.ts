// Tells the reader what is going on: one line per finished step with the time since the start, and a line every
// 15 seconds while a step is still running.

import { readFileSync } from 'node:fs';
import { ClusterError } from './failure.ts';

const HEARTBEAT_MS = 15_000;
const LOG_LINES = 20;

/** Where progress goes. `quiet` is for libraries: failures still carry everything. */
export interface Progress {
  /** Prints one line with the elapsed time. */
  note(text: string): void;
  /** Runs one step; prints its label when it ends. A failure is wrapped so that it names the step. */
  step<T>(label: string, work: () => Promise<T>): Promise<T>;
}

/** Progress on a writer of lines. Elapsed time counts from this call. */
export function progressOn(write: (line: string) => void): Progress {
  const start = performance.now();
  const note = (text: string): void => {
    const seconds = ((performance.now() - start) / 1000).toFixed(1).padStart(5);
    write(`[${seconds}s] ${text}`);
  };
  const step = async <T>(label: string, work: () => Promise<T>): Promise<T> => {
    const heartbeat = setInterval(() => note(`waiting for: ${label}`), HEARTBEAT_MS);
    try {
      const result = await work();
      note(label);
      return result;
    } catch (cause) {
      throw failedStep(label, cause);
    } finally {
      clearInterval(heartbeat);
    }
  };
  return { note, step };
}

/** Progress that prints nothing. */
export function silentProgress(): Progress {
  return progressOn(() => undefined);
}

/** What the user reads when a command fails: the step, the reason, the log's last lines, what to do. */
export function failureReport(error: unknown): string {
  if (!(error instanceof ClusterError)) {
    return `cluster: unexpected failure\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  }
  const lines = [`cluster: ${error.message}`];
  if (error.log !== undefined) {
    lines.push(`  last lines of ${error.log}:`, ...tail(error.log).map((line) => `    ${line}`));
  }
  if (error.advice !== undefined) lines.push(`  what to do: ${error.advice}`);
  return lines.join('\n');
}

function failedStep(label: string, cause: unknown): ClusterError {
  const known = cause instanceof ClusterError ? cause : undefined;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new ClusterError(`step "${label}" failed: ${reason}`, { log: known?.log, advice: known?.advice, cause });
}

function tail(file: string): readonly string[] {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-LOG_LINES);
  } catch {
    return ['(the log cannot be read)'];
  }
}

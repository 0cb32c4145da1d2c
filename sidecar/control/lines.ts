// Newline-delimited JSON from a stream of text: whole lines out, a bound on the unfinished one. Pure.
import { AppError } from '../../lib/errors.ts';

/** More than any snapshot: a service with ten thousand endpoints takes about two megabytes. */
const MAX_LINE = 16 * 1024 * 1024;

/** Collects text and hands out each complete line, parsed. Empty lines are keep-alives and mean nothing. */
export class LineReader {
  readonly #onMessage: (message: unknown) => void;
  #rest = '';

  constructor(onMessage: (message: unknown) => void) {
    this.#onMessage = onMessage;
  }

  /** Throws AppError `control_protocol` for a line that is too long or no JSON. */
  push(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > MAX_LINE) throw new AppError('control_protocol', `a line exceeds ${MAX_LINE} characters`);
    for (const line of lines) if (line.trim() !== '') this.#onMessage(parse(line));
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new AppError('control_protocol', 'a line is not JSON', { cause });
  }
}

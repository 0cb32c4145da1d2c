// One buffer per content: pods of one service get the same snapshot of themselves, and it is kept once. Counted by use.
import type { Line } from './snapshot.ts';

/** The lines in use, by version. */
export class LinePool {
  readonly #lines = new Map<string, { readonly line: Line; uses: number }>();

  /** The kept line of that version, counted once more; the given one when there is none yet. */
  take(line: Line): Line {
    const kept = this.#lines.get(line.version);
    if (kept === undefined) {
      this.#lines.set(line.version, { line, uses: 1 });
      return line;
    }
    kept.uses += 1;
    return kept.line;
  }

  /** Gives back what was taken. */
  release({ version }: Line): void {
    const kept = this.#lines.get(version);
    if (kept === undefined) return;
    kept.uses -= 1;
    if (kept.uses === 0) this.#lines.delete(version);
  }

  /** Number of lines kept, and their bytes. */
  sizes(): { readonly lines: number; readonly bytes: number } {
    let bytes = 0;
    for (const { line } of this.#lines.values()) bytes += line.bytes.length;
    return { lines: this.#lines.size, bytes };
  }
}

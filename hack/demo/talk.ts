// What the demo prints: numbered steps with elapsed time, what was done in plain words, and the evidence, held or not.

/** Prints, and remembers whether all the evidence held. */
export interface Talk {
  step(title: string): void;
  say(text: string): void;
  /** A command that a person could type to do or see the same. */
  command(text: string): void;
  table(rows: readonly (readonly string[])[]): void;
  /** One piece of evidence. */
  proof(held: boolean, text: string): void;
  readonly failed: number;
  readonly held: number;
}

/** A Talk on standard output; colours only on a terminal. */
export function openTalk(out: NodeJS.WriteStream = process.stdout): Talk {
  const startedAt = performance.now();
  const colour = out.isTTY && process.env['NO_COLOR'] === undefined;
  const paint = (code: number, text: string): string => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
  const line = (text = ''): void => void out.write(`${text}\n`);
  let steps = 0;
  let failed = 0;
  let held = 0;
  return {
    step(title) {
      steps += 1;
      const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
      line();
      line(`${paint(1, `${String(steps).padStart(2)}. ${title}`)}  ${paint(2, `[${seconds}s]`)}`);
    },
    say: (text) => line(`    ${text}`),
    command: (text) => line(`    ${paint(36, `$ ${text}`)}`),
    table(rows) {
      const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length))) ?? [];
      rows.forEach((row, index) => {
        const text = row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ');
        line(`      ${index === 0 ? paint(2, text) : text}`.trimEnd());
      });
    },
    proof(ok, text) {
      if (ok) held += 1;
      else failed += 1;
      line(`    ${ok ? paint(32, '✔') : paint(31, '✘')} ${text}`);
    },
    get failed() {
      return failed;
    },
    get held() {
      return held;
    },
  };
}

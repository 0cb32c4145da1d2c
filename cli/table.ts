// Text in columns, and times as people say them. Pure.

/** Rows below a head, columns as wide as they must be, three blanks apart; no blanks at the ends of lines. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('   ')
      .trimEnd(),
  );
}

/** A span of time in its two largest units: `3d4h`, `12m`, `8s`. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  const [days, hours, minutes] = [86_400, 3_600, 60].map((unit) => Math.floor(seconds / unit)) as [
    number,
    number,
    number,
  ];
  if (days >= 10) return `${days}d`;
  if (days > 0) return joined(days, 'd', hours % 24, 'h');
  if (hours > 0) return joined(hours, 'h', minutes % 60, 'm');
  if (minutes >= 10) return `${minutes}m`;
  return minutes > 0 ? joined(minutes, 'm', seconds % 60, 's') : `${seconds}s`;
}

function joined(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`;
}

/** A moment seen from now: `in 3h`, `5m ago`; `-` when it is not known. */
export function moment(at: Date | undefined, now: Date): string {
  if (at === undefined || Number.isNaN(at.getTime())) return '-';
  const ms = at.getTime() - now.getTime();
  return ms >= 0 ? `in ${span(ms)}` : `${span(-ms)} ago`;
}

/** An RFC 3339 time; undefined when it is absent or no time. */
export function time(text: string | undefined): Date | undefined {
  const ms = Date.parse(text ?? '');
  return Number.isNaN(ms) ? undefined : new Date(ms);
}

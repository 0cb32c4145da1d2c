// The metrics of several workers as those of one proxy: what counts is added up, what says how things are is the first worker's word, but for
// what each worker has of its own. Reads the text that lib/runtime/metrics.ts writes, and no other. Pure.

/** The families of a text by name. */
export type Families = Map<
  string,
  { readonly head: string; readonly type: string; readonly series: Map<string, number> }
>;

/** Gauges of which each worker has a part. */
const shared: ReadonlySet<string> = new Set(['tabard_connections_active', 'tabard_tunnels_active']);

/** Reads a text. */
export function readFamilies(text: string): Families {
  const families: Families = new Map();
  let series: Map<string, number> | undefined;
  let help = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('# HELP ')) help = line;
    else if (line.startsWith('# TYPE ')) {
      const [, , name = '', type = ''] = line.split(' ');
      series = new Map();
      families.set(name, { head: `${help}\n${line}\n`, type, series });
    } else if (line !== '') {
      const at = line.lastIndexOf(' ');
      series?.set(line.slice(0, at), Number(line.slice(at + 1)));
    }
  }
  return families;
}

/** Adds what another worker has. `part`: `all` that can be added, or only what was `counted`, which outlives a worker. */
export function addFamilies(into: Families, other: Families, part: 'all' | 'counted'): void {
  for (const [name, { head, type, series }] of other) {
    const isCounted = type === 'counter' || type === 'histogram';
    if (!isCounted && !(part === 'all' && shared.has(name))) continue;
    const family = into.get(name) ?? { head, type, series: new Map<string, number>() };
    into.set(name, family);
    for (const [key, value] of series) family.series.set(key, (family.series.get(key) ?? 0) + value);
  }
}

/** The text again. */
export function writeFamilies(families: Families): string {
  let text = '';
  for (const { head, series } of families.values()) {
    text += head;
    for (const [key, value] of series) text += `${key} ${value}\n`;
  }
  return text;
}

// The matrix of the data path: what was tested over which transport and which relay, read from what Jest reports. A title that names no relay
// is of a suite that runs once for each relay, one that names no transport of the usual one. Pure.

/** A test as Jest's JSON report has it. */
export interface TestReport {
  readonly status: string;
  readonly title: string;
  readonly ancestorTitles: readonly string[];
}

/** A file of tests with what it reported, and the relay that it had where its titles name none. */
export interface SuiteReport {
  readonly name: string;
  readonly relay: string;
  readonly tests: readonly TestReport[];
}

const columns = ['Tunnel, fast', 'Tunnel, public', 'Direct, fast', 'Direct, public'] as const;
type Column = (typeof columns)[number];

interface Cell {
  passed: number;
  all: number;
}

function columnOf({ ancestorTitles, title }: TestReport, relay: string): Column | undefined {
  const titles = [...ancestorTitles, title].join(' ');
  const [, transport = 'Tunnel'] = /\b(Tunnel|Direct)\b/.exec(titles) ?? [];
  const [, named = relay] = /\b(fast|public) relay\b/.exec(titles) ?? [];
  return columns.find((column) => column === `${transport}, ${named}`);
}

/** A line per file: in each column how many tests passed, of how many where not all did. */
export function wayMatrix(suites: readonly SuiteReport[]): string {
  const rows = new Map<string, Map<Column, Cell>>();
  for (const { name, relay, tests } of suites) {
    const row = rows.get(name) ?? new Map<Column, Cell>();
    rows.set(name, row);
    for (const test of tests) {
      const column = columnOf(test, relay);
      if (column === undefined) continue;
      const cell = row.get(column) ?? { passed: 0, all: 0 };
      row.set(column, cell);
      cell.all += 1;
      if (test.status === 'passed') cell.passed += 1;
    }
  }
  const width = Math.max(0, ...[...rows.keys()].map((name) => name.length));
  const line = (first: string, rest: readonly string[]): string =>
    [first.padEnd(width), ...rest.map((text) => text.padStart(14))].join('  ');
  const texts = [...rows].map(([name, row]) =>
    line(
      name,
      columns.map((column) => cellText(row.get(column))),
    ),
  );
  return [line('', columns), ...texts.sort()].join('\n');
}

function cellText(cell: Cell | undefined): string {
  if (cell === undefined) return '-';
  return cell.passed === cell.all ? `${cell.all}` : `${cell.passed} of ${cell.all}`;
}

// The tables of the benchmark, for a terminal and for docs/benchmarks.md.
import { type Figure, failures, type Measure, measures, type Results } from './figures.ts';

interface Table {
  readonly title: string;
  readonly columns: readonly Measure[];
}

const m = measures;
/** What is shown together. */
const tables: readonly Table[] = [
  {
    title: 'Small requests on connections that stay',
    columns: [m.requestCpu, m.requestRate, m.steadyCpu, m.addedP50, m.addedP99, m.addedP999],
  },
  {
    title: 'A new connection for each request',
    columns: [
      m.connectionCpu,
      m.connectionRate,
      m.arrivalCpu,
      m.arrivalP50,
      m.arrivalP99,
      m.handshakeCpu,
      m.handshakeRate,
    ],
  },
  {
    title: 'Bodies, streams, and small requests beside bulk',
    columns: [m.bodyCpu, m.bodyRate, m.streamCpu, m.fairP50, m.fairP99, m.fairBulk],
  },
  { title: 'Memory and start', columns: [m.idle, m.fifty, m.pairIdle, m.pairThousand, m.ready] },
];

const rival = 'Envoy L4';

function cell(figure: Figure | undefined, { digits }: Measure): string {
  if (figure === undefined) return '-';
  const text = (value: number): string =>
    value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const { median, lowest, highest } = figure;
  return lowest === highest ? text(median) : `${text(median)} (${text(lowest)} to ${text(highest)})`;
}

function beside(results: Results, pair: string, measure: Measure): string {
  const own = measure.of(results, pair)?.median;
  const other = measure.of(results, rival)?.median;
  if (own === undefined || other === undefined || other <= 0 || own <= 0 || pair === rival || pair === results.floor)
    return '';
  return ` ${(own / other).toFixed(2)}x`;
}

function headOf({ title, unit }: Measure): string {
  return `${title}, ${unit}`;
}

/** The tables as Markdown: medians with their range, and times Envoy's L4 pair. Pairs in the order in which they are given. */
export function markdown(results: Results, pairs: readonly string[]): string {
  const parts = tables.map(({ title, columns }) => {
    const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
    const rows = pairs
      .map((pair) => [pair, ...columns.map((each) => cell(each.of(results, pair), each) + beside(results, pair, each))])
      .filter(([, ...cells]) => cells.some((text) => text !== '-'));
    const head = ['pair', ...columns.map(headOf)];
    return [`**${title}**`, '', line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
  });
  return parts.join('\n\n');
}

/** The same for a terminal, a line for each figure. */
export function plain(results: Results, pairs: readonly string[]): string {
  const lines = tables.flatMap(({ title, columns }) => [
    '',
    title,
    ...columns.flatMap((measure) => [
      `  ${headOf(measure)}`,
      ...pairs.flatMap((pair) => {
        const figure = measure.of(results, pair);
        return figure === undefined
          ? []
          : [`    ${pair.padEnd(16)} ${cell(figure, measure)}${beside(results, pair, measure)}`];
      }),
    ]),
  ]);
  return [...lines, '', ...pairs.flatMap((pair) => failures(results, pair))].join('\n');
}

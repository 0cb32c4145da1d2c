// The chart of the benchmark as SVG: a panel of horizontal bars for each figure, the medians of one run.
import { type Measure, measures, type Results } from './figures.ts';

const panels: readonly Measure[] = [
  measures.connectionCpu,
  measures.arrivalP99,
  measures.requestCpu,
  measures.addedP99,
  measures.bodyCpu,
  measures.pairThousand,
];

const COLUMNS = 2;
const WIDTH = 460;
const ROW = 20;
const HEAD = 34;
const LABEL = 110;
const VALUE = 70;
const GAP = 16;
const colours = { tabard: '#0b7285', other: '#adb5bd', text: '#212529', faint: '#868e96' };

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

function text(x: number, y: number, content: string, more = ''): string {
  return `<text x="${x}" y="${y}" fill="${colours.text}" ${more}>${escaped(content)}</text>`;
}

function panel(
  results: Results,
  pairs: readonly string[],
  measure: Measure,
): { readonly rows: number; readonly body: string } {
  const values = pairs.flatMap((pair) => {
    const figure = measure.of(results, pair);
    return figure === undefined || figure.median <= 0 ? [] : [{ pair, value: figure.median }];
  });
  const largest = Math.max(...values.map(({ value }) => value));
  const room = WIDTH - LABEL - VALUE;
  const bars = values.map(({ pair, value }, index) => {
    const y = HEAD + index * ROW;
    const length = Math.max(1, (value / largest) * room);
    const colour = pair.startsWith('Tabard') ? colours.tabard : colours.other;
    const rectangle = `<rect x="${LABEL}" y="${y}" width="${length.toFixed(1)}" height="${ROW - 6}" fill="${colour}"/>`;
    const label = text(LABEL - 8, y + 11, pair, 'text-anchor="end"');
    return (
      label +
      rectangle +
      text(LABEL + length + 6, y + 11, value.toLocaleString('en', { maximumFractionDigits: measure.digits }))
    );
  });
  const title = text(0, 18, `${measure.title}, ${measure.unit}`, 'font-weight="bold"');
  return { rows: values.length, body: [title, ...bars].join('\n') };
}

/** The chart; pairs from the top in the order in which they are given, without those that a figure does not have. */
export function chart(results: Results, pairs: readonly string[]): string {
  const drawn = panels.map((measure) => panel(results, pairs, measure)).filter(({ rows }) => rows > 0);
  const height = HEAD + Math.max(...drawn.map(({ rows }) => rows)) * ROW + GAP;
  const placed = drawn.map(({ body }, index) => {
    const [column, row] = [index % COLUMNS, Math.floor(index / COLUMNS)];
    return `<g transform="translate(${GAP + column * (WIDTH + GAP)} ${GAP + row * height})">\n${body}\n</g>`;
  });
  const size = [GAP + COLUMNS * (WIDTH + GAP), GAP * 2 + Math.ceil(drawn.length / COLUMNS) * height + 12] as const;
  const note = `<text x="${GAP}" y="${size[1] - 8}" fill="${colours.faint}">Pairs of proxies, medians of one interleaved run; shorter is better.</text>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${size[0]}" height="${size[1]}" viewBox="0 0 ${size[0]} ${size[1]}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
${placed.join('\n')}
${note}
</svg>
`;
}

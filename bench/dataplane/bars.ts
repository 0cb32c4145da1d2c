// What must hold of Tabard's default transport beside Envoy's L4 pair of the same run, and absolutely.
import { type Bar, bar } from '../issuance/figures.ts';
import { type Measure, measures, type Results } from './figures.ts';

const rival = 'Envoy L4';
const tunnel = 'Tabard tunnel';
const direct = 'Tabard direct';

interface Goal {
  readonly name: string;
  readonly pair: string;
  readonly measure: Measure;
  readonly most: number;
  /** Times the rival's, or in the measure's own unit. */
  readonly beside: boolean;
}

const times = (name: string, pair: string, measure: Measure, most: number): Goal => ({
  name,
  pair,
  measure,
  most,
  beside: true,
});
const most = (name: string, pair: string, measure: Measure, limit: number): Goal => ({
  name,
  pair,
  measure,
  most: limit,
  beside: false,
});

const goals: readonly Goal[] = [
  times('CPU per new connection, saturated', tunnel, measures.connectionCpu, 0.2),
  times('p99 of a new connection at 800/s', tunnel, measures.arrivalP99, 0.6),
  times('CPU per small request, saturated, tunnel', tunnel, measures.requestCpu, 0.8),
  times('CPU per small request, saturated, direct', direct, measures.requestCpu, 1.2),
  times('added p99 at 3,000 requests/s', tunnel, measures.addedP99, 1),
  times('CPU per 10 MB body', tunnel, measures.bodyCpu, 1.4),
  most('memory of a fresh pair with 1,000 idle connections', tunnel, measures.pairThousand, 150),
  most('memory of one idle sidecar', tunnel, measures.idle, 60),
  most('memory of one sidecar under 50 connections', tunnel, measures.fifty, 80),
  most('start to ready', tunnel, measures.ready, 400),
];

/** The bars of a run; a pair that did not take part has none. */
export function barsOf(results: Results): readonly Bar[] {
  return goals.flatMap(({ name, pair, measure, most: limit, beside }) => {
    const own = measure.of(results, pair);
    const other = measure.of(results, rival);
    if (own === undefined || (beside && other === undefined)) return [];
    // What was added may be nothing, or less.
    const against = beside ? Math.max(1, other?.median ?? 1) : 1;
    return [bar(name, own.median / against, { most: limit }, beside ? 'x Envoy' : measure.unit)];
  });
}

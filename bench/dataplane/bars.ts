// What must hold of Tabard's pairs beside those of Envoy at the same layer, in the same run, and absolutely.
import { type Bar, bar } from '../issuance/figures.ts';
import { type Measure, measures, type Results } from './figures.ts';

const tunnel = 'Tabard tunnel';
const direct = 'Tabard direct';

interface Goal {
  readonly name: string;
  readonly pair: string;
  readonly measure: Measure;
  readonly most: number;
  /** Times this pair's figure; undefined = in the measure's own unit. */
  readonly rival: string | undefined;
}

const times = (name: string, pair: string, measure: Measure, most: number): Goal => ({
  name,
  pair,
  measure,
  most,
  rival: 'Envoy L4',
});
/** Of pairs that read HTTP. */
const l7Times = (name: string, measure: Measure, most: number, kind: 'L7' | 'L7 log' = 'L7'): Goal => ({
  name,
  pair: `Tabard ${kind}`,
  measure,
  most,
  rival: `Envoy ${kind}`,
});
const most = (name: string, pair: string, measure: Measure, limit: number): Goal => ({
  name,
  pair,
  measure,
  most: limit,
  rival: undefined,
});

const goals: readonly Goal[] = [
  times('CPU per new connection, saturated', tunnel, measures.connectionCpu, 0.2),
  times('p99 of a new connection at 800/s', tunnel, measures.arrivalP99, 0.6),
  times('CPU per small request, saturated, tunnel', tunnel, measures.requestCpu, 0.8),
  times('CPU per small request, saturated, direct', direct, measures.requestCpu, 1.2),
  times('added p99 at 3,000 requests/s', tunnel, measures.addedP99, 1),
  times('CPU per 10 MB body', tunnel, measures.bodyCpu, 1.4),
  l7Times('CPU per small request, L7: rules by path, HSTS', measures.requestCpu, 0.6),
  l7Times('the same with access logs', measures.requestCpu, 0.7, 'L7 log'),
  l7Times('added p99 at 3,000 requests/s, L7', measures.addedP99, 0.7),
  l7Times('CPU per unary call of gRPC, L7', measures.streamCpu, 1),
  most('memory of a fresh pair with 1,000 idle connections', tunnel, measures.pairThousand, 150),
  most('memory of one idle sidecar', tunnel, measures.idle, 60),
  most('memory of one sidecar under 50 connections', tunnel, measures.fifty, 80),
  most('start to ready', tunnel, measures.ready, 400),
];

/** The bars of a run; a pair that did not take part has none. */
export function barsOf(results: Results): readonly Bar[] {
  return goals.flatMap(({ name, pair, measure, most: limit, rival }) => {
    const own = measure.of(results, pair);
    const other = rival === undefined ? undefined : measure.of(results, rival);
    if (own === undefined || (rival !== undefined && other === undefined)) return [];
    // What was added may be nothing, or less.
    const against = other === undefined ? 1 : Math.max(1, other.median);
    return [bar(name, own.median / against, { most: limit }, other === undefined ? measure.unit : 'x Envoy')];
  });
}

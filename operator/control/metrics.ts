// The figures of the control API and of the mesh behind it.
import type { CounterMetric, HistogramMetric, Metrics } from '../../lib/runtime/metrics.ts';
import type { Mesh } from '../mesh/mesh.ts';
import type { PeerFault } from './peer.ts';
import type { Topics } from './topics.ts';

/** Why a client, a request or a connection was refused or ended. Closed: a metric label and a log field. */
export type RefusalReason =
  | PeerFault
  | 'handshake' // TLS itself failed: no common version, garbage, a scanner
  | 'not_http2' // a client that does not ask for HTTP/2
  | 'address_unknown' // no injected pod has the source address
  | 'address_mismatch' // the pod at the source address is of another service than the certificate
  | 'too_many_connections'
  | 'too_many_streams'
  | 'bad_request'
  | 'overtaken' // the pod opened newer connections than it may have
  | 'silent' // no answer to a ping
  | 'idle' // a connection without a stream
  | 'pod_gone'; // the pod is gone, or its address is another's

export interface ControlMetrics {
  readonly refusals: CounterMetric;
  /** Label kind: self | destination. */
  readonly sent: CounterMetric;
  readonly superseded: CounterMetric;
  readonly sendSeconds: HistogramMetric;
  /** Labels from: sidecar | replica; result: accepted | refused. */
  readonly reports: CounterMetric;
}

/** Declares the families that count. */
export function controlMetrics(metrics: Metrics): ControlMetrics {
  const name = (rest: string): string => `tabard_control_${rest}`;
  return {
    refusals: metrics.counter({
      name: name('refusals_total'),
      help: 'Control API clients and requests that were refused or ended, by reason',
      labels: ['reason'],
    }),
    sent: metrics.counter({
      name: name('snapshots_sent_total'),
      help: 'Snapshots written to streams',
      labels: ['kind'],
    }),
    superseded: metrics.counter({
      name: name('snapshots_superseded_total'),
      help: 'Snapshots dropped for a newer one before a slow reader took them',
      labels: ['kind'],
    }),
    sendSeconds: metrics.histogram({
      name: name('send_seconds'),
      help: 'Time from a change in the cluster, as seen by this process, to the snapshot written to a stream',
      labels: ['kind'],
    }),
    reports: metrics.counter({
      name: name('reports_total'),
      help: 'Status reports of sidecars, and batches of them from other replicas',
      labels: ['from', 'result'],
    }),
  };
}

/** What is counted when asked for. */
export interface Observed {
  readonly mesh: Pick<Mesh, 'sizes'>;
  readonly topics: Pick<Topics, 'sizes'>;
  sessions(): number;
  /** By kind. */
  streams(): Readonly<Record<string, number>>;
}

/** Declares the gauges that are read when the metrics are asked for. */
export function observeControl(metrics: Metrics, observed: Observed): void {
  const { mesh, topics } = observed;
  metrics.observedGauge({ name: 'tabard_control_sessions', help: 'Sidecars connected to the control API' }, (set) =>
    set(observed.sessions()),
  );
  metrics.observedGauge({ name: 'tabard_control_streams', help: 'Streams held open', labels: ['kind'] }, (set) => {
    for (const [kind, count] of Object.entries(observed.streams())) set(count, { kind });
  });
  metrics.observedGauge({ name: 'tabard_control_topics', help: 'Different subjects followed' }, (set) =>
    set(topics.sizes().topics),
  );
  metrics.observedGauge({ name: 'tabard_control_snapshot_bytes', help: 'Serialized snapshots kept' }, (set) =>
    set(topics.sizes().bytes),
  );
  metrics.observedGauge(
    { name: 'tabard_mesh_objects', help: 'Objects in the index of the mesh', labels: ['kind'] },
    (set) => {
      for (const [kind, count] of Object.entries(mesh.sizes())) set(count, { kind });
    },
  );
}

// The metric families of lib/kube, declared once per process: requests, watches, queues, reconciles, leadership.
import type { CounterMetric, GaugeMetric, HistogramMetric, Metrics } from '../runtime/metrics.ts';

/** Reads one figure per name when the metrics are asked for. Returns the function that takes the name out again. */
export type Observe = (name: string, read: () => number | undefined) => () => void;

/** All families. */
export interface KubeMetrics {
  /** Answers of the API server. Labels: verb, resource, code (HTTP status, or `none` without an answer). */
  readonly requests: CounterMetric;
  /** Seconds to the full answer; watches are not in it. Labels: verb, resource. */
  readonly requestSeconds: HistogramMetric;
  /** Watches that ended. Labels: resource, cause (`closed`, or the kind of the error). */
  readonly watchEnds: CounterMetric;
  /** Complete lists; more than one per process and resource is a relist. Label: resource. */
  readonly lists: CounterMetric;
  /** Seconds since anything came from the API server for a resource. */
  readonly silence: Observe;
  /** Keys that are ready, and seconds that the oldest of them has waited. */
  readonly queueDepth: Observe;
  readonly queueAge: Observe;
  /** Keys put back after a failure. Label: controller. */
  readonly retries: CounterMetric;
  /** Seconds of a reconcile. Labels: controller, result (`ok`, `again`, `failed`, `terminal`). */
  readonly reconcileSeconds: HistogramMetric;
  /** 1 on the replica that leads. Label: lease. */
  readonly leader: GaugeMetric;
  /** Events not sent because there were too many or the API server refused them. Label: reason. */
  readonly eventsDropped: CounterMetric;
}

/** Declares the families; once per Metrics object. */
export function kubeMetrics(metrics: Metrics): KubeMetrics {
  const observe = (name: string, help: string, label: string): Observe => {
    const sources = new Map<string, () => number | undefined>();
    metrics.observedGauge({ name, help, labels: [label] }, (set) => {
      for (const [source, read] of sources) {
        const value = read();
        if (value !== undefined) set(value, { [label]: source });
      }
    });
    return (source, read) => {
      sources.set(source, read);
      return () => sources.delete(source);
    };
  };
  return {
    requests: metrics.counter({
      name: 'tabard_kube_requests_total',
      help: 'Requests to the Kubernetes API by outcome; code "none" means no answer.',
      labels: ['verb', 'resource', 'code'],
    }),
    requestSeconds: metrics.histogram({
      name: 'tabard_kube_request_seconds',
      help: 'Time to the full answer of the Kubernetes API, watches excepted.',
      labels: ['verb', 'resource'],
    }),
    watchEnds: metrics.counter({
      name: 'tabard_kube_watch_ends_total',
      help: 'Watches that ended: in order ("closed") or with an error kind.',
      labels: ['resource', 'cause'],
    }),
    lists: metrics.counter({
      name: 'tabard_kube_lists_total',
      help: 'Complete lists of a resource; every one after the first is a relist.',
      labels: ['resource'],
    }),
    silence: observe(
      'tabard_kube_silence_seconds',
      'Time since the API server last sent anything for a watched resource.',
      'resource',
    ),
    queueDepth: observe('tabard_queue_depth', 'Keys that are ready to be reconciled.', 'controller'),
    queueAge: observe('tabard_queue_oldest_seconds', 'Time that the oldest ready key has waited.', 'controller'),
    retries: metrics.counter({
      name: 'tabard_queue_retries_total',
      help: 'Keys put back into the queue after a failure.',
      labels: ['controller'],
    }),
    reconcileSeconds: metrics.histogram({
      name: 'tabard_reconcile_seconds',
      help: 'Time of one reconcile by result.',
      labels: ['controller', 'result'],
    }),
    leader: metrics.gauge({ name: 'tabard_leader', help: '1 on the replica that leads.', labels: ['lease'] }),
    eventsDropped: metrics.counter({
      name: 'tabard_kube_events_dropped_total',
      help: 'Kubernetes Events that were not sent.',
      labels: ['reason'],
    }),
  };
}

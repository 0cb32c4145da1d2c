// Metric families of edge certificates, declared once per process: when each expires, and when it is to be renewed.
import type { Metrics } from '../../../lib/runtime/metrics.ts';
import type { EdgeOutcome, EdgeOutcomes } from './outcomes.ts';

/** Declares the families; `outcomes` are read when metrics are. */
export function observeEdges(metrics: Metrics, outcomes: EdgeOutcomes): void {
  const seconds = (name: string, help: string, of: (outcome: EdgeOutcome) => Date | undefined): void => {
    metrics.observedGauge({ name, help, labels: ['namespace', 'service'] }, (set) => {
      for (const [key, outcome] of outcomes.entries()) {
        const [namespace = '', service = ''] = key.split('/');
        const at = of(outcome);
        if (at !== undefined) set(at.getTime() / 1_000, { namespace, service });
      }
    });
  };
  seconds(
    'tabard_edge_certificate_renewal_timestamp_seconds',
    'When the edge certificate of a service is to be renewed; long in the past means that renewal is stuck.',
    ({ renewAt }) => renewAt,
  );
  seconds(
    'tabard_edge_certificate_expiration_timestamp_seconds',
    'When the edge certificate of a service expires.',
    ({ current }) => (current.kind === 'held' ? current.facts.notAfter : undefined),
  );
}

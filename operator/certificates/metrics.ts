// Metric families of certificate management, declared once per process.
import type { CounterMetric, HistogramMetric, Metrics } from '../../lib/runtime/metrics.ts';

/** A service's certificate as it is known. */
export interface CertificateTimes {
  readonly namespace: string;
  readonly service: string;
  readonly notAfter: Date;
  readonly renewAt: Date;
}

/** All families. */
export interface CertificateMetrics {
  /** Certificates written to Secrets. Label: reason (needs.ts `issueReasons`). */
  readonly issued: CounterMetric;
  /** Tries that failed. Label: code (of the error: AppError codes, kinds of KubeError). */
  readonly failures: CounterMetric;
  /** Seconds from the decision to the written Secret. */
  readonly issueSeconds: HistogramMetric;
}

/** Declares the families. `times` and `waiting` are asked when metrics are. */
export function certificateMetrics(
  metrics: Metrics,
  times: () => Iterable<CertificateTimes>,
  waiting: () => number,
): CertificateMetrics {
  const seconds = (name: string, help: string, of: (each: CertificateTimes) => Date): void => {
    metrics.observedGauge({ name, help, labels: ['namespace', 'service'] }, (set) => {
      for (const each of times()) set(of(each).getTime() / 1_000, { namespace: each.namespace, service: each.service });
    });
  };
  seconds(
    'tabard_certificate_renewal_timestamp_seconds',
    'When the certificate of a service is to be renewed; long in the past means that renewal is stuck.',
    ({ renewAt }) => renewAt,
  );
  seconds(
    'tabard_certificate_expiration_timestamp_seconds',
    'When the certificate of a service expires.',
    ({ notAfter }) => notAfter,
  );
  metrics.observedGauge(
    { name: 'tabard_certificates_waiting', help: 'Certificates that wait for their turn to be issued.' },
    (set) => set(waiting()),
  );
  return {
    issued: metrics.counter({
      name: 'tabard_certificates_issued_total',
      help: 'Certificates issued and written, by why.',
      labels: ['reason'],
    }),
    failures: metrics.counter({
      name: 'tabard_certificate_issue_failures_total',
      help: 'Certificates that could not be issued or written, by the code of the error.',
      labels: ['code'],
    }),
    issueSeconds: metrics.histogram({
      name: 'tabard_certificate_issue_seconds',
      help: 'Time from the decision to issue to the written Secret.',
    }),
  };
}

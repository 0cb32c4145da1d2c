// Metric families of CAs and their rotation, declared once per process.
import type { RotationPhase } from '../../lib/api/tlsissuer.ts';
import type { CounterMetric, GaugeMetric, Metrics } from '../../lib/runtime/metrics.ts';

const phases: readonly RotationPhase[] = ['Idle', 'Prepared', 'Active', 'Retiring'];

/** All families. */
export interface AuthorityMetrics {
  /** 1 for the phase that an issuer is in, 0 for the others. Labels: issuer, phase. */
  phase(issuer: string, phase: RotationPhase): void;
  /** Steps taken. Labels: issuer, step (kinds of Step, and `created`). */
  readonly steps: CounterMetric;
  /** Peers that hold a rotation up. Label: issuer. */
  readonly lagging: GaugeMetric;
  /** When the CA that signs expires. Label: issuer. */
  readonly notAfter: GaugeMetric;
  /** 1 while an issuer is Ready by its status. Label: issuer. */
  readonly ready: GaugeMetric;
}

/** Declares the families. */
export function authorityMetrics(metrics: Metrics): AuthorityMetrics {
  const phaseGauge = metrics.gauge({
    name: 'tabard_ca_rotation_phase',
    help: '1 for the phase in which the rotation of an issuer is.',
    labels: ['issuer', 'phase'],
  });
  return {
    phase: (issuer, current) => {
      for (const phase of phases) phaseGauge.set(phase === current ? 1 : 0, { issuer, phase });
    },
    steps: metrics.counter({
      name: 'tabard_ca_rotation_step_total',
      help: 'Steps of CA rotations that were taken.',
      labels: ['issuer', 'step'],
    }),
    lagging: metrics.gauge({
      name: 'tabard_ca_rotation_lagging',
      help: 'Pods and certificates that a rotation waits for.',
      labels: ['issuer'],
    }),
    notAfter: metrics.gauge({
      name: 'tabard_ca_not_after_timestamp_seconds',
      help: 'When the CA with which an issuer signs expires.',
      labels: ['issuer'],
    }),
    ready: metrics.gauge({
      name: 'tabard_issuer_ready',
      help: '1 while a TLSIssuer can sign, by its condition Ready; 0 while it cannot.',
      labels: ['issuer'],
    }),
  };
}

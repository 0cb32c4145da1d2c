// What people are told about pod certificates: Events on the pod, where one looks when it does not start, and counts.
import type { EventRecorder } from '../../lib/kube/events.ts';
import type { PodCertificateRequest } from '../../lib/kube/object.ts';
import type { CounterMetric, Metrics } from '../../lib/runtime/metrics.ts';
import type { DenyReason, WaitReason } from './decide.ts';

interface Refused<Reason> {
  readonly reason: Reason;
  readonly message: string;
}

/** Records Events and counts. */
export class SignerNotices {
  readonly #events: Pick<EventRecorder, 'record'>;
  readonly #issued: CounterMetric;
  readonly #refused: CounterMetric;

  constructor(events: Pick<EventRecorder, 'record'>, metrics: Metrics) {
    this.#events = events;
    this.#issued = metrics.counter({
      name: 'tabard_pod_certificates_issued_total',
      help: 'PodCertificateRequests that were granted.',
    });
    this.#refused = metrics.counter({
      name: 'tabard_pod_certificates_denied_total',
      help: 'PodCertificateRequests that were denied, by why.',
      labels: ['reason'],
    });
  }

  /** A request was granted. */
  granted(): void {
    this.#issued.inc({});
  }

  /** A request was denied, which its kubelet takes as final. */
  denied(request: PodCertificateRequest, { reason, message }: Refused<DenyReason>): void {
    this.#refused.inc({ reason });
    this.#warn(request, reason, `pod certificate denied: ${message}`);
  }

  /** A request waits for what a person or time must put right. */
  waiting(request: PodCertificateRequest, { reason, message }: Refused<WaitReason>): void {
    this.#warn(request, reason, `pod certificate is not issued yet: ${message}`);
  }

  #warn({ metadata, spec }: PodCertificateRequest, reason: string, note: string): void {
    const { podName: name, podUID: uid } = spec;
    const pod = { apiVersion: 'v1', kind: 'Pod', name, namespace: metadata.namespace ?? '', uid };
    this.#events.record(pod, { type: 'Warning', reason, action: 'IssueCertificate', note });
  }
}

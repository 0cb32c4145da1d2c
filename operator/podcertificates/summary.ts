// What a policy's status says of the pods of one service that have certificates of their own, and whether their policy wants them to. Pure.
import type { StatusReport } from '../../lib/api/control.ts';
import type { Pod } from '../../lib/kube/object.ts';
import type { CertificateSettings } from '../../lib/policy/effective.ts';
import type { PodCertificate } from './issued.ts';
import { hasPodCertificate } from './requests.ts';

/** The certificates of a service's pods. Times are those of the one that comes first. */
export interface PodCertificateSummary {
  /** Live pods that have, or are to have, a certificate of their own. */
  readonly pods: number;
  /** Different certificates that are valid now. */
  readonly valid: number;
  readonly issuer: string | undefined;
  readonly notBefore: Date | undefined;
  readonly notAfter: Date | undefined;
  readonly renewAt: Date | undefined;
}

/** Annotation and policy do not say the same. */
export interface DeliveryProblem {
  readonly reason: 'DeliveryMismatch';
  readonly message: string;
}

/** Where certificates are looked up. */
export interface SummarySources {
  readonly certificates: { ofPod(podUid: string): PodCertificate | undefined };
  readonly reports: { ofPod(podUid: string): { readonly report: StatusReport } | undefined };
}

/** The summary; undefined when no pod has a certificate of its own. */
export function podCertificateSummary(
  pods: readonly Pod[],
  sources: SummarySources,
  now: Date,
): PodCertificateSummary | undefined {
  const own = pods.filter(hasPodCertificate);
  if (own.length === 0) return undefined;
  const known = own.flatMap(({ metadata }) => knownOf(metadata.uid, sources) ?? []);
  const valid = known.filter(({ notAfter }) => now < notAfter);
  const first = (times: readonly (Date | undefined)[]): Date | undefined =>
    times.filter((time) => time !== undefined).sort((a, b) => a.getTime() - b.getTime())[0];
  return {
    pods: own.length,
    valid: new Set(valid.map(({ serial }) => serial)).size,
    issuer: known.find(({ issuer }) => issuer !== undefined)?.issuer,
    notBefore: first(known.map(({ notBefore }) => notBefore)),
    notAfter: first(known.map(({ notAfter }) => notAfter)),
    renewAt: first(known.map(({ refreshAt }) => refreshAt)),
  };
}

interface Known {
  readonly serial: string;
  readonly notAfter: Date;
  readonly issuer?: string;
  readonly notBefore?: Date;
  readonly refreshAt?: Date;
}

/** From its request, or from its sidecar when the request is long gone. */
function knownOf(podUid: string, { certificates, reports }: SummarySources): Known | undefined {
  const granted = certificates.ofPod(podUid);
  if (granted !== undefined) return granted;
  const report = reports.ofPod(podUid)?.report;
  if (report === undefined || report.serial === '') return undefined;
  return { serial: report.serial, notAfter: new Date(report.notAfter) };
}

/** What pods and policy disagree on; undefined when they agree. */
export function deliveryProblem(
  pods: readonly Pod[],
  delivery: CertificateSettings['delivery'],
): DeliveryProblem | undefined {
  const own = pods.filter(hasPodCertificate).length;
  const readers = pods.length - own;
  if (delivery === 'Secret' && own > 0) {
    const message = `${own} of its pods ask for certificates of their own, which waits until the policy says certificate.delivery: PodCertificate`;
    return { reason: 'DeliveryMismatch', message };
  }
  if (delivery === 'PodCertificate' && readers > 0) {
    const message = `${readers} of its pods read a Secret; annotate the workload tabard.dev/delivery=PodCertificate`;
    return { reason: 'DeliveryMismatch', message };
  }
  return undefined;
}

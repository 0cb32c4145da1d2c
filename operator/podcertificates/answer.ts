// The status that answers a request, within what the API server takes (kubernetes pkg/apis/certificates/validation): times that are
// those of the leaf, a refresh between ten minutes after its beginning and ten before its end. Pure.
import type { Condition } from '../../lib/api/conditions.ts';
import { rfc3339 } from '../../lib/api/time.ts';
import type { PodCertificateRequest } from '../../lib/kube/object.ts';
import { shortestPodCertificateMs } from '../../lib/policy/defaults.ts';
import { renewalTime } from '../certificates/schedule.ts';
import type { SignedLeaf } from '../issuers/issuer.ts';
import { grantMessage } from './issued.ts';

/** Status of a request. */
export type RequestStatus = NonNullable<PodCertificateRequest['status']>;

const minute = 60_000;
/** Nearest that the begin of a refresh may be to either end of the certificate. */
const marginMs = 10 * minute;
/** Farthest that notBefore may be from the API server's own time. */
const skewMs = 5 * minute;

/**
 * When the kubelet is to begin to renew: at the policy's `renewAt`, so that a rotation of the CA sees every pod's new certificate
 * well within one lifetime. The kubelet adds up to five minutes of its own.
 */
export function refreshTime(leaf: SignedLeaf, renewAt: number): Date {
  const wanted = renewalTime(leaf, renewAt).getTime();
  const earliest = leaf.notBefore.getTime() + marginMs;
  const latest = leaf.notAfter.getTime() - marginMs;
  return new Date(Math.min(Math.max(wanted, earliest), latest));
}

/** What of a leaf the API server would not take; a sentence. An issuer elsewhere decides about the times of its leaves itself. */
export function unfitness(leaf: SignedLeaf, request: PodCertificateRequest, now: Date): string | undefined {
  const lifeMs = leaf.notAfter.getTime() - leaf.notBefore.getTime();
  if (lifeMs < shortestPodCertificateMs) return 'the certificate that its issuer signed lives less than an hour';
  if (lifeMs > (request.spec.maxExpirationSeconds ?? 86_400) * 1_000) {
    return 'the certificate that its issuer signed lives longer than the request allows';
  }
  if (Math.abs(leaf.notBefore.getTime() - now.getTime()) >= skewMs) {
    return 'the certificate that its issuer signed begins more than five minutes from now';
  }
  return undefined;
}

/** The status of a request that is granted. */
export function issuedStatus(leaf: SignedLeaf, issuer: string, times: { refreshAt: Date; now: Date }): RequestStatus {
  const { refreshAt, now } = times;
  return {
    conditions: [condition('Issued', 'Issued', grantMessage(leaf.serial, issuer), now)],
    certificateChain: leaf.chain,
    notBefore: rfc3339(leaf.notBefore),
    beginRefreshAt: rfc3339(refreshAt),
    notAfter: rfc3339(leaf.notAfter),
  };
}

/** The status of a request that is denied. */
export function deniedStatus(reason: string, message: string, now: Date): RequestStatus {
  return { conditions: [condition('Denied', reason, message, now)] };
}

function condition(type: 'Issued' | 'Denied', reason: string, message: string, now: Date): Condition {
  return { type, status: 'True', reason, message, lastTransitionTime: rfc3339(now) };
}

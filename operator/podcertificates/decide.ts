// What to answer to one PodCertificateRequest: a pure function of what is known. Denied is what can never be right for this pod, since
// a kubelet takes a denial as final for as long as it and the pod live. Whatever a person or time can put right is left waiting: the
// kubelet asks anew by itself (a request is deleted after a quarter of an hour), and a certificate in use stays in use.
import type { KeyObject } from 'node:crypto';
import type { Pod, PodCertificateRequest } from '../../lib/kube/object.ts';
import { BACKDATE_MS } from '../../lib/pki/ca.ts';
import { keyAlgorithmOf } from '../../lib/pki/keys.ts';
import { keyOfRequest } from '../../lib/pki/pkcs10.ts';
import { shortestPodCertificateMs } from '../../lib/policy/defaults.ts';
import type { CertificateSettings } from '../../lib/policy/effective.ts';
import { isFinished, serviceKeyOf } from '../certificates/cluster.ts';
import type { IssuerState } from '../issuers/issuer.ts';
import { hasPodCertificate } from './requests.ts';

/** Why a request is denied, for good. The first two are well-known reasons of the API. */
export type DenyReason =
  | 'UnsupportedKeyType'
  | 'InvalidUnverifiedUserAnnotations'
  | 'PodNotFound' // there is no such pod
  | 'PodMismatch' // a pod of that name is there, but another one
  | 'PodFinished'
  | 'NotInjected' // it belongs to no service of the mesh
  | 'NotMounted' // it does not mount a certificate of this signer
  | 'ServiceAccountMismatch'
  | 'NodeMismatch'
  | 'InvalidRequest'; // no request, or no proof that the key is its sender's

/** Why a request is not answered now. */
export type WaitReason =
  | 'DeliveryMismatch' // the policy asks for certificates in Secrets
  | 'Revoked' // nothing is issued to the identity until that is lifted
  | 'IssuerMissing'
  | 'IssuerNotReady'
  | 'IssuerUnfit' // its leaves carry no identity, or it cannot sign for a key that it does not see
  | 'IssuerExpiring'; // it ends before the shortest certificate that the API takes

/** The answer. */
export type Decision =
  | { readonly kind: 'sign'; readonly publicKey: KeyObject; readonly lifetimeMs: number }
  | { readonly kind: 'deny'; readonly reason: DenyReason; readonly message: string }
  | { readonly kind: 'wait'; readonly reason: WaitReason; readonly message: string };

/** What the answer follows from. */
export interface Question {
  readonly request: PodCertificateRequest;
  /** The injected pod of the request's name; `absent` and `outside` only when the API server says so, not when a cache lags. */
  readonly pod: Pod | 'absent' | 'outside';
  /** Uid of the node that the pod names; undefined = that node is not known here. */
  readonly nodeUid: string | undefined;
  /** What the policy that governs the pod asks for. */
  readonly settings: Pick<CertificateSettings, 'issuer' | 'delivery' | 'lifetimeMs'>;
  readonly issuer: IssuerState;
  /** Whether that issuer signs for keys that it does not see. */
  readonly signsForOthers: boolean;
  /** Why nothing is issued to the identity. */
  readonly revoked: string | undefined;
  readonly now: Date;
}

type Refusal = Exclude<Decision, { kind: 'sign' }>;

/** What to answer. */
export function decide(question: Question): Decision {
  const { request, pod } = question;
  if (pod === 'absent') return deny('PodNotFound', `there is no pod "${request.spec.podName}"`);
  if (pod === 'outside') return deny('NotInjected', `pod "${request.spec.podName}" is not in the mesh`);
  const refusal = ownershipFault(question, pod);
  if (refusal !== undefined) return refusal;
  const unknown = Object.keys(request.spec.unverifiedUserAnnotations ?? {});
  if (unknown.length > 0) {
    return deny(
      'InvalidUnverifiedUserAnnotations',
      `this signer knows no annotations: ${unknown.slice(0, 5).join(', ')}`,
    );
  }
  const publicKey = readKey(request);
  if (publicKey === undefined) return deny('InvalidRequest', 'it holds no request that proves possession of its key');
  if (keyAlgorithmOf(publicKey) === undefined) {
    return deny('UnsupportedKeyType', 'use ECDSAP256, ECDSAP384, ED25519, RSA3072 or RSA4096');
  }
  const lifetimeMs = lifetimeOf(question);
  return obstacle(question, lifetimeMs) ?? { kind: 'sign', publicKey, lifetimeMs };
}

/** Whether the request is this pod's own: the pod, its service, its account, its node, its volume. */
function ownershipFault({ request: { spec }, nodeUid }: Question, pod: Pod): Refusal | undefined {
  if (pod.metadata.uid !== spec.podUID) {
    return deny('PodMismatch', `the pod "${spec.podName}" that is there now is another one`);
  }
  if (isFinished(pod)) return deny('PodFinished', 'the pod has finished');
  if (serviceKeyOf(pod) === undefined) return deny('NotInjected', 'the pod belongs to no service of the mesh');
  if (!hasPodCertificate(pod)) return deny('NotMounted', 'the pod mounts no certificate of this signer');
  const account = pod.spec?.serviceAccountName ?? 'default';
  if (account !== spec.serviceAccountName) {
    return deny('ServiceAccountMismatch', `the pod runs as "${account}", not as "${spec.serviceAccountName}"`);
  }
  const node = pod.spec?.nodeName ?? '';
  if (node !== spec.nodeName) return deny('NodeMismatch', `the pod runs on node "${node}", not on "${spec.nodeName}"`);
  if (nodeUid !== undefined && nodeUid !== spec.nodeUID) {
    return deny('NodeMismatch', `the node "${node}" that is there now is another one`);
  }
  return undefined;
}

/** What stands in the way of a request that is in order. */
function obstacle(question: Question, lifetimeMs: number): Refusal | undefined {
  const { settings, issuer, signsForOthers, revoked, now } = question;
  if (revoked !== undefined) return wait('Revoked', revoked);
  if (settings.delivery !== 'PodCertificate') {
    return wait('DeliveryMismatch', 'its policy asks for a Secret; set certificate.delivery: PodCertificate there');
  }
  if (!issuer.ready) return wait(issuer.reason, issuer.message);
  if (!issuer.mesh) return wait('IssuerUnfit', `certificates of issuer "${settings.issuer}" carry no identity`);
  if (!signsForOthers) {
    return wait('IssuerUnfit', `issuer "${settings.issuer}" cannot sign for a key that only the kubelet has`);
  }
  const endMs = Math.min(now.getTime() + lifetimeMs, issuer.notAfter.getTime());
  if (endMs - now.getTime() + BACKDATE_MS < shortestPodCertificateMs) {
    const end = issuer.notAfter.toISOString();
    return wait(
      'IssuerExpiring',
      `issuer "${settings.issuer}" expires at ${end}; a pod certificate lives an hour at least`,
    );
  }
  return undefined;
}

/**
 * The policy's lifetime within the issuer's limit, the hour that the API server wants at least, and what the pod allows, which is
 * counted from notBefore. The hour goes before the issuer's limit: its CA is then replaced a little slower than it could be.
 */
function lifetimeOf({ request, settings, issuer }: Question): number {
  const limitMs = issuer.ready ? (issuer.longestLifetimeMs ?? Infinity) : Infinity;
  // The API server fills in a day where a request states nothing.
  const allowedMs = (request.spec.maxExpirationSeconds ?? 86_400) * 1_000 - BACKDATE_MS;
  const wantedMs = Math.max(Math.min(settings.lifetimeMs, limitMs), shortestPodCertificateMs);
  return Math.min(wantedMs, allowedMs);
}

function readKey({ spec }: PodCertificateRequest): KeyObject | undefined {
  try {
    return keyOfRequest(Buffer.from(spec.stubPKCS10Request ?? '', 'base64'));
  } catch {
    return undefined;
  }
}

function deny(reason: DenyReason, message: string): Refusal {
  return { kind: 'deny', reason, message };
}

function wait(reason: WaitReason, message: string): Refusal {
  return { kind: 'wait', reason, message };
}

// Answers PodCertificateRequests for Tabard's signer: looks at a request with all that bears on it, decides (decide.ts), signs, writes the
// status. Runs on the leader alone. The status is final once written, so a second leader or a second try can do no harm.
import type { KeyObject } from 'node:crypto';
import { fieldManagers } from '../../lib/api/contract.ts';
import type { TLSPolicy } from '../../lib/api/tlspolicy.ts';
import type { Clock } from '../../lib/clock.ts';
import { AppError } from '../../lib/errors.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { Controller, type ReconcileResult, TerminalError } from '../../lib/kube/controller.ts';
import { isKube } from '../../lib/kube/errors.ts';
import { feed } from '../../lib/kube/feed.ts';
import type { KubeMetrics } from '../../lib/kube/metrics.ts';
import { keyOf, type PodCertificateRequest } from '../../lib/kube/object.ts';
import { resources } from '../../lib/kube/resources.ts';
import type { Store } from '../../lib/kube/store.ts';
import { formatIdentity } from '../../lib/pki/identity.ts';
import { keyAlgorithmOf } from '../../lib/pki/keys.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import { type AuditTrail, certificateDigest } from '../audit/audit.ts';
import { certificateFacts, unheardMs } from '../audit/unrecorded.ts';
import type { SignedLeaf } from '../issuers/issuer.ts';
import { deniedStatus, issuedStatus, type RequestStatus, refreshTime, unfitness } from './answer.ts';
import { type Case, type CaseSources, look } from './case.ts';
import type { Decision } from './decide.ts';
import { certificateOf, type PodCertificate, type PodCertificates } from './issued.ts';
import type { SignerNotices } from './notices.ts';
import { outcomeOf } from './requests.ts';

/** What the signer works with and on. */
export interface PodCertificateDeps extends CaseSources {
  readonly client: Pick<KubeClient, 'get' | 'applyStatus'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
  readonly stores: CaseSources['stores'] & {
    readonly podCertificateRequests: Store<PodCertificateRequest>;
    readonly policies: Store<TLSPolicy>;
  };
  readonly certificates: PodCertificates;
  readonly notices: SignerNotices;
  readonly audit: AuditTrail;
  /** When a leader before this one was last heard of; undefined = nothing is made good of the trail of others. */
  readonly leftAt?: (() => Date | undefined) | undefined;
  /** What else than the stores may change an answer: calls `again`. */
  readonly changes: readonly ((again: () => void) => () => void)[];
}

/** What was granted. `before`: the pod's certificate until now. */
interface Granted {
  readonly leaf: SignedLeaf;
  readonly refreshAt: Date;
  readonly before: PodCertificate | undefined;
  readonly publicKey: KeyObject;
}

/** How often to look at a request that waits although nothing changed: for what only time changes. */
const againMs = 30_000;
/** How soon to look again for a pod that the cache does not have although the API server does. */
const cacheLagMs = 250;
const workers = 8;

/** The signer. `run` once. */
export class PodCertificateSigner {
  readonly #deps: PodCertificateDeps;
  readonly #controller: Controller;
  /** Uids of requests that were answered; the cache may be a moment behind. Emptied as requests go. */
  readonly #answered = new Set<string>();

  constructor(deps: PodCertificateDeps) {
    this.#deps = deps;
    const { clock, logger, kubeMetrics: metrics, stores } = deps;
    this.#controller = new Controller({
      name: 'pod-certificates',
      feeds: [feed(stores.podCertificateRequests)],
      reconcile: (key, signal) => this.#reconcile(key, signal),
      clock,
      logger,
      metrics,
      workers,
    });
  }

  /** Works until the signal is aborted. Rejects only if a cache does not fill before. */
  async run(signal: AbortSignal): Promise<void> {
    const { stores, changes, leftAt } = this.#deps;
    const { podCertificateRequests: requests, pods, policies, nodes } = stores;
    await Promise.all([requests, pods, policies, nodes].map((store) => store.synced(signal)));
    const left = leftAt?.();
    if (left !== undefined) this.#takeOver(left.getTime() - unheardMs);
    const ends = [
      pods.subscribe((_, after) => this.#again(requests.byIndex('pod', after?.metadata.uid ?? ''))),
      policies.subscribe((before, after) => {
        if (before?.metadata.generation === after?.metadata.generation) return;
        this.#again(requests.byIndex('namespace', (after ?? before)?.metadata.namespace ?? ''));
      }),
      requests.subscribe((before, after) => {
        if (before !== undefined && after === undefined) this.#answered.delete(before.metadata.uid);
      }),
      ...changes.map((change) => change(() => this.#again(requests.list()))),
    ];
    try {
      await this.#controller.run(signal);
    } finally {
      for (const end of ends) end();
    }
  }

  /** Records what was granted since then: whoever did may not have said so. */
  #takeOver(sinceMs: number): void {
    for (const request of this.#deps.stores.podCertificateRequests.list()) {
      const issued = request.status?.conditions?.find(({ type }) => type === 'Issued');
      const certificate = certificateOf(request);
      if (certificate === undefined || !(Date.parse(issued?.lastTransitionTime ?? '') >= sinceMs)) continue;
      this.#deps.audit.record({
        action: 'CertificateIssued',
        askedBy: [askerOf(request)],
        reason: 'PodCertificateRequest',
        ...certificateFacts(request.status?.certificateChain ?? ''),
        issuer: certificate.issuer,
        again: true,
        note: `found in PodCertificateRequest ${keyOf(request.metadata)}: who granted it may not have said so`,
      });
    }
  }

  #again(requests: readonly PodCertificateRequest[]): void {
    for (const request of requests) {
      if (outcomeOf(request) === undefined) this.#controller.enqueue(keyOf(request.metadata));
    }
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    const request = this.#deps.stores.podCertificateRequests.get(key);
    if (request === undefined || request.metadata.deletionTimestamp !== undefined) return undefined;
    if (outcomeOf(request) !== undefined || this.#answered.has(request.metadata.uid)) return undefined;
    const found = await look(this.#deps, request, signal);
    if (found === 'unseen') return { after: cacheLagMs };
    const { decision } = found;
    switch (decision.kind) {
      case 'wait':
        this.#deps.notices.waiting(found.request, decision);
        return { after: againMs };
      case 'deny':
        return this.#deny(found, decision, signal);
      case 'sign':
        return this.#sign(found, decision, signal);
    }
  }

  async #deny(found: Case, decision: Extract<Decision, { kind: 'deny' }>, signal: AbortSignal): Promise<void> {
    const { clock, logger, notices, audit } = this.#deps;
    const { reason, message } = decision;
    if (!(await this.#write(found.request, deniedStatus(reason, message, clock.now()), signal))) return;
    logger.warn({ request: keyOf(found.request.metadata), reason, why: message }, 'pod certificate denied');
    notices.denied(found.request, decision);
    audit.record({
      action: 'CertificateRefused',
      askedBy: [askerOf(found.request)],
      reason,
      note: message,
      ...(found.identity.service === '' ? {} : { identity: formatIdentity(found.identity) }),
      issuer: found.settings.issuer,
    });
  }

  async #sign(
    found: Case,
    { publicKey, lifetimeMs }: Extract<Decision, { kind: 'sign' }>,
    signal: AbortSignal,
  ): Promise<ReconcileResult> {
    const { issuers, clock, notices, certificates } = this.#deps;
    const { request, identity, settings, dnsNames } = found;
    const issuer = issuers.named(settings.issuer);
    if ('ready' in issuer || issuer.signFor === undefined) {
      throw new AppError('pki_invalid', 'the issuer can no longer sign', { retryable: true });
    }
    const der = Buffer.from(request.spec.stubPKCS10Request ?? '', 'base64');
    const order = { publicKey, request: der, identity, dnsNames, lifetimeMs, now: clock.now() };
    const leaf = await issuer.signFor(order, signal);
    const now = clock.now();
    const unfit = unfitness(leaf, request, now);
    if (unfit !== undefined) {
      notices.waiting(request, { reason: 'IssuerUnfit', message: unfit });
      return { after: againMs };
    }
    const refreshAt = refreshTime(leaf, settings.renewAt);
    const status = issuedStatus(leaf, settings.issuer, { refreshAt, now });
    const before = certificates.ofPod(request.spec.podUID);
    if (await this.#write(request, status, signal)) this.#granted(found, { leaf, refreshAt, before, publicKey });
    return undefined;
  }

  #granted({ request, identity, settings }: Case, { leaf, refreshAt, before, publicKey }: Granted): void {
    const { logger, notices, audit } = this.#deps;
    const { serial, notAfter, chain } = leaf;
    const [sha256, keyKind] = [certificateDigest(chain), keyAlgorithmOf(publicKey)];
    const uri = formatIdentity(identity);
    notices.granted();
    logger.info(
      { request: keyOf(request.metadata), pod: request.spec.podName, identity: uri, serial, notAfter, refreshAt },
      'pod certificate issued',
    );
    audit.record({
      action: before === undefined ? 'CertificateIssued' : 'CertificateRenewed',
      askedBy: [askerOf(request)],
      reason: 'PodCertificateRequest',
      identity: uri,
      serial,
      ...(before === undefined ? {} : { replaces: before.serial }),
      ...(sha256 === undefined ? {} : { sha256 }),
      ...(keyKind === undefined ? {} : { keyKind }),
      notAfter,
      issuer: settings.issuer,
    });
  }

  /** False when somebody answered first, or the request is gone: nothing is left to do then. */
  async #write(request: PodCertificateRequest, status: RequestStatus, signal: AbortSignal): Promise<boolean> {
    const { client, certificates } = this.#deps;
    const { name, namespace = '', uid } = request.metadata;
    const input = { metadata: { name, namespace, uid }, status };
    try {
      const options = { signal, fieldManager: fieldManagers.operator, force: true };
      const written = await client.applyStatus(resources.podcertificaterequests, input, options);
      this.#answered.add(uid);
      const certificate = certificateOf(written);
      if (certificate !== undefined) certificates.note(certificate);
      return true;
    } catch (error) {
      if (isKube(error, 'NotFound') || isKube(error, 'Conflict')) return false;
      // An answered request takes no other answer; whatever else is wrong with this one would be wrong with the next, too.
      if (isKube(error, 'Invalid')) throw new TerminalError(`the answer to ${name} is not accepted`, error);
      throw error;
    }
  }
}

function askerOf({ metadata, spec }: PodCertificateRequest): string {
  return `Pod ${metadata.namespace ?? ''}/${spec.podName}`;
}

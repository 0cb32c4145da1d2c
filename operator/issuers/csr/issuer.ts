// Issuer `kubernetesCSR`: has leaves signed by any signer that answers CertificateSigningRequests (certificates.k8s.io). Who signs is
// unknown to us; what comes back is judged by the CAs that the TLSIssuer names, and by what was asked for.
import type { KubernetesCsrIssuerSpec, TLSIssuer } from '../../../lib/api/tlsissuer.ts';
import type { Clock } from '../../../lib/clock.ts';
import { messageOf } from '../../../lib/errors.ts';
import type { KubeClient } from '../../../lib/kube/client.ts';
import { isKube } from '../../../lib/kube/errors.ts';
import type { KubeMetrics } from '../../../lib/kube/metrics.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { createRequest } from '../../../lib/pki/csr.ts';
import { formatIdentity } from '../../../lib/pki/identity.ts';
import type { Logger } from '../../../lib/runtime/logger.ts';
import { aborted } from '../../../lib/runtime/signals.ts';
import type { IssuerState, LeafOrder, RunningIssuer, SignedLeaf } from '../issuer.ts';
import { judgeLeaf } from '../judge.ts';
import { IssuerError } from '../problem.ts';
import type { Followers } from '../staging.ts';
import { Watchman } from '../watchman.ts';
import { GivenAuthorities } from './authorities.ts';
import { RequestDesk } from './desk.ts';
import { signedThroughApi } from './request.ts';

/** What an issuer of this kind works with. */
export interface CsrDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
  readonly followers: Followers;
  /** To be called when what `state` says may have changed. */
  readonly changed: () => void;
  /** How long approval and signing may take together; a day by default. */
  readonly waitMs?: number;
}

/** How often our rights are looked at, and who trusts the CAs while somebody does not. */
const checkMs = 60_000;
const movingMs = 2_000;

/** The issuer for a TLSIssuer of kind kubernetesCSR. It is made anew when the spec changes. */
export function createCsrIssuer(object: TLSIssuer, deps: CsrDeps): RunningIssuer {
  const { kubernetesCSR } = object.spec;
  if (kubernetesCSR === undefined)
    throw new TypeError(`TLSIssuer ${object.metadata.name} is not of kind kubernetesCSR`);
  return new CsrIssuer(object.metadata.name, kubernetesCSR, deps);
}

class CsrIssuer implements RunningIssuer {
  readonly slow = true;
  readonly #name: string;
  readonly #spec: KubernetesCsrIssuerSpec;
  readonly #deps: CsrDeps;
  readonly #authorities: GivenAuthorities | IssuerError;
  readonly #watchman: Watchman;
  readonly #desk: RequestDesk;
  /** Resolves when we are known to have the rights that the desk needs. */
  readonly #permitted = Promise.withResolvers<void>();

  constructor(name: string, spec: KubernetesCsrIssuerSpec, deps: CsrDeps) {
    this.#name = name;
    this.#spec = spec;
    this.#deps = deps;
    this.#authorities = givenBy(name, spec);
    this.#watchman = new Watchman(name, this.#authorities instanceof IssuerError ? undefined : this.#authorities, deps);
    this.#desk = new RequestDesk(name, deps);
  }

  state(now: Date): IssuerState {
    return this.#watchman.state(now);
  }

  async sign(order: LeafOrder, signal: AbortSignal): Promise<SignedLeaf> {
    try {
      return await this.#sign(order, signal);
    } catch (error) {
      if (error instanceof IssuerError) this.#watchman.failed(error);
      throw error;
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#watchman.run((stop) => this.#look(stop), signal), this.#follow(signal)]);
  }

  async #follow(signal: AbortSignal): Promise<void> {
    await Promise.race([this.#permitted.promise, aborted(signal)]);
    await this.#desk.run(signal);
  }

  async #look(signal: AbortSignal): Promise<number> {
    const authorities = this.#usable();
    await this.#checkRights(signal);
    this.#permitted.resolve();
    authorities.advance(this.#deps.followers);
    return authorities.isMoving ? movingMs : checkMs;
  }

  async #sign(order: LeafOrder, signal: AbortSignal): Promise<SignedLeaf> {
    const { trusted, waitingFor } = this.#usable();
    if (trusted.length === 0) {
      throw new IssuerError(
        'AuthorityChanging',
        `not every peer trusts its CA yet: ${waitingFor[0] ?? 'a look is due'}`,
      );
    }
    const { identity, dnsNames, privateKey, lifetimeMs, waits = () => undefined } = order;
    const names = { uris: [formatIdentity(identity)], dnsNames, ipAddresses: [] };
    const request = createRequest(names, privateKey);
    const wanted = { spec: this.#spec, issuer: this.#name, request, lifetimeMs, waits };
    const pem = await signedThroughApi(wanted, { ...this.#deps, desk: this.#desk }, signal);
    // Who trusts what may have changed in the meantime.
    const anchors = this.#usable().trusted;
    return judgeLeaf({ pem, order, intermediates: [], anchors, now: this.#deps.clock.now() }).leaf;
  }

  #usable(): GivenAuthorities {
    if (this.#authorities instanceof IssuerError) throw this.#authorities;
    return this.#authorities;
  }

  /** Rejects with IssuerError `RightMissing` when the API server would not let us do what signing needs. */
  async #checkRights(signal: AbortSignal): Promise<void> {
    const { signerName, approve } = this.#spec;
    const group = 'certificates.k8s.io';
    for (const verb of ['create', 'list', 'watch']) {
      if (await this.#may({ group, resource: 'certificatesigningrequests', verb }, signal)) continue;
      throw new IssuerError('RightMissing', `the operator may not ${verb} CertificateSigningRequests`);
    }
    if (approve !== true) return;
    const domain = `${signerName.split('/')[0] ?? ''}/*`;
    for (const name of [signerName, domain]) {
      if (await this.#may({ group, resource: 'signers', verb: 'approve', name }, signal)) return;
    }
    throw new IssuerError('RightMissing', `the operator may not approve requests for ${signerName}`);
  }

  async #may(resourceAttributes: Readonly<Record<string, string>>, signal: AbortSignal): Promise<boolean> {
    const question = { metadata: { name: '' }, spec: { resourceAttributes } };
    try {
      const { status } = await this.#deps.client.create(resources.selfsubjectaccessreviews, question, { signal });
      return status?.allowed === true;
    } catch (error) {
      if (isKube(error, 'Forbidden')) return true;
      throw new IssuerError('Unreachable', `the API server does not say what we may do: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
}

function givenBy(name: string, { caBundle }: KubernetesCsrIssuerSpec): GivenAuthorities | IssuerError {
  try {
    return new GivenAuthorities(name, caBundle);
  } catch (error) {
    if (error instanceof IssuerError) return error;
    throw error;
  }
}

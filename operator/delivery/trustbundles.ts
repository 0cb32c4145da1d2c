// The trust bundle as ClusterTrustBundle `tabard.dev:mesh:<issuer>` (certificates.k8s.io/v1, KEP-3257), one for each issuer
// of the mesh: pods project all of them by signer name `tabard.dev/mesh`, and the kubelet merges them. Only where the API server
// serves the kind; elsewhere it says so once and rests.
import { delivered, labels, MANAGED_BY } from '../../lib/api/contract.ts';
import type { TLSIssuer } from '../../lib/api/tlsissuer.ts';
import type { Clock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { Controller, type ReconcileResult } from '../../lib/kube/controller.ts';
import { isKube } from '../../lib/kube/errors.ts';
import type { EventRecorder } from '../../lib/kube/events.ts';
import { feed } from '../../lib/kube/feed.ts';
import type { KubeMetrics } from '../../lib/kube/metrics.ts';
import type { ClusterTrustBundle, KubeInput } from '../../lib/kube/object.ts';
import { resources } from '../../lib/kube/resources.ts';
import type { Store } from '../../lib/kube/store.ts';
import { formatCertificates, parseCertificates } from '../../lib/pki/bundle.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import { isMeshIssuer } from '../trust/mesh.ts';
import { type Published, publish, tellOfBundle } from './publish.ts';

/** What the controller works with and on. */
export interface TrustBundlesDeps {
  readonly client: Pick<KubeClient, 'create' | 'apply' | 'delete'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly issuers: Store<TLSIssuer>;
  /** Those with app.kubernetes.io/managed-by=tabard. */
  readonly clusterTrustBundles: Store<ClusterTrustBundle>;
}

const prefix = `${delivered.signerName.replace('/', ':')}:`;

/** Reconciles by the name of a TLSIssuer. `run` once, on the leader alone. */
export class TrustBundles {
  readonly #deps: TrustBundlesDeps;
  readonly #controller: Controller;
  #said = false;

  constructor(deps: TrustBundlesDeps) {
    this.#deps = deps;
    const { clock, logger, kubeMetrics: metrics, issuers, clusterTrustBundles } = deps;
    const named = feed(clusterTrustBundles, ({ metadata }) =>
      metadata.name.startsWith(prefix) ? [metadata.name.slice(prefix.length)] : [],
    );
    this.#controller = new Controller({
      name: 'cluster-trust-bundles',
      feeds: [feed(issuers), named],
      reconcile: (issuer, signal) => this.#reconcile(issuer, signal),
      clock,
      logger,
      metrics,
    });
  }

  /** Works until the signal is aborted. Rejects only if a cache does not fill before. */
  run(signal: AbortSignal): Promise<void> {
    return this.#controller.run(signal);
  }

  async #reconcile(name: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { issuers, clusterTrustBundles } = this.#deps;
    const issuer = issuers.get(name);
    const bundle = issuer === undefined ? undefined : bundleOf(issuer);
    const current = clusterTrustBundles.get(`${prefix}${name}`);
    // An issuer of the mesh without a bundle just now keeps what was published for it.
    if (issuer !== undefined && isMeshIssuer(issuer) && bundle === undefined) return undefined;
    const outcome = await this.#publish(name, bundle, current, signal);
    if (outcome === 'not served') return undefined;
    return tellOfBundle(outcome, { kind: 'ClusterTrustBundle', name: `${prefix}${name}`, asking: issuer }, this.#deps);
  }

  async #publish(
    name: string,
    bundle: string | undefined,
    current: ClusterTrustBundle | undefined,
    signal: AbortSignal,
  ): Promise<Published | 'not served'> {
    const { client, logger } = this.#deps;
    try {
      const wanted = bundle === undefined ? undefined : trustBundle(name, bundle);
      return await publish(client, { resource: resources.clustertrustbundles, wanted, current, content }, signal);
    } catch (error) {
      if (current !== undefined || !isKube(error, 'NotFound')) throw error;
      if (!this.#said) logger.info('the API server does not serve ClusterTrustBundles');
      this.#said = true;
      return 'not served';
    }
  }
}

/** What peers of the issuer's leaves must trust. An ACME server's leaves are for clients outside of the mesh. */
function bundleOf({ spec, status }: TLSIssuer): string | undefined {
  const pem = status?.trustBundle ?? '';
  if (!isMeshIssuer({ spec }) || pem === '') return undefined;
  // The API server refuses repeats and text between the blocks.
  return formatCertificates(parseCertificates(pem));
}

function content(object: ClusterTrustBundle | KubeInput): unknown {
  return (object as Pick<ClusterTrustBundle, 'spec'>).spec;
}

function trustBundle(issuer: string, bundle: string): KubeInput {
  return {
    metadata: { name: `${prefix}${issuer}`, labels: { [labels.managedBy]: MANAGED_BY } },
    spec: { signerName: delivered.signerName, trustBundle: bundle },
  };
}

// Connects the issuers whose signers are outside of this process to what they work with. A kind is one line.
import { names, VERSION } from '../../lib/api/contract.ts';
import type { Clock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import type { KubeMetrics } from '../../lib/kube/metrics.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import { followersOf } from '../authority/followers.ts';
import type { PeersView } from '../authority/rotator.ts';
import type { Caches } from '../caches.ts';
import type { OperatorConfig } from '../config.ts';
import { createCsrIssuer } from './csr/issuer.ts';
import type { IssuerFactory } from './registry.ts';
import { mountedCredentials } from './vault/credentials.ts';
import { createVaultIssuer } from './vault/issuer.ts';

/** What these issuers work with. */
export interface RemoteDeps {
  readonly config: Pick<OperatorConfig, 'namespace' | 'tokensFolder' | 'fileDeliveryMs'>;
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly kubeMetrics: KubeMetrics;
  readonly stores: Pick<Caches, 'ownSecrets' | 'issuers'>;
  readonly peers: PeersView;
}

/** Makers of issuers of the kinds `vault` and `kubernetesCSR`. */
export function remoteFactories(deps: RemoteDeps): Readonly<Record<'vault' | 'kubernetesCSR', IssuerFactory>> {
  const { config, client, clock, logger, kubeMetrics, stores, peers } = deps;
  const { namespace, tokensFolder: folder, fileDeliveryMs: filesMs } = config;
  const followers = followersOf(peers, clock, { filesMs, settleMs: 0 });
  const shared = { clock, logger, followers, userAgent: `${names.operator}/${VERSION}` };
  const credentials = mountedCredentials({ folder, secrets: stores.ownSecrets, namespace });
  return {
    vault: (issuer, changed) => createVaultIssuer(issuer, { ...shared, ...stores, credentials, changed }),
    kubernetesCSR: (issuer, changed) => createCsrIssuer(issuer, { ...shared, client, kubeMetrics, changed }),
  };
}

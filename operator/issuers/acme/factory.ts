// Issuers of kind acme for the registry: one desk for the challenges of all of them.
import { names, VERSION } from '../../../lib/api/contract.ts';
import type { KubeClient } from '../../../lib/kube/client.ts';
import type { Secret } from '../../../lib/kube/object.ts';
import type { Store } from '../../../lib/kube/store.ts';
import type { Reports } from '../../control/report.ts';
import type { IssuerFactory } from '../registry.ts';
import { SecretDesk } from './desk.ts';
import { type AcmeDeps, createAcmeIssuer } from './issuer.ts';

/** What issuers of this kind work with. */
export interface AcmeFactoryDeps extends Omit<AcmeDeps, 'challenges' | 'changed' | 'userAgent' | 'client'> {
  readonly client: KubeClient;
  /** All of Tabard's own namespace. */
  readonly ownSecrets: Pick<Store<Secret>, 'list'>;
  readonly reports: Pick<Reports, 'ofService'>;
}

/** Makes the issuer of one object. */
export function acmeFactory(deps: AcmeFactoryDeps): IssuerFactory {
  const { client, clock, logger, audit, namespace, issuers, ownSecrets, reports } = deps;
  const challenges = new SecretDesk({ client, clock, namespace, ownSecrets, reports });
  const userAgent = `${names.operator}/${VERSION}`;
  return (object, changed) =>
    createAcmeIssuer(object, { client, clock, logger, audit, namespace, issuers, challenges, userAgent, changed });
}

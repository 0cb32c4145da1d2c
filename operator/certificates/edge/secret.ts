// The Secret of an edge certificate: reading what is in one, judging whose it is, and the object that is written. It has no trust bundle:
// whom to trust is the callers' business. Pure.
import { annotations, edgeSecretName, labels, MANAGED_BY, secretKeys, written } from '../../../lib/api/contract.ts';
import { rfc3339 } from '../../../lib/api/time.ts';
import type { OwnerReference } from '../../../lib/api/tlspolicy.ts';
import { messageOf } from '../../../lib/errors.ts';
import type { KubeInput, KubeObject, Secret } from '../../../lib/kube/object.ts';
import { parseChain } from '../../../lib/pki/pair.ts';
import type { SignedLeaf } from '../../issuers/issuer.ts';
import { dataOf, factsOf } from '../secret.ts';
import type { CurrentEdge } from './snapshot.ts';

const secretType = 'kubernetes.io/tls';

/** The service that an edge Secret of ours is for; undefined when it is none. */
export function edgeServiceOf({ metadata }: Pick<KubeObject, 'metadata'>): string | undefined {
  const service = metadata.labels?.[labels.service];
  const ours = metadata.labels?.[labels.managedBy] === MANAGED_BY && metadata.labels?.[labels.edge] === 'true';
  return ours && service !== undefined && metadata.name === edgeSecretName(service) ? service : undefined;
}

/** `<namespace>/<service>` of every Secret whose name is that of an edge Secret, whoever's it is. */
export function edgeKeyOf({ metadata }: Pick<KubeObject, 'metadata'>): string | undefined {
  const [start = '', end = ''] = edgeSecretName('\0').split('\0');
  const { name, namespace = '' } = metadata;
  if (!name.startsWith(start) || !name.endsWith(end) || name.length <= start.length + end.length) return undefined;
  return `${namespace}/${name.slice(start.length, -end.length)}`;
}

/** What a Secret holds. */
export function currentEdge(secret: Secret | undefined): CurrentEdge {
  if (secret === undefined) return { kind: 'absent' };
  if (edgeServiceOf(secret) === undefined) return { kind: 'foreign' };
  try {
    const chain = dataOf(secret, secretKeys.certificate);
    const facts = factsOf(parseChain(chain), dataOf(secret, secretKeys.key));
    const issuer = secret.metadata.annotations?.[written.issuer] ?? '';
    return { kind: 'held', facts, issuer, chain, owners: secret.metadata.ownerReferences ?? [] };
  } catch (error) {
    return { kind: 'broken', detail: messageOf(error) };
  }
}

/** What goes into a Secret. */
export interface EdgeContent {
  readonly namespace: string;
  readonly service: string;
  readonly issuer: string;
  readonly leaf: SignedLeaf;
  /** PKCS#8 PEM of the leaf's own key. */
  readonly keyPem: string;
  readonly owners: readonly OwnerReference[];
  /** Further annotations. */
  readonly notes?: Readonly<Record<string, string>>;
}

/** The Secret of a new edge certificate. */
export function edgeSecretInput(content: EdgeContent): KubeInput {
  const { namespace, service, issuer, leaf, keyPem, owners, notes } = content;
  const encoded = (text: string): string => Buffer.from(text).toString('base64');
  return {
    metadata: {
      name: edgeSecretName(service),
      namespace,
      labels: { [labels.managedBy]: MANAGED_BY, [labels.service]: service, [labels.edge]: 'true' },
      annotations: {
        [written.serial]: leaf.serial,
        [written.notBefore]: rfc3339(leaf.notBefore),
        [written.notAfter]: rfc3339(leaf.notAfter),
        [written.issuer]: issuer,
        [annotations.service]: service,
        ...notes,
      },
      ownerReferences: owners,
    },
    type: secretType,
    data: { [secretKeys.certificate]: encoded(leaf.chain), [secretKeys.key]: encoded(keyPem) },
  };
}

// Keeps one object of the cluster equal to what is wanted, and never touches one that Tabard did not make. The same way as
// for Secrets (docs/adr/0004-pki.md): what is absent is created, what is there is applied on exactly the version that was judged.
import { fieldManagers, labels, MANAGED_BY } from '../../lib/api/contract.ts';
import { sameJson } from '../../lib/api/equal.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import type { ReconcileResult } from '../../lib/kube/controller.ts';
import { isKube } from '../../lib/kube/errors.ts';
import { type EventRecorder, subjectOf } from '../../lib/kube/events.ts';
import type { KubeInput, KubeObject } from '../../lib/kube/object.ts';
import type { Resource } from '../../lib/kube/resources.ts';
import type { Logger } from '../../lib/runtime/logger.ts';

/** One object: how it should be, and how it is as far as the cache of Tabard's own objects shows. */
export interface Publication<T extends KubeObject> {
  readonly resource: Resource<T>;
  /** Undefined = it should not be there. */
  readonly wanted: KubeInput | undefined;
  /** Undefined = Tabard has none of that name. */
  readonly current: T | undefined;
  /** The part of an object that must be as wanted; other members are left to whoever put them there. */
  readonly content: (object: T | KubeInput) => unknown;
}

/** What was done. `foreign`: somebody else's object has the name. */
export type Published = 'unchanged' | 'written' | 'deleted' | 'foreign';

/** How often to see whether somebody else's object is gone: it is in no watch of ours. */
const foreignCheckMs = 60_000;

/** Says what came of publishing the trust bundle: in the log, and to whoever asked for it where the name is taken. When to look again. */
export function tellOfBundle(
  outcome: Published,
  { kind, name, asking }: { readonly kind: string; readonly name: string; readonly asking: KubeObject | undefined },
  { logger, events }: { readonly logger: Logger; readonly events: Pick<EventRecorder, 'record'> },
): ReconcileResult {
  if (outcome === 'written' || outcome === 'deleted') logger.info({ kind, name, outcome }, 'trust bundle published');
  if (outcome !== 'foreign' || asking === undefined) return undefined;
  events.record(subjectOf(asking), {
    type: 'Warning',
    reason: 'TrustBundleNotOurs',
    action: 'PublishTrustBundle',
    note: `${kind} "${name}" is not Tabard's and is left alone; rename or delete it`,
  });
  return { after: foreignCheckMs };
}

/** Whether Tabard made an object. */
export function isOurs({ metadata }: Pick<KubeObject, 'metadata'>): boolean {
  return metadata.labels?.[labels.managedBy] === MANAGED_BY;
}

/** Brings the object to what is wanted. Rejects with a KubeError; `Conflict` means that it changed since it was looked at. */
export async function publish<T extends KubeObject>(
  client: Pick<KubeClient, 'create' | 'apply' | 'delete'>,
  { resource, wanted, current, content }: Publication<T>,
  signal: AbortSignal,
): Promise<Published> {
  if (current !== undefined && !isOurs(current)) return 'foreign';
  if (wanted === undefined) return current === undefined ? 'unchanged' : remove(client, resource, current, signal);
  const options = { signal, fieldManager: fieldManagers.operator };
  if (current !== undefined) {
    if (sameJson(content(wanted), content(current))) return 'unchanged';
    const { uid, resourceVersion } = current.metadata;
    const exact = { ...wanted, metadata: { ...wanted.metadata, uid, resourceVersion } };
    await client.apply(resource, exact, { ...options, force: true });
    return 'written';
  }
  try {
    await client.create(resource, wanted, options);
    return 'written';
  } catch (error) {
    if (isKube(error, 'AlreadyExists')) return 'foreign';
    throw error;
  }
}

async function remove<T extends KubeObject>(
  client: Pick<KubeClient, 'delete'>,
  resource: Resource<T>,
  { metadata }: T,
  signal: AbortSignal,
): Promise<Published> {
  const { name, namespace, uid, resourceVersion } = metadata;
  try {
    await client.delete(resource, namespace === undefined ? { name } : { name, namespace }, {
      signal,
      uid,
      resourceVersion,
    });
  } catch (error) {
    if (!isKube(error, 'NotFound')) throw error;
  }
  return 'deleted';
}

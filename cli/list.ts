// Whole lists from the API server, and what it means that one is not given to you.
import type { KubeClient, Selection } from '../lib/kube/client.ts';
import { isKube } from '../lib/kube/errors.ts';
import type { KubeObject } from '../lib/kube/object.ts';
import type { Resource } from '../lib/kube/resources.ts';

const pageSize = 500;

/** All objects of a kind, page by page. Rejects with a KubeError. */
export async function listAll<T extends KubeObject>(
  client: Pick<KubeClient, 'list'>,
  resource: Resource<T>,
  selection: Selection,
  signal: AbortSignal,
): Promise<readonly T[]> {
  const items: T[] = [];
  let page = await client.list(resource, { ...selection, limit: pageSize, signal });
  for (;;) {
    items.push(...page.items);
    if (page.continue === undefined) return items;
    page = await client.list(resource, { ...selection, limit: pageSize, continue: page.continue, signal });
  }
}

/** The same; undefined when you have no right to it. */
export async function listIfAllowed<T extends KubeObject>(
  ...[client, resource, selection, signal]: Parameters<typeof listAll<T>>
): Promise<readonly T[] | undefined> {
  try {
    return await listAll(client, resource, selection, signal);
  } catch (error) {
    if (isKube(error, 'Forbidden')) return undefined;
    throw error;
  }
}

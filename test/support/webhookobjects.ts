// Objects for the webhook's tests on a real API server, and the comparison of what is stored with what is wanted.
import { containerLists } from '../../webhook/conflicts.ts';
import { arrayAt, isObject, type Json, type JsonObject, objectAt, stringAt } from '../../webhook/json.ts';
import { amountOf } from '../../webhook/quantity.ts';

/** Everything of `wanted` is in `actual`; arrays in order, but longer where the API server adds something. Tokens differ by review. */
export function missing(wanted: Json, actual: Json | undefined, path = ''): readonly string[] {
  if (typeof wanted === 'string' && typeof actual === 'string') {
    const bare = (text: string) => text.replaceAll(/(postStart|preStop)\/[0-9a-f]{32}/g, '$1/TOKEN');
    const amount = path.endsWith('/cpu') ? amountOf('cpu', wanted) : undefined;
    if (amount !== undefined && amount === amountOf('cpu', actual)) return [];
    return bare(wanted) === bare(actual) ? [] : [`${path}: ${wanted} is ${actual}`];
  }
  if (Array.isArray(wanted))
    return wanted.flatMap((item, index) =>
      missing(item, Array.isArray(actual) ? actual[index] : undefined, `${path}/${index}`),
    );
  if (isObject(wanted))
    return Object.entries(wanted).flatMap(([key, member]) =>
      missing(member, isObject(actual) ? actual[key] : undefined, `${path}/${key}`),
    );
  // The API server drops what is empty.
  return wanted === actual || (actual === undefined && (wanted === '' || wanted === 0 || wanted === null))
    ? []
    : [`${path}: ${JSON.stringify(wanted)} is ${JSON.stringify(actual)}`];
}

/** The pod without the volume that the API server adds for its service account, at the front of the list. */
export function withoutToken(stored: JsonObject): JsonObject {
  const isOwn = (each: Json) => stringAt(each, 'name')?.startsWith('kube-api-access-') !== true;
  const containers = Object.fromEntries(
    containerLists.map((list) => [
      list,
      arrayAt(stored, 'spec', list).map((each) => ({
        ...objectAt(each),
        volumeMounts: arrayAt(each, 'volumeMounts').filter(isOwn),
      })),
    ]),
  );
  const volumes = arrayAt(stored, 'spec', 'volumes').filter(isOwn);
  return { ...stored, spec: { ...objectAt(stored, 'spec'), ...containers, volumes } };
}

/** A Deployment of one pod. */
export const deployment = (namespace: string, name: string, annotations: JsonObject = {}): JsonObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace, annotations },
  spec: {
    replicas: 1,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'web', image: 'web' }] } },
  },
});

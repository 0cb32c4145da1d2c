// Shared by the tests of the webhook: the settings of an installation, reviews as the API server sends them, and the golden pods.
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { applyPatch } from 'rfc6902';
import { parse } from 'yaml';
import { annotations } from '../../lib/api/contract.ts';
import { type Admission, type AdmissionContext, admit } from '../../webhook/admit.ts';
import { webhookPaths } from '../../webhook/configuration.ts';
import type { SidecarConfig } from '../../webhook/container.ts';
import { type Json, type JsonObject, objectAt, stringAt, stringsAt } from '../../webhook/json.ts';
import type { PatchOperation } from '../../webhook/patch.ts';
import { parseReview } from '../../webhook/review.ts';

/** Settings as the chart's defaults make them. */
export const sidecarConfig: SidecarConfig = {
  namespace: 'tabard-system',
  image: 'registry.example/tabard:0.1.0',
  imagePullPolicy: 'IfNotPresent',
  imagePullSecrets: [],
  trustDomain: 'cluster.local',
  controlAddress: 'tabard-operator.tabard-system.svc.cluster.local:16010',
  relay: 'Auto',
  workers: 'Auto',
  logFormat: 'OpenTelemetry',
  defaults: {
    cpu: { request: '20m' },
    memory: { request: '64Mi', limit: '1Gi' },
    logLevel: 'info',
  },
};

/** A context in which nothing is known of any namespace. */
export const context: AdmissionContext = { config: sidecarConfig, namespaceLabels: () => ({}) };

/** Members of a review that a test wants otherwise. */
export interface ReviewOptions {
  readonly before?: JsonObject;
  readonly dryRun?: boolean;
  readonly uid?: string;
}

/** The body of an AdmissionReview about an object, in the namespace it states or else `shop`. */
export function reviewOf(
  object: JsonObject,
  { before, dryRun = false, uid = 'review-1' }: ReviewOptions = {},
): JsonObject {
  const kind = stringAt(object, 'kind') ?? '';
  const apiVersion = stringAt(object, 'apiVersion') ?? 'v1';
  const [version = '', group = ''] = apiVersion.split('/').reverse();
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid,
      kind: { group, version, kind },
      resource: { group, version, resource: `${kind.toLowerCase()}s` },
      name: stringAt(object, 'metadata', 'name') ?? '',
      namespace: stringAt(object, 'metadata', 'namespace') ?? 'shop',
      operation: before === undefined ? 'CREATE' : 'UPDATE',
      userInfo: { username: 'system:serviceaccount:kube-system:replicaset-controller' },
      object,
      oldObject: before ?? null,
      dryRun,
      options: { apiVersion: 'meta.k8s.io/v1', kind: 'CreateOptions' },
    },
  };
}

/** The path on which the API server's selectors would send this object. */
export function pathFor(object: JsonObject): string {
  if (stringAt(object, 'kind') !== 'Pod') return webhookPaths.workloads;
  const stated = stringsAt(object, 'metadata', 'annotations')[annotations.inject] !== undefined;
  return stated ? webhookPaths.pods : webhookPaths.namespacePods;
}

/** Admits an object as the server would, from the body of a review to the answer. */
export function admitted(
  object: JsonObject,
  options: ReviewOptions = {},
  within: AdmissionContext = context,
): Admission {
  return admit(pathFor(object), parseReview(JSON.stringify(reviewOf(object, options))), within);
}

/** The object after the patch, carried out by another implementation of RFC 6902. */
export function patched(object: JsonObject, operations: readonly PatchOperation[]): JsonObject {
  const copy = JSON.parse(JSON.stringify(object)) as JsonObject;
  const errors = applyPatch(copy, JSON.parse(JSON.stringify(operations)) as Parameters<typeof applyPatch>[1]);
  const failed = errors.find((error) => error !== null);
  if (failed !== undefined) throw failed;
  return copy;
}

/** The object as it is stored: injected or changed, as admission answers. */
export function stored(
  object: JsonObject,
  options: ReviewOptions = {},
  within: AdmissionContext = context,
): JsonObject {
  return patched(object, admitted(object, options, within).answer.operations);
}

/** Any JSON value, but for the key that the other implementation of RFC 6902 cannot copy. */
export const anyJson = (maxDepth: number): fc.Arbitrary<Json> =>
  fc.jsonValue({ maxDepth }).filter((value) => !JSON.stringify(value).includes('"__proto__"')) as fc.Arbitrary<Json>;

/** Folder of the golden cases. */
export const goldenFolder = resolve(import.meta.dirname, '../golden/injection');

/** The golden cases: name and pod. */
export function goldenPods(): readonly { readonly name: string; readonly pod: JsonObject }[] {
  return readdirSync(goldenFolder)
    .sort()
    .map((name) => {
      const pod = objectAt(parse(readFileSync(join(goldenFolder, name, 'pod.yaml'), 'utf8')));
      if (pod === undefined) throw new TypeError(`${name}/pod.yaml holds no object`);
      return { name, pod };
    });
}

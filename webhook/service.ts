// Which service a pod belongs to, and so which identity it gets (design, "Identity"). Pure: the pod's own metadata decides, so
// that the answer needs no look-up and is the same on every replica.
import { createHash } from 'node:crypto';
import { annotations } from '../lib/api/contract.ts';
import { serviceNameForm } from './annotations.ts';
import { arrayAt, isTrueAt, type Json, type JsonObject, stringAt } from './json.ts';

/** The controller of an object, from `metadata.ownerReferences`. */
export interface Owner {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

/** Kinds whose name is the service's. A ReplicaSet stands for its Deployment; a CronJob is stamped on its Jobs. */
const namingKinds: readonly string[] = [
  'ReplicaSet',
  'StatefulSet',
  'DaemonSet',
  'Job',
  'CronJob',
  'Deployment',
  'ReplicationController',
];

/** Labels with the hash that a Deployment (or an Argo Rollout) puts at the end of its ReplicaSets' names. */
const hashLabels: readonly string[] = ['pod-template-hash', 'rollouts-pod-template-hash'];

/** The controller of an object; undefined when it has none. */
export function ownerOf(object: Json): Owner | undefined {
  const reference = arrayAt(object, 'metadata', 'ownerReferences').find((each) => isTrueAt(each, 'controller'));
  if (reference === undefined) return undefined;
  const read = (key: string) => stringAt(reference, key) ?? '';
  return { apiVersion: read('apiVersion'), kind: read('kind'), name: read('name'), uid: read('uid') };
}

/**
 * The service of a pod: its annotation, else the name of the workload that owns it, else its own name without the generated part.
 * The annotation must have been validated before.
 */
export function serviceOf(pod: JsonObject): string {
  const stated = stringAt(pod, 'metadata', 'annotations', annotations.service);
  return stated ?? serviceName(workloadName(pod));
}

/** A name as a service name: itself where it fits, else a readable start and a hash of the whole. */
export function serviceName(name: string): string {
  if (serviceNameForm.test(name)) return name;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 8);
  const start = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]/g, '-')
    .slice(0, 47)
    .replace(/^-+/, '')
    .replace(/-+$/, '');
  return start === '' ? `pod-${hash}` : `${start}-${hash}`;
}

function workloadName(pod: JsonObject): string {
  const owner = ownerOf(pod);
  if (owner === undefined || !namingKinds.includes(owner.kind)) {
    const generated = stringAt(pod, 'metadata', 'generateName')?.replace(/[-.]+$/, '') ?? '';
    return stringAt(pod, 'metadata', 'name') ?? generated;
  }
  const suffixes = hashLabels.map((label) => `-${stringAt(pod, 'metadata', 'labels', label) ?? ''}`);
  const suffix = suffixes.find((each) => each !== '-' && owner.name.endsWith(each) && owner.name !== each);
  return owner.kind === 'ReplicaSet' && suffix !== undefined ? owner.name.slice(0, -suffix.length) : owner.name;
}

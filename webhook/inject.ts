// Turns "inject" into a JSON Patch for one pod. First and later passes are the same code: what is there already is brought
// up to date only where it must be, so a second pass over its own result is empty, and what other webhooks did to our containers in
// between (another registry, more resources) stays.
import { labels, written } from '../lib/api/contract.ts';
import type { InjectionSettings } from './annotations.ts';
import { type Container, proxyContainer, redirectContainer, type SidecarConfig, volumesOf } from './container.ts';
import { arrayAt, type JsonObject, objectAt, stringAt, valueAt } from './json.ts';
import { PatchBuilder, type PatchOperation } from './patch.ts';
import { knownProbes, rewriteProbes } from './probes.ts';

/** Version of what injection makes of a pod, the value of annotation tabard.dev/injected. */
export const INJECTION_VERSION = '1';

const initContainers = ['spec', 'initContainers'] as const;

/** What was decided (decide.ts). */
export interface Injection {
  readonly service: string;
  readonly settings: InjectionSettings;
  /** The review's uid (see ProbeContext). */
  readonly seed: string;
}

/** The patch that injects a pod; empty when it is injected and nothing about it changed since. */
export function injectionPatch(
  pod: JsonObject,
  { service, settings, seed }: Injection,
  config: SidecarConfig,
): readonly PatchOperation[] {
  const patch = new PatchBuilder(pod);
  patch.set(['metadata', 'labels', labels.injected], 'true');
  patch.set(['metadata', 'annotations', written.service], service);
  patch.set(['metadata', 'annotations', written.injected], INJECTION_VERSION);
  const probes = rewriteProbes(patch, {
    excludedPorts: settings.excludeInboundPorts,
    known: knownProbes(pod),
    seed,
  });
  const grace = valueAt(pod, 'spec', 'terminationGracePeriodSeconds');
  // The API server's default, which admission may come before.
  const graceSeconds = typeof grace === 'number' ? grace : 30;
  const request = { config, service, settings, probes, podResources: objectAt(pod, 'spec', 'resources'), graceSeconds };
  const wanted = [...(settings.capture === 'redirect' ? [redirectContainer(request)] : []), proxyContainer(request)];
  for (const [index, container] of wanted.entries()) place(patch, index, container);
  for (const volume of volumesOf(request)) mount(patch, volume);
  for (const name of config.imagePullSecrets) addPullSecret(patch, name);
  return patch.operations;
}

/** Puts a container at its place among the init containers: first of all, so that the user's have the mesh too. */
function place(patch: PatchBuilder, index: number, wanted: Container): void {
  const list = arrayAt(patch.document, ...initContainers);
  const at = list.findIndex((each) => stringAt(each, 'name') === wanted.name);
  const present = list[at];
  if (present === undefined) {
    patch.insert(initContainers, index, wanted);
    return;
  }
  if (at !== index) {
    patch.remove([...initContainers, at]);
    patch.insert(initContainers, index, present);
  }
  for (const variable of wanted.env) bringUpToDate(patch, index, variable);
}

/** Sets a variable of a container that is there already; one that takes its value from a field is left as it is. */
function bringUpToDate(patch: PatchBuilder, container: number, wanted: JsonObject): void {
  const path = [...initContainers, container, 'env'];
  const at = arrayAt(patch.document, ...path).findIndex((each) => stringAt(each, 'name') === stringAt(wanted, 'name'));
  const value = stringAt(wanted, 'value');
  if (at < 0) patch.append(path, wanted);
  else if (value !== undefined && (stringAt(patch.document, ...path, at, 'value') ?? '') !== value) {
    patch.set([...path, at, 'value'], value);
  }
}

/** Adds a volume, or brings the certificate's up to date. */
export function mount(patch: PatchBuilder, wanted: JsonObject & { readonly name: string }): void {
  const path = ['spec', 'volumes'];
  const secretOf = (volume: JsonObject) => stringAt(volume, 'projected', 'sources', 0, 'secret', 'name');
  const at = arrayAt(patch.document, ...path).findIndex((each) => stringAt(each, 'name') === wanted.name);
  const present = objectAt(patch.document, ...path, at);
  if (present === undefined) patch.append(path, wanted);
  else if (secretOf(present) !== secretOf(wanted)) patch.set([...path, at], wanted);
}

function addPullSecret(patch: PatchBuilder, name: string): void {
  const path = ['spec', 'imagePullSecrets'];
  const present = arrayAt(patch.document, ...path).some((each) => valueAt(each, 'name') === name);
  if (!present) patch.append(path, { name });
}

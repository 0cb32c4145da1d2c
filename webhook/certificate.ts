// `tabard.dev/inject: "certificate"`: the certificate of the service in every container, and nothing else. For workloads that terminate
// TLS themselves. Like injection with a sidecar, a second pass over its own result is empty, and a container that another
// webhook added in between gets the mount, too. Pure.
import { labels, names, paths, written } from '../lib/api/contract.ts';
import { containerLists } from './conflicts.ts';
import { INJECTION_VERSION, type Injection, mount } from './inject.ts';
import { arrayAt, type JsonObject, stringAt } from './json.ts';
import { PatchBuilder, type PatchOperation } from './patch.ts';
import { tlsVolume } from './volume.ts';

/** The patch that mounts the certificate of `service` in every container, init containers included; empty when it is mounted. */
export function certificatePatch(
  pod: JsonObject,
  { service, settings: { delivery } }: Pick<Injection, 'service' | 'settings'>,
): readonly PatchOperation[] {
  const patch = new PatchBuilder(pod);
  patch.set(['metadata', 'labels', labels.injected], 'certificate');
  patch.set(['metadata', 'annotations', written.service], service);
  patch.set(['metadata', 'annotations', written.injected], INJECTION_VERSION);
  for (const list of containerLists) {
    for (const index of arrayAt(pod, 'spec', list).keys()) mountAt(patch, ['spec', list, index, 'volumeMounts']);
  }
  mount(patch, tlsVolume({ service, delivery, reader: 'application' }));
  return patch.operations;
}

/** A whole folder, never a `subPath`: the kubelet would not renew that one (kubernetes#50345). */
function mountAt(patch: PatchBuilder, path: readonly (string | number)[]): void {
  const isMounted = arrayAt(patch.document, ...path).some(
    (each) => stringAt(each, 'name') === names.tlsVolume && stringAt(each, 'mountPath') === paths.tls,
  );
  if (!isMounted) patch.append(path, { name: names.tlsVolume, mountPath: paths.tls, readOnly: true });
}

// What in a pod cannot live beside the sidecar: its ports, its user, its names. Each would make the pod fail later and less
// clearly, or go around capture unseen, so it is refused at admission. Pure. Users that only an image names cannot be seen here.
import { names, PROXY_UID, ports, written } from '../lib/api/contract.ts';
import { arrayAt, type Json, type JsonObject, numberAt, stringAt, valueAt } from './json.ts';

/** Why a pod is refused for what its containers are. */
export type ConflictReason = 'reserved_name' | 'reserved_port' | 'reserved_uid';

/** One conflict, as a sentence that says what to change. */
export interface Conflict {
  readonly reason: ConflictReason;
  readonly message: string;
}

/** Lists of a pod's spec that hold containers. Ephemeral ones are added later, by another request. */
export const containerLists = ['initContainers', 'containers'] as const;

const reservedPorts: readonly (number | undefined)[] = [ports.outbound, ports.inbound, ports.admin];
const ownContainers: readonly string[] = [names.redirectContainer, names.proxyContainer];
const ownVolumes: readonly string[] = [names.tlsVolume, names.stateVolume];

/** Whether the pod went through injection before: it is marked and the sidecar is there. */
export function isInjected(pod: JsonObject): boolean {
  return (
    valueAt(pod, 'metadata', 'annotations', written.injected) !== undefined &&
    arrayAt(pod, 'spec', 'initContainers').some((each) => stringAt(each, 'name') === names.proxyContainer)
  );
}

/** The first conflict of a pod (or of a pod template) with the sidecar; undefined when there is none. */
export function conflictOf(pod: JsonObject): Conflict | undefined {
  const injected = isInjected(pod);
  for (const list of containerLists) {
    for (const container of arrayAt(pod, 'spec', list)) {
      const name = stringAt(container, 'name') ?? '';
      if (injected && list === 'initContainers' && ownContainers.includes(name)) continue;
      const found = nameConflict(name) ?? volumeMountConflict(container, name) ?? portConflict(container, name);
      const conflict = found ?? uidConflict(pod, container, name);
      if (conflict !== undefined) return conflict;
    }
  }
  return injected ? undefined : volumeConflict(pod);
}

function nameConflict(name: string): Conflict | undefined {
  if (!name.startsWith('tabard-')) return undefined;
  const message = `container "${name}": names that begin with "tabard-" are the sidecar's; rename the container`;
  return { reason: 'reserved_name', message };
}

function volumeConflict(pod: JsonObject): Conflict | undefined {
  const name = arrayAt(pod, 'spec', 'volumes')
    .map((volume) => stringAt(volume, 'name') ?? '')
    .find((each) => ownVolumes.includes(each));
  if (name === undefined) return undefined;
  return { reason: 'reserved_name', message: `volume "${name}": this name is the sidecar's; rename the volume` };
}

function volumeMountConflict(container: Json, name: string): Conflict | undefined {
  const mounted = arrayAt(container, 'volumeMounts').find((each) => ownVolumes.includes(stringAt(each, 'name') ?? ''));
  if (mounted === undefined) return undefined;
  const volume = stringAt(mounted, 'name') ?? '';
  const message = `container "${name}" mounts volume "${volume}", which holds the sidecar's key or state; remove the mount`;
  return { reason: 'reserved_name', message };
}

function portConflict(container: Json, name: string): Conflict | undefined {
  const port = arrayAt(container, 'ports')
    .map((each) => numberAt(each, 'containerPort'))
    .find((each) => reservedPorts.includes(each));
  if (port === undefined) return undefined;
  const message = `container "${name}" uses port ${port}, which is the sidecar's; let the application listen on another port`;
  return { reason: 'reserved_port', message };
}

function uidConflict(pod: JsonObject, container: Json, name: string): Conflict | undefined {
  const user =
    numberAt(container, 'securityContext', 'runAsUser') ?? numberAt(pod, 'spec', 'securityContext', 'runAsUser');
  if (user !== PROXY_UID) return undefined;
  const message = `container "${name}" runs as user ${PROXY_UID}, whose traffic is not captured; set another runAsUser`;
  return { reason: 'reserved_uid', message };
}

// What in a pod cannot live beside what is injected: the sidecar's ports, user and names, the certificate's folder. Each would make the
// pod fail later and less clearly, or go around capture unseen, so it is refused at admission. Pure. Users that only an image names
// cannot be seen here.
import { labels, names, PROXY_UID, paths, ports, written } from '../lib/api/contract.ts';
import { arrayAt, type Json, type JsonObject, numberAt, stringAt, valueAt } from './json.ts';

/** What injection adds to a pod: the sidecar with all that belongs to it, or the certificate's volume alone. */
export type InjectionKind = 'sidecar' | 'certificate';

/** Why a pod is refused for what its containers are. */
export type ConflictReason = 'reserved_name' | 'reserved_path' | 'reserved_port' | 'reserved_uid';

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

/** Whether the pod went through injection before: it is marked, and what was added is there. */
export function isInjected(pod: JsonObject): boolean {
  return injectedAs(pod) !== undefined;
}

function injectedAs(pod: JsonObject): InjectionKind | undefined {
  if (valueAt(pod, 'metadata', 'annotations', written.injected) === undefined) return undefined;
  const has = (list: string, name: string) =>
    arrayAt(pod, 'spec', list).some((each) => stringAt(each, 'name') === name);
  if (has('initContainers', names.proxyContainer)) return 'sidecar';
  const marked = stringAt(pod, 'metadata', 'labels', labels.injected) === 'certificate';
  return marked && has('volumes', names.tlsVolume) ? 'certificate' : undefined;
}

/**
 * The first conflict of a pod (or of a pod template) with what is to be injected; undefined when there is none. A pod that was
 * injected as the other kind conflicts with what that left.
 */
export function conflictOf(pod: JsonObject, wanted: InjectionKind): Conflict | undefined {
  const injected = injectedAs(pod) === wanted;
  for (const list of containerLists) {
    for (const container of arrayAt(pod, 'spec', list)) {
      const name = stringAt(container, 'name') ?? '';
      const isOurs = wanted === 'sidecar' && list === 'initContainers' && ownContainers.includes(name);
      if (injected && isOurs) continue;
      const found = nameConflict(name) ?? conflictsOf[wanted](pod, container, { name, injected });
      if (found !== undefined) return found;
    }
  }
  return injected ? undefined : volumeConflict(pod);
}

type ContainerCheck = (
  pod: JsonObject,
  container: Json,
  known: { readonly name: string; readonly injected: boolean },
) => Conflict | undefined;

const conflictsOf: Readonly<Record<InjectionKind, ContainerCheck>> = {
  sidecar: (pod, container, { name }) =>
    volumeMountConflict(container, name) ?? portConflict(container, name) ?? uidConflict(pod, container, name),
  certificate: (_, container, { name, injected }) =>
    (injected ? undefined : volumeMountConflict(container, name)) ?? pathConflict(container, name),
};

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

/** Two volumes cannot be mounted at one path. */
function pathConflict(container: Json, name: string): Conflict | undefined {
  const taken = arrayAt(container, 'volumeMounts').find(
    (each) =>
      stringAt(each, 'mountPath')?.replace(/\/+$/, '') === paths.tls && stringAt(each, 'name') !== names.tlsVolume,
  );
  if (taken === undefined) return undefined;
  const message = `container "${name}" mounts volume "${stringAt(taken, 'name') ?? ''}" at ${paths.tls}, where the certificate goes; mount it elsewhere`;
  return { reason: 'reserved_path', message };
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

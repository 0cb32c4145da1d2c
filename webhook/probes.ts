// Kubelet probes and lifecycle hooks under capture: the kubelet has no certificate, and to a TCP probe a captured port always
// looks open. So each is pointed at the sidecar's admin port, and the sidecar carries out what the author wrote, from inside.
// Left as they are: exec and sleep, another `host`, excluded ports, and ports whose name no container port has.
import { createHash } from 'node:crypto';
import { env, names, ports } from '../lib/api/contract.ts';
import type { ProbeAction, RewrittenProbe } from '../lib/api/probes.ts';
import { type Conflict, containerLists } from './conflicts.ts';
import { arrayAt, type Json, numberAt, objectAt, type Path, stringAt, valueAt } from './json.ts';
import type { PatchBuilder } from './patch.ts';

const probePrefix = '/probe/';
const ownPorts: readonly number[] = [ports.outbound, ports.inbound, ports.admin];

/** The handlers of a container: where each is, the last part of its id, and how long the kubelet waits for it. */
const kinds = [
  { path: ['livenessProbe'], kind: 'liveness' },
  { path: ['readinessProbe'], kind: 'readiness' },
  { path: ['startupProbe'], kind: 'startup' },
  { path: ['lifecycle', 'postStart'], kind: 'postStart' },
  { path: ['lifecycle', 'preStop'], kind: 'preStop' },
] as const;

type Kind = (typeof kinds)[number]['kind'];

/** The kubelet does not bound a postStart hook; the sidecar does, far above what one should take. */
const postStartTimeoutMs = 600_000;

/** What is needed besides the pod. */
export interface ProbeContext {
  /** Inbound ports that capture leaves alone: their probes still reach the application. */
  readonly excludedPorts: readonly number[];
  /** What earlier passes rewrote (knownProbes). */
  readonly known: readonly RewrittenProbe[];
  /** Not guessable and new for each review (its uid): what makes a hook's path one that no other pod can call. */
  readonly seed: string;
}

/** What an earlier pass told the sidecar to carry out, from its environment; empty where there is none or it is garbled. */
export function knownProbes(pod: Json): readonly RewrittenProbe[] {
  const proxy = arrayAt(pod, 'spec', 'initContainers').find((each) => stringAt(each, 'name') === names.proxyContainer);
  const variable = arrayAt(proxy, 'env').find((each) => stringAt(each, 'name') === env.probes);
  try {
    const parsed: unknown = JSON.parse(stringAt(variable, 'value') ?? '[]');
    return Array.isArray(parsed) ? (parsed as readonly RewrittenProbe[]) : [];
  } catch {
    return [];
  }
}

/**
 * A probe or hook of the user's that asks a port of the sidecar without standing for anything that the sidecar knows: copied from
 * an injected pod, or aimed at the sidecar by mistake. It could only fail.
 */
export function probeConflict(pod: Json): Conflict | undefined {
  const known = knownProbes(pod);
  for (const { container, name, kind, handler } of handlersOf(pod)) {
    const port = actionOf(handler, container)?.port;
    if (port === undefined || !ownPorts.includes(port)) continue;
    const id = rewrittenId(handler, `${name}/${kind}`);
    if (id !== undefined && known.some((each) => each.id === id)) continue;
    const message = `container "${name}": ${kind} asks port ${port}, which is the sidecar's; state the application's own port`;
    return { reason: 'reserved_port', message };
  }
  return undefined;
}

/**
 * Rewrites every probe and hook of the user's containers in the builder's document, and returns all that the sidecar must
 * carry out: those and the ones rewritten before, in the order of the containers.
 */
export function rewriteProbes(patch: PatchBuilder, context: ProbeContext): readonly RewrittenProbe[] {
  const pod = patch.document;
  return handlersOf(pod).flatMap(({ container, name, handler, kind, path }): readonly RewrittenProbe[] => {
    const stem = `${name}/${kind}`;
    const before = rewrittenId(handler, stem);
    if (before !== undefined) return context.known.filter((each) => each.id === before);
    const action = actionOf(handler, container);
    if (action === undefined || context.excludedPorts.includes(action.port)) return [];
    const id = path.includes('lifecycle') ? `${stem}/${token(context.seed, stem)}` : stem;
    point(patch, path, id);
    return [{ id, timeoutMs: timeoutMs(pod, handler, kind), action }];
  });
}

interface Handler {
  readonly container: Json;
  readonly name: string;
  readonly kind: Kind;
  readonly handler: Json;
  readonly path: Path;
}

/** Every probe and hook of the user's containers. */
function handlersOf(pod: Json): readonly Handler[] {
  return containerLists.flatMap((list) =>
    arrayAt(pod, 'spec', list).flatMap((container, index) => {
      const name = stringAt(container, 'name') ?? '';
      if (name === names.redirectContainer || name === names.proxyContainer) return [];
      return kinds.flatMap(({ path, kind }) => {
        const handler = objectAt(container, ...path);
        if (handler === undefined) return [];
        return [{ container, name, kind, handler, path: ['spec', list, index, ...path] }];
      });
    }),
  );
}

/** The id under which a handler asks the sidecar already; undefined when it does not. */
function rewrittenId(handler: Json, stem: string): string | undefined {
  if (numberAt(handler, 'httpGet', 'port') !== ports.admin) return undefined;
  const path = stringAt(handler, 'httpGet', 'path') ?? '';
  const id = path.startsWith(probePrefix) ? path.slice(probePrefix.length) : '';
  return id === stem || id.startsWith(`${stem}/`) ? id : undefined;
}

function token(seed: string, stem: string): string {
  return createHash('sha256').update(`${seed}/${stem}`).digest('hex').slice(0, 32);
}

/** What a handler does; undefined for one that is absent or left as it is. */
function actionOf(handler: Json | undefined, container: Json): ProbeAction | undefined {
  const http = objectAt(handler, 'httpGet');
  if (http !== undefined) {
    const port = portOf(valueAt(http, 'port'), container);
    if (port === undefined || hasHost(http)) return undefined;
    const scheme = stringAt(http, 'scheme') === 'HTTPS' ? 'HTTPS' : 'HTTP';
    const headers = arrayAt(http, 'httpHeaders').map((each) => ({
      name: stringAt(each, 'name') ?? '',
      value: stringAt(each, 'value') ?? '',
    }));
    return { kind: 'http', scheme, port, path: stringAt(http, 'path') || '/', headers };
  }
  const tcp = objectAt(handler, 'tcpSocket');
  if (tcp !== undefined) {
    const port = portOf(valueAt(tcp, 'port'), container);
    return port === undefined || hasHost(tcp) ? undefined : { kind: 'tcp', port };
  }
  const grpc = objectAt(handler, 'grpc');
  const port = grpc === undefined ? undefined : portOf(valueAt(grpc, 'port'), container);
  return port === undefined ? undefined : { kind: 'grpc', port, service: stringAt(grpc, 'service') ?? '' };
}

/** The kubelet asks another host from the node itself; that never goes through this pod's capture. */
function hasHost(handler: Json): boolean {
  return (stringAt(handler, 'host') ?? '') !== '';
}

/** A port as the kubelet resolves it: a number, the name of a port of the same container, or digits in a string. */
function portOf(port: Json | undefined, container: Json): number | undefined {
  if (typeof port === 'number') return isPort(port) ? port : undefined;
  if (typeof port !== 'string') return undefined;
  const named = arrayAt(container, 'ports').find((each) => stringAt(each, 'name') === port);
  const number =
    named === undefined ? (/^\d{1,5}$/.test(port) ? Number(port) : undefined) : numberAt(named, 'containerPort');
  return number !== undefined && isPort(number) ? number : undefined;
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port > 0 && port <= 65_535;
}

function timeoutMs(pod: Json, handler: Json | undefined, kind: Kind): number {
  if (kind === 'postStart') return postStartTimeoutMs;
  if (kind === 'preStop') return 1000 * Math.max(1, numberAt(pod, 'spec', 'terminationGracePeriodSeconds') ?? 30);
  return 1000 * Math.max(1, numberAt(handler, 'timeoutSeconds') ?? 1);
}

/** Points a handler at the sidecar. Members of httpGet that this version does not know stay. */
function point(patch: PatchBuilder, path: Path, id: string): void {
  for (const other of ['tcpSocket', 'grpc']) patch.remove([...path, other]);
  if (objectAt(patch.document, ...path, 'httpGet') === undefined) {
    patch.set([...path, 'httpGet'], { path: `${probePrefix}${id}`, port: ports.admin, scheme: 'HTTP' });
    return;
  }
  patch.remove([...path, 'httpGet', 'httpHeaders']);
  patch.set([...path, 'httpGet', 'path'], `${probePrefix}${id}`);
  patch.set([...path, 'httpGet', 'port'], ports.admin);
  patch.set([...path, 'httpGet', 'scheme'], 'HTTP');
}

// Inject, leave alone, or refuse: the one decision about a pod, with its reason. Pure: the pod, what the API server's
// selectors said, the namespace's labels and the settings go in. Every reason is listed in docs/injection.md.
import { annotations as keys, labels } from '../lib/api/contract.ts';
import {
  type Annotations,
  describeFaults,
  type InjectionSettings,
  type ProxyDefaults,
  readAnnotations,
} from './annotations.ts';
import { type ConflictReason, conflictOf, type InjectionKind, isInjected } from './conflicts.ts';
import { isTrueAt, type JsonObject, stringAt, stringsAt } from './json.ts';
import { probeConflict } from './probes.ts';
import { serviceOf } from './service.ts';

/** Why a pod that may have asked is not injected. Metric label, event and log field use these words. */
export type SkipReason =
  | 'not_requested' // neither annotation nor namespace label asks
  | 'opted_out' // tabard.dev/inject: "false"
  | 'namespace_opted_out' // namespace label tabard.dev/injection: disabled
  | 'protected_namespace' // kube-system, kube-node-lease, Tabard's own
  | 'host_network' // redirect rules would be the node's
  | 'mirror_pod' // a static pod's image in the API; the kubelet does not read it back
  | 'windows'; // there is no sidecar for Windows

/** Why a pod is refused. */
export type RefuseReason =
  | 'bad_annotation' // a value that is not accepted
  | 'late_host_network' // injected, then moved to the host network by another webhook
  | ConflictReason;

/** The outcome for one pod. */
export type Verdict =
  | {
      readonly kind: 'inject';
      /** The sidecar with all that belongs to it, or the certificate alone. */
      readonly what: InjectionKind;
      readonly service: string;
      readonly settings: InjectionSettings;
      readonly warnings: readonly string[];
    }
  | { readonly kind: 'skip'; readonly reason: SkipReason; readonly message: string }
  | { readonly kind: 'refuse'; readonly reason: RefuseReason; readonly message: string };

/** What the decision rests on. */
export interface Question {
  readonly pod: JsonObject;
  readonly namespace: string;
  /** Labels of the namespace as far as they are known. */
  readonly namespaceLabels: Annotations;
  /** The selector that matched: the pod's annotation, or the namespace's label. */
  readonly askedBy: 'annotation' | 'namespace';
  /** Namespaces that are never injected. */
  readonly protectedNamespaces: readonly string[];
  readonly defaults: ProxyDefaults;
}

const sidecarAnnotations: readonly string[] = [
  keys.excludeInboundPorts,
  keys.excludeOutboundPorts,
  keys.excludeOutboundCidrs,
  keys.proxyCpu,
  keys.proxyMemory,
  keys.proxyLogLevel,
  keys.capture,
];

/** The decision about one pod. A pod that was injected before is decided on again: other webhooks may have changed it since. */
export function decide(question: Question): Verdict {
  const { pod, namespace, namespaceLabels, askedBy, defaults } = question;
  const never = neverInjected(question);
  if (never !== undefined) return never;
  const annotations = stringsAt(pod, 'metadata', 'annotations');
  if (annotations[keys.inject] === 'false') return skip('opted_out', `annotation ${keys.inject} is "false"`);
  const read = readAnnotations(annotations, defaults);
  if (!read.ok) return refuse('bad_annotation', describeFaults(read.faults));
  if (askedBy === 'annotation' && read.settings.inject === undefined) {
    return skip('not_requested', `neither annotation ${keys.inject} nor a namespace label asks for injection`);
  }
  if (askedBy === 'annotation' && namespaceLabels[labels.injection] === 'disabled') {
    return skip('namespace_opted_out', `namespace ${namespace} has the label ${labels.injection}: disabled`);
  }
  const what = read.settings.inject === 'certificate' ? 'certificate' : 'sidecar';
  const conflict = conflictOf(pod, what) ?? (what === 'sidecar' ? probeConflict(pod) : undefined);
  if (conflict !== undefined) return refuse(conflict.reason, conflict.message);
  const warnings = [...read.warnings, ...(what === 'sidecar' ? podWarnings(pod) : idleWarnings(annotations))];
  return { kind: 'inject', what, service: serviceOf(pod), settings: read.settings, warnings };
}

function neverInjected({ pod, namespace, protectedNamespaces }: Question): Verdict | undefined {
  if (protectedNamespaces.includes(namespace)) {
    return skip('protected_namespace', `namespace ${namespace} is never injected`);
  }
  if (stringAt(pod, 'metadata', 'annotations', 'kubernetes.io/config.mirror') !== undefined) {
    return skip('mirror_pod', 'the pod mirrors a static pod; the kubelet runs it from its own file');
  }
  if (stringAt(pod, 'spec', 'os', 'name') === 'windows') {
    return skip('windows', 'the pod is for Windows; Tabard works on Linux');
  }
  if (!isTrueAt(pod, 'spec', 'hostNetwork')) return undefined;
  return isInjected(pod)
    ? refuse(
        'late_host_network',
        "another webhook set hostNetwork after injection; the rules would be the node's. Remove one of the two",
      )
    : skip('host_network', `the pod uses the host network, ${hostNetworkWhy(pod)}`);
}

function hostNetworkWhy(pod: JsonObject): string {
  return stringAt(pod, 'metadata', 'annotations', keys.inject) === 'certificate'
    ? "where its address is the node's and does not tell which service it is"
    : 'where the redirect rules would capture the whole node';
}

/** What works but not as safely or surely as the author may think. */
function podWarnings(pod: JsonObject): readonly string[] {
  const found: string[] = [];
  if (isTrueAt(pod, 'spec', 'shareProcessNamespace')) {
    found.push("shareProcessNamespace: containers that run as root can read the sidecar's key through /proc");
  }
  if (stringAt(pod, 'spec', 'dnsPolicy') === 'Default') {
    found.push('dnsPolicy Default: the sidecar needs cluster DNS to find its control plane; use ClusterFirst');
  }
  return found;
}

/** Annotations that speak of a sidecar which a pod with the certificate alone does not have. */
function idleWarnings(annotations: Annotations): readonly string[] {
  return sidecarAnnotations
    .filter((key) => Object.hasOwn(annotations, key))
    .map((key) => `annotation ${key} has no effect with ${keys.inject}: "certificate", which adds no sidecar`);
}

function skip(reason: SkipReason, message: string): Verdict {
  return { kind: 'skip', reason, message };
}

function refuse(reason: RefuseReason, message: string): Verdict {
  return { kind: 'refuse', reason, message };
}

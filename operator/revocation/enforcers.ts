// The sidecars that are to enforce revocations, with what each reported last. Whoever is revoked is not waited for: the control API
// talks to it no more, and everybody else refuses it. No I/O.
import { spiffeId } from '../../lib/api/contract.ts';
import type { RevocationSubject } from '../../lib/api/revocations.ts';
import type { Pod } from '../../lib/kube/object.ts';
import type { Store } from '../../lib/kube/store.ts';
import { hasSidecar, isFinished, serviceKeyOf } from '../certificates/cluster.ts';
import type { Enforcer } from './status.ts';

/** The part of reports that is looked at. */
export interface EnforcedReports {
  ofPod(podUid: string):
    | {
        readonly receivedAt: Date;
        readonly report: { readonly serial: string; readonly revocations?: number };
      }
    | undefined;
}

/** Where it is read from. */
export interface EnforcerSources {
  /** Injected pods. */
  readonly pods: Store<Pod>;
  readonly reports: EnforcedReports;
  readonly trustDomain: string;
  /** What of a holder is revoked. */
  find(subject: RevocationSubject): string | undefined;
}

/** A pod that is being deleted is waited for while it reports, which it does every thirty seconds. */
const leavingMs = 65_000;

/** All sidecars at a moment. */
export function enforcers(sources: EnforcerSources, now: Date): readonly Enforcer[] {
  const { pods, reports, trustDomain } = sources;
  const found: Enforcer[] = [];
  for (const pod of pods.list()) {
    const { uid, namespace = '', name, deletionTimestamp } = pod.metadata;
    const [, service] = serviceKeyOf(pod)?.split('/') ?? [];
    if (service === undefined || !hasSidecar(pod) || isFinished(pod)) continue;
    const last = reports.ofPod(uid);
    const isHeard = last !== undefined && now.getTime() - last.receivedAt.getTime() <= leavingMs;
    if (deletionTimestamp === undefined ? last === undefined && !isReady(pod) : !isHeard) continue;
    const identity = spiffeId(trustDomain, namespace, service);
    if (sources.find({ identity, serial: last?.report.serial ?? '', issuer: '' }) !== undefined) continue;
    found.push({ name: `${namespace}/${name}`, number: last?.report.revocations });
  }
  return found;
}

/** A pod that is not ready and was never heard of is on its way: its sidecar asks for revocations before it is ready. */
function isReady({ status }: Pod): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
}

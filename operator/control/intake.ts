// What is done with a body that was received: reports of a sidecar about its own pod, reports that another replica passes on.
import type { MeshPod } from '../mesh/workloads.ts';
import { parseBatch } from './replicabody.ts';
import type { ReportStore } from './report.ts';
import { parseStatusBody } from './statusbody.ts';

/** Why a body was not taken in. */
export interface Problem {
  readonly status: 400 | 403;
  readonly message: string;
}

/** Takes in the report of a pod. A pod reports of itself alone. */
export function takeStatus(text: string, pod: MeshPod, reports: ReportStore): Problem | undefined {
  const body = parseStatusBody(text);
  if (!body.ok) return { status: 400, message: body.problem };
  const { podUid, podName } = body.report;
  if (podUid !== pod.uid || podName !== pod.name) {
    return { status: 403, message: `the report is of pod ${podName}, but the connection is of pod ${pod.name}` };
  }
  reports.accept(pod, body.report);
  return undefined;
}

/** Takes in what another replica was told. Pods that are gone, or not seen here yet, are passed over: they report again. */
export function takeBatch(
  text: string,
  pod: (uid: string) => MeshPod | undefined,
  reports: ReportStore,
): Problem | undefined {
  const batch = parseBatch(text);
  if (!batch.ok) return { status: 400, message: batch.problem };
  for (const entry of batch.reports) {
    const known = pod(entry.podUid);
    if (known?.namespace === entry.namespace && known.service === entry.service) reports.learn(entry);
  }
  return undefined;
}

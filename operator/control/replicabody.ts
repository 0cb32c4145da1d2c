// What replicas tell each other: reports of sidecars, in batches. Read as strictly as from a sidecar, though only a replica of this
// operator may send it. Pure.
import type { PodReport } from './report.ts';
import { isObject, parseJson, readStatus } from './statusbody.ts';

/** Path of POST; between replicas only, and therefore not part of lib/api. */
export const replicaPath = '/v1/replicas/reports';

/** Most reports in one batch, and most bytes of its body: a report has some 300, with a full list of plaintext 20,000. */
export const batchLimits = { reports: 100, bytes: 4 * 1024 * 1024 } as const;

/** Whether a batch could be read. */
export type Batch =
  | { readonly ok: true; readonly reports: readonly PodReport[] }
  | { readonly ok: false; readonly problem: string };

/** A batch as it is sent. */
export function batchText(reports: readonly PodReport[]): string {
  return JSON.stringify({
    reports: reports.map(({ namespace, service, receivedAt, report }) => ({ namespace, service, receivedAt, report })),
  });
}

/** Reads a batch. */
export function parseBatch(text: string): Batch {
  const value = parseJson(text);
  const list = isObject(value) ? value['reports'] : undefined;
  if (!Array.isArray(list) || list.length > batchLimits.reports) {
    return { ok: false, problem: `the body is not {reports: [...]} of at most ${batchLimits.reports}` };
  }
  const reports: PodReport[] = [];
  for (const each of list as readonly unknown[]) {
    const read = readEntry(each);
    if (typeof read === 'string') return { ok: false, problem: read };
    reports.push(read);
  }
  return { ok: true, reports };
}

const label = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;

function readEntry(value: unknown): PodReport | string {
  if (!isObject(value)) return 'a report is not an object';
  const { namespace, service, receivedAt, report } = value;
  if (typeof namespace !== 'string' || !label.test(namespace)) return 'namespace is not a name';
  if (typeof service !== 'string' || !label.test(service)) return 'service is not a name';
  const at = typeof receivedAt === 'string' ? Date.parse(receivedAt) : Number.NaN;
  if (Number.isNaN(at)) return 'receivedAt is not a time';
  const read = readStatus(report);
  if (!read.ok) return read.problem;
  const { podUid, podName } = read.report;
  return { namespace, service, podUid, podName, receivedAt: new Date(at), report: read.report };
}

// What a rotation would meet now: the pods whose sidecar could not report the new bundle, and those that read files. Pure.
import { labels, names } from '../lib/api/contract.ts';
import type { Pod } from '../lib/kube/object.ts';

/** The operator replaces so many certificates a second (operator/certificates/pacer.ts). */
const perSecond = 50;
/** Most pods that are named. */
const named = 20;

/** Why a pod would hold a rotation up; undefined when it would not. */
export function holdUp({ metadata, status }: Pod): string | undefined {
  if (metadata.deletionTimestamp !== undefined || metadata.labels?.[labels.injected] !== 'true') return undefined;
  const proxy = status?.initContainerStatuses?.find(({ name }) => name === names.proxyContainer);
  if (proxy === undefined || proxy.state?.running === undefined) {
    return `its sidecar does not run (${status?.phase ?? 'no phase yet'})`;
  }
  return proxy.ready ? undefined : 'its sidecar is not ready';
}

/** The lines of a plan, and how many pods would hold it up. */
export function planLines(pods: readonly Pod[], certificates: number) {
  const held = pods.flatMap((pod) => {
    const why = holdUp(pod);
    return why === undefined ? [] : [`    ${pod.metadata.namespace ?? ''}/${pod.metadata.name}: ${why}`];
  });
  const files = pods.filter(({ metadata }) => metadata.labels?.[labels.injected] === 'certificate').length;
  const seconds = Math.max(1, Math.ceil(certificates / perSecond));
  const lines = [
    `  ${pods.length - files} pods with a sidecar have to report the new bundle before its CA signs`,
    ...(files === 0 ? [] : [`  ${files} pods read files and do not report; they are given time instead`]),
    `  at least ${certificates} certificates (those that policies list) are replaced, in some ${seconds} s`,
    held.length === 0 ? '  nobody would hold it up now' : `  ${held.length} pods would hold it up now:`,
    ...held.slice(0, named),
    ...(held.length > named ? [`    and ${held.length - named} more`] : []),
  ];
  return { lines, lagging: held.length };
}

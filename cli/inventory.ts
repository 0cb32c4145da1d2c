// The certificates of the mesh as the cluster itself tells of them: from the metadata of certificate Secrets, from what policies
// say of their services, and from the pods. Merging is pure; nothing here ever holds a key.
import { isInjectedKind, labels, written } from '../lib/api/contract.ts';
import type { TLSPolicy } from '../lib/api/tlspolicy.ts';
import type { KubeObject } from '../lib/kube/object.ts';
import { moment, span, table, time } from './table.ts';

/** One live certificate. What could not be found out is undefined. */
export interface CertificateEntry {
  readonly namespace: string;
  readonly service: string;
  /** Upper-case hex; undefined while there is none. */
  readonly serial: string | undefined;
  readonly issuer: string | undefined;
  readonly notBefore: Date | undefined;
  readonly renewAt: Date | undefined;
  readonly notAfter: Date | undefined;
  readonly delivery: 'Secret' | 'PodCertificate';
  /** Injected pods that are not finished. */
  readonly pods: number | undefined;
  /** What is wrong with it, in a word or two. */
  readonly fault: 'missing' | 'expired' | 'renewal overdue' | undefined;
}

/** What it is made from; undefined = you may not list that. */
export interface InventorySources {
  /** Metadata alone, of Secrets with the labels of certificates. */
  readonly secrets: readonly KubeObject[] | undefined;
  readonly policies: readonly TLSPolicy[];
  /** Metadata alone, of injected pods. */
  readonly pods: readonly KubeObject[] | undefined;
}

/** A renewal is overdue when a tenth of the time from its due time to the expiry has passed: a few tries have failed then. */
const overduePart = 0.1;

/** All certificates, by namespace and service. */
export function inventory({ secrets, policies, pods }: InventorySources, now: Date): readonly CertificateEntry[] {
  const found = new Map<string, Omit<CertificateEntry, 'fault'>>();
  const counts = pods === undefined ? undefined : podCounts(pods);
  for (const { metadata, status } of policies) {
    for (const service of status?.services ?? []) {
      const key = `${metadata.namespace ?? ''}/${service.name}`;
      const { serial, issuer, delivery = 'Secret' } = service;
      const times = {
        notBefore: time(service.notBefore),
        renewAt: time(service.renewAt),
        notAfter: time(service.notAfter),
      };
      const known = { serial, issuer, delivery, ...times, pods: counts?.get(key) ?? service.pods };
      found.set(key, { namespace: metadata.namespace ?? '', service: service.name, ...known });
    }
  }
  for (const { metadata } of secrets ?? []) {
    const notes = metadata.annotations ?? {};
    const service = metadata.labels?.[labels.service];
    const namespace = metadata.namespace ?? '';
    if (service === undefined) continue;
    const key = `${namespace}/${service}`;
    // A Secret that the pods no longer use is told of by its policy's status alone.
    if (found.get(key)?.delivery === 'PodCertificate') continue;
    found.set(key, {
      namespace,
      service,
      serial: notes[written.serial],
      issuer: notes[written.issuer],
      notBefore: time(notes[written.notBefore]),
      renewAt: time(notes[written.renewAt]),
      notAfter: time(notes[written.notAfter]),
      delivery: 'Secret',
      pods: counts === undefined ? undefined : (counts.get(key) ?? 0),
    });
  }
  return [...found.values()]
    .map((entry) => ({ ...entry, fault: faultOf(entry, now) }))
    .sort((a, b) => a.namespace.localeCompare(b.namespace) || a.service.localeCompare(b.service));
}

function faultOf({ serial, renewAt, notAfter }: Omit<CertificateEntry, 'fault'>, now: Date): CertificateEntry['fault'] {
  if (serial === undefined || notAfter === undefined) return 'missing';
  if (now >= notAfter) return 'expired';
  if (renewAt === undefined) return undefined;
  const overdueMs = renewAt.getTime() + (notAfter.getTime() - renewAt.getTime()) * overduePart;
  return now.getTime() > overdueMs ? 'renewal overdue' : undefined;
}

function podCounts(pods: readonly KubeObject[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { metadata } of pods) {
    const service = metadata.annotations?.[written.service];
    if (service === undefined || !isInjectedKind(metadata.labels?.[labels.injected])) continue;
    const key = `${metadata.namespace ?? ''}/${service}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

/** The table for people. */
export function inventoryTable(
  entries: readonly CertificateEntry[],
  { now, wide, namespaces }: { readonly now: Date; readonly wide: boolean; readonly namespaces: boolean },
): readonly string[] {
  const head = [
    ...(namespaces ? ['NAMESPACE'] : []),
    ...['SERVICE', 'SERIAL', 'ISSUER', 'AGE', 'RENEWS', 'EXPIRES', 'DELIVERY', 'PODS', 'FAULT'],
    ...(wide ? ['NOT BEFORE', 'RENEW AT', 'NOT AFTER'] : []),
  ];
  const rows = entries.map((entry) => {
    const { serial = '-', issuer = '-', notBefore, renewAt, notAfter, delivery, pods, fault = '-' } = entry;
    const exact = (at: Date | undefined): string => at?.toISOString().replace('.000Z', 'Z') ?? '-';
    return [
      ...(namespaces ? [entry.namespace] : []),
      entry.service,
      wide || serial.length <= 12 ? serial : `${serial.slice(0, 12)}…`,
      issuer,
      notBefore === undefined ? '-' : span(now.getTime() - notBefore.getTime()),
      moment(renewAt, now),
      moment(notAfter, now),
      delivery,
      pods === undefined ? '-' : String(pods),
      fault,
      ...(wide ? [exact(notBefore), exact(renewAt), exact(notAfter)] : []),
    ];
  });
  return table(head, rows);
}

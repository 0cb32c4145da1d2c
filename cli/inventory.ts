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
  /** Whom it is shown to: peers in the mesh, or callers from outside (spec.edge of the policy). */
  readonly shownTo: 'mesh' | 'edge';
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

type Known = Omit<CertificateEntry, 'fault'>;
type Counts = ReadonlyMap<string, number> | undefined;

/** All certificates, by namespace and service. */
export function inventory({ secrets, policies, pods }: InventorySources, now: Date): readonly CertificateEntry[] {
  const counts = pods === undefined ? undefined : podCounts(pods);
  const found = new Map<string, Known>();
  for (const entry of policies.flatMap((policy) => ofPolicy(policy, counts))) found.set(keyOf(entry), entry);
  for (const entry of (secrets ?? []).flatMap((secret) => ofSecret(secret, counts) ?? [])) {
    // A Secret that the pods no longer use: its policy's status alone tells of what they do use.
    if (found.get(keyOf(entry))?.delivery !== 'PodCertificate') found.set(keyOf(entry), entry);
  }
  return [...found.values()]
    .map((entry) => ({ ...entry, fault: faultOf(entry, now) }))
    .sort((a, b) => a.namespace.localeCompare(b.namespace) || keyOf(a).localeCompare(keyOf(b)));
}

function keyOf({ namespace, service, shownTo }: Pick<Known, 'namespace' | 'service' | 'shownTo'>): string {
  return shownTo === 'mesh' ? `${namespace}/${service}` : `${namespace}/${service} (edge)`;
}

function ofPolicy({ metadata, status }: TLSPolicy, counts: Counts): readonly Known[] {
  const namespace = metadata.namespace ?? '';
  return (status?.services ?? []).map(({ name: service, serial, issuer, delivery = 'Secret', pods, ...said }) => ({
    namespace,
    service,
    shownTo: 'mesh' as const,
    serial,
    issuer,
    notBefore: time(said.notBefore),
    renewAt: time(said.renewAt),
    notAfter: time(said.notAfter),
    delivery,
    pods: counts?.get(`${namespace}/${service}`) ?? pods,
  }));
}

function ofSecret({ metadata }: KubeObject, counts: Counts): Known | undefined {
  const { namespace = '', annotations: notes = {} } = metadata;
  const service = metadata.labels?.[labels.service];
  if (service === undefined) return undefined;
  return {
    namespace,
    service,
    shownTo: metadata.labels?.[labels.edge] === 'true' ? 'edge' : 'mesh',
    serial: notes[written.serial],
    issuer: notes[written.issuer],
    notBefore: time(notes[written.notBefore]),
    renewAt: time(notes[written.renewAt]),
    notAfter: time(notes[written.notAfter]),
    delivery: 'Secret',
    pods: counts === undefined ? undefined : (counts.get(`${namespace}/${service}`) ?? 0),
  };
}

function faultOf({ serial, renewAt, notAfter }: Known, now: Date): CertificateEntry['fault'] {
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
  const head = ['SERVICE', 'SERIAL', 'ISSUER', 'AGE', 'RENEWS', 'EXPIRES', 'DELIVERY', 'PODS', 'FAULT'];
  const row = (entry: CertificateEntry): readonly string[] => [
    entry.shownTo === 'edge' ? `${entry.service} (edge)` : entry.service,
    wide ? (entry.serial ?? '-') : cut(entry.serial ?? '-'),
    entry.issuer ?? '-',
    entry.notBefore === undefined ? '-' : span(now.getTime() - entry.notBefore.getTime()),
    moment(entry.renewAt, now),
    moment(entry.notAfter, now),
    entry.delivery,
    entry.pods === undefined ? '-' : String(entry.pods),
    entry.fault ?? '-',
  ];
  const around = (before: string, cells: readonly string[], exact: readonly string[]): readonly string[] => [
    ...(namespaces ? [before] : []),
    ...cells,
    ...(wide ? exact : []),
  ];
  return table(
    around('NAMESPACE', head, ['NOT BEFORE', 'RENEW AT', 'NOT AFTER']),
    entries.map((entry) =>
      around(entry.namespace, row(entry), [entry.notBefore, entry.renewAt, entry.notAfter].map(exactly)),
    ),
  );
}

function cut(serial: string): string {
  return serial.length <= 12 ? serial : `${serial.slice(0, 12)}…`;
}

function exactly(at: Date | undefined): string {
  return at?.toISOString().replace('.000Z', 'Z') ?? '-';
}

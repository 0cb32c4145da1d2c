// What to do about one service's edge certificate, and when to look again: a pure function of a snapshot. What is valid stays until
// something better was signed. A CA of the world is asked seldom: it counts, and each try costs.
import { edgeSecretName } from '../../../lib/api/contract.ts';
import type { OpenOrder } from '../../issuers/orders.ts';
import { outsideWaitMs, renewalMoment } from '../schedule.ts';
import type { CertificateFacts, Failure } from '../snapshot.ts';
import { type EdgeSnapshot, type WantedEdge, wantedEdgeKey } from './snapshot.ts';

/** Why a certificate is ordered. */
export type EdgeReason =
  | 'Missing'
  | 'Broken'
  | 'Expired'
  | 'Revoked' // a TLSRevocation names its serial: the service goes on with a new key
  | 'IssuerChanged'
  | 'KeyAlgorithmChanged'
  | 'SansChanged'
  | 'NearingExpiry';

/** Why nothing is ordered although something should be. */
export type EdgeBlock =
  | 'IdentityRevoked'
  | 'SecretNotOurs'
  | 'NamesRefused'
  | 'IssuerMissing'
  | 'IssuerNotReady'
  | 'NoSidecar'
  | 'OrderPending'; // the CA has not made up its mind for long

export type EdgeAction =
  | { readonly kind: 'keep' }
  | { readonly kind: 'issue'; readonly reason: EdgeReason; readonly message: string; readonly wanted: WantedEdge }
  | { readonly kind: 'delete'; readonly message: string };

/** The outcome of planning. */
export interface EdgePlan {
  readonly action: EdgeAction;
  readonly blocked?: { readonly reason: EdgeBlock; readonly message: string };
  readonly nextCheck?: Date;
  readonly renewAt?: Date;
  /** A certificate is wanted, though not to be ordered now: an order that is open stays open. */
  readonly keepsOrder?: boolean;
}

/** How often to look at what no watch of ours shows. */
const checkMs = 30_000;
const sidecarCheckMs = 5_000;
/** An order that takes so long is worth saying. */
const orderMs = 600_000;

const keep: EdgeAction = { kind: 'keep' };

/** What to do about a service's edge certificate. */
export function planEdge(snapshot: EdgeSnapshot): EdgePlan {
  const { wanted, current, now, pods } = snapshot;
  if (wanted === undefined) {
    // Without pods nobody knows what would be asked for; the Secret goes with its workload.
    if (pods === 0 || (current.kind !== 'held' && current.kind !== 'broken')) return { action: keep };
    return { action: { kind: 'delete', message: 'the policy asks for no edge certificate any more' } };
  }
  if (current.kind === 'foreign') {
    const message = `Secret "${secretName(snapshot)}" is not an edge certificate of Tabard's and is left alone; rename or delete it`;
    return { action: keep, blocked: { reason: 'SecretNotOurs', message }, nextCheck: after(now, checkMs) };
  }
  if (current.kind === 'absent') return ordering(snapshot, wanted, ['Missing', 'there is no Secret yet']);
  if (current.kind === 'broken') return ordering(snapshot, wanted, ['Broken', current.detail]);
  const renewAt = renewalMoment(current.facts, wanted.renewAt, snapshot.advisedAt);
  const need =
    revokedNeed(snapshot.revoked?.serial) ??
    needOf(current.facts, current.issuer, wanted) ??
    dueNeed(current.facts, renewAt, now);
  const plan = need === undefined ? { action: keep, nextCheck: renewAt } : ordering(snapshot, wanted, need);
  return { ...plan, renewAt };
}

type Need = readonly [EdgeReason, string];

function needOf(facts: CertificateFacts, issuer: string, wanted: WantedEdge): Need | undefined {
  if (issuer !== wanted.issuer) return ['IssuerChanged', `it is of issuer "${issuer}", not of "${wanted.issuer}"`];
  if (facts.key !== wanted.key)
    return ['KeyAlgorithmChanged', `its key is ${facts.key ?? 'of an unknown kind'}, not ${wanted.key}`];
  const same = facts.dnsNames.join(' ') === wanted.dnsNames.join(' ') && facts.uris.length + facts.otherNames === 0;
  return same
    ? undefined
    : ['SansChanged', `it names ${facts.dnsNames.join(', ')}, wanted is ${wanted.dnsNames.join(', ')}`];
}

function revokedNeed(by: string | undefined): Need | undefined {
  return by === undefined ? undefined : ['Revoked', `it is revoked by TLSRevocation "${by}"`];
}

function dueNeed(facts: CertificateFacts, renewAt: Date, now: Date): Need | undefined {
  if (now >= facts.notAfter) return ['Expired', `it expired at ${facts.notAfter.toISOString()}`];
  return now < renewAt ? undefined : ['NearingExpiry', `it was to be renewed at ${renewAt.toISOString()}`];
}

/** Something is to be ordered: unless it may not be, the issuer cannot, nobody could prove it, or it failed just now. */
function ordering(snapshot: EdgeSnapshot, wanted: WantedEdge, [reason, message]: Need): EdgePlan {
  const { now, fault, issuer, reporting, failure, order } = snapshot;
  const held = (block: EdgeBlock, why: string, ms: number): EdgePlan => ({
    action: keep,
    blocked: { reason: block, message: why },
    nextCheck: after(now, ms),
  });
  if (snapshot.revoked?.identity !== undefined) {
    const why = `the identity of the service is revoked by TLSRevocation "${snapshot.revoked.identity}"`;
    return held('IdentityRevoked', `${why}: nothing is ordered for it until that is lifted`, checkMs);
  }
  if (fault !== undefined) return held('NamesRefused', fault, checkMs);
  const isOpen = order?.wanted === wantedEdgeKey(wanted);
  if (isOpen) {
    return order.settled ? { action: { kind: 'issue', reason, message, wanted } } : waiting(wanted.issuer, order, now);
  }
  if (!issuer.ready) return held(issuer.reason, issuer.message, checkMs);
  if (reporting === 0) return held('NoSidecar', 'no sidecar of the service is connected yet', sidecarCheckMs);
  if (failure !== undefined && failure.wantedKey === wantedEdgeKey(wanted)) {
    const again = retryTime(snapshot, failure);
    if (now < again) return { action: keep, nextCheck: again };
  }
  return { action: { kind: 'issue', reason, message, wanted } };
}

/** What is said of an order that is open: nothing for a while, since proving a name takes its time. */
function waiting(issuer: string, { since, waitsFor }: OpenOrder, now: Date): EdgePlan {
  const sayAt = after(since, orderMs);
  if (now < sayAt) return { action: keep, keepsOrder: true, nextCheck: sayAt };
  const message = `its order to issuer "${issuer}" is open since ${since.toISOString()}: ${waitsFor}`;
  return { action: keep, keepsOrder: true, blocked: { reason: 'OrderPending', message } };
}

function retryTime({ current, now }: EdgeSnapshot, { count: failures, lastAt, notBefore }: Failure): Date {
  const remainingMs = current.kind === 'held' ? current.facts.notAfter.getTime() - now.getTime() : 0;
  const waitMs = outsideWaitMs({ failures, remainingMs });
  return new Date(Math.max(lastAt.getTime() + waitMs, notBefore?.getTime() ?? 0));
}

function after(at: Date, ms: number): Date {
  return new Date(at.getTime() + ms);
}

function secretName({ key }: EdgeSnapshot): string {
  const [namespace, service = ''] = key.split('/');
  return `${namespace}/${edgeSecretName(service)}`;
}

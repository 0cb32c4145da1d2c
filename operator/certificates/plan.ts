// What to do about one service's certificate, and when to look again: a pure function of a snapshot. Checks are asked in
// order and the first that is violated gives the reason. What is valid stays until something better is signed.
import type { OwnerReference } from '../../lib/api/tlspolicy.ts';
import type { OpenOrder } from '../issuers/orders.ts';
import {
  absenceNeed,
  changeNeed,
  dueNeed,
  type Held,
  type IssueReason,
  issuerNeed,
  keystoreNeed,
  lifeMs,
  type Need,
  type RewriteReason,
  revokedNeed,
  rewriteNeed,
  timeNeed,
} from './needs.ts';
import { outsideWaitMs, renewalMoment, renewalTime, retryWaitMs } from './schedule.ts';
import { type Snapshot, type Wanted, wantedKey } from './snapshot.ts';

/** Why nothing is done although something should be. */
export type BlockReason =
  | 'SecretNotOurs'
  | 'IssuerMissing'
  | 'IssuerNotReady'
  | 'IssuerExpiring'
  | 'OrderPending' // the signer has not answered, or a person has to approve
  | 'DeliveryMismatch' // the policy wants no key in a Secret, and pods read one
  | 'IdentityRevoked'
  | 'KeystorePasswordMissing';

/** What to do now. */
export type Action =
  | { readonly kind: 'keep' }
  | { readonly kind: 'issue'; readonly reason: IssueReason; readonly message: string; readonly wanted: Wanted }
  | { readonly kind: 'rewrite'; readonly reason: RewriteReason; readonly message: string }
  | { readonly kind: 'delete'; readonly reason: 'Orphaned' | 'PodCertificates'; readonly message: string };

/** The outcome of planning. */
export interface Plan {
  readonly action: Action;
  /** What stands in the way; the action is then `keep` or `rewrite`. */
  readonly blocked?: { readonly reason: BlockReason; readonly message: string };
  /** When to look again although nothing changed; undefined = never. */
  readonly nextCheck?: Date;
  /** When the current certificate will be renewed. */
  readonly renewAt?: Date;
  /** A certificate is wanted, though not to be asked for now: an order that is open stays open. */
  readonly keepsOrder?: boolean;
}

/** How long a Secret without an owner outlives the last pod of its service: a rollout that deletes pods first takes less. */
export const orphanGraceMs = 600_000;
/** How often to see whether a foreign Secret is gone: it is in no watch of ours. */
const foreignCheckMs = 30_000;
/** How often to look at an issuer that cannot sign; its changes are watched, this is for what only time changes. */
const issuerCheckMs = 60_000;
/** How often to look at the password of keystores: one that is missing, and one that may have changed. */
const missingPasswordCheckMs = 15_000;
const passwordCheckMs = 300_000;
/** A renewal that waits for its signer is no news before this. */
const patienceMs = 600_000;
/** A renewal must lengthen the certificate's life by at least this part of the lifetime to be worth it. */
const worthwhile = 0.05;

const keep: Action = { kind: 'keep' };

/** What to do about a service's certificate. */
export function planFor(snapshot: Snapshot): Plan {
  const { wanted, pods } = snapshot;
  return withKeystores(
    snapshot,
    unlessRevoked(snapshot, wanted === undefined || pods === 0 ? planIdle(snapshot) : planActive(snapshot, wanted)),
  );
}

/** To a revoked identity nothing is issued until that is lifted; what it has is left, since everybody refuses it. */
function unlessRevoked({ revoked, key }: Snapshot, plan: Plan): Plan {
  if (revoked?.identity === undefined || plan.blocked?.reason === 'SecretNotOurs') return plan;
  const { nextCheck: _due, keepsOrder: _order, ...rest } = plan;
  const name = key.split('/')[1] ?? '';
  const message = `the identity of service "${name}" is revoked by TLSRevocation "${revoked.identity}": no certificate is issued until that is lifted`;
  const action = plan.action.kind === 'issue' ? keep : plan.action;
  return { ...rest, action, blocked: { reason: 'IdentityRevoked', message } };
}

/**
 * Without a password there are no keystores: the first certificate waits for it, as pods that mount the files do; a later one does not,
 * and the keystores stay those of the one before. Passwords are in no watch of ours, so that they are looked at again.
 */
function withKeystores({ keystores, current, now }: Snapshot, plan: Plan): Plan {
  if (keystores.kind === 'none' || plan.action.kind === 'delete') return plan;
  const again = after(now, keystores.kind === 'unusable' ? missingPasswordCheckMs : passwordCheckMs);
  const nextCheck = plan.nextCheck === undefined ? again : earliest(plan.nextCheck, again);
  const isFirst = current.kind === 'absent';
  if (keystores.kind !== 'unusable' || plan.blocked !== undefined || (plan.action.kind === 'issue' && !isFirst))
    return { ...plan, nextCheck };
  const { message } = keystores;
  const action = plan.action.kind === 'issue' ? keep : plan.action;
  return { ...plan, action, nextCheck, blocked: { reason: 'KeystorePasswordMissing', message } };
}

function planActive(snapshot: Snapshot, wanted: Wanted): Plan {
  const { current, issuer, now } = snapshot;
  if (current.kind === 'foreign') {
    const message = `Secret "${secretName(snapshot)}" is not Tabard's and is left alone; rename or delete it`;
    return { action: keep, blocked: { reason: 'SecretNotOurs', message }, nextCheck: after(now, foreignCheckMs) };
  }
  if (current.kind !== 'held' && snapshot.refusesSecret === true) {
    // One that is there goes on until no pod reads it, so that a change of delivery makes no gap; none is made anew.
    const message = 'the policy wants no key in a Secret; annotate the workload tabard.dev/delivery=PodCertificate';
    return { action: keep, blocked: { reason: 'DeliveryMismatch', message } };
  }
  if (current.kind !== 'held') return issuing(snapshot, wanted, absenceNeed(current));
  const { advisedAt } = snapshot;
  const renewAt =
    advisedAt === undefined
      ? renewalTime(current.facts, wanted.renewAt)
      : renewalMoment(current.facts, wanted.renewAt, advisedAt);
  const need =
    revokedNeed(snapshot.revoked?.serial) ?? changeNeed(current, wanted, issuer, now) ?? dueNeed(renewAt, now);
  const plan = need === undefined ? settled(snapshot, wanted, renewAt) : issuing(snapshot, wanted, need);
  return { ...plan, renewAt };
}

/** No pods now: nothing is made anew, but what workloads will come back to is kept fresh as it was. */
function planIdle(snapshot: Snapshot): Plan {
  const { current, idleSince, leaving, now, podCertificates = 0 } = snapshot;
  if (podCertificates > 0 && leaving === 0 && (current.kind === 'held' || current.kind === 'broken')) {
    const message = 'every pod of the service has a certificate of its own, with a key that only its node knows';
    return { action: { kind: 'delete', reason: 'PodCertificates', message } };
  }
  if (current.kind !== 'held') return { action: keep };
  if (current.owners.length === 0) {
    if (leaving > 0) return { action: keep };
    const goAt = after(idleSince ?? now, orphanGraceMs);
    if (now < goAt) return { action: keep, nextCheck: goAt };
    const message = 'no pod of the service has been there for ten minutes and no workload owns the Secret';
    return { action: { kind: 'delete', reason: 'Orphaned', message } };
  }
  if (!current.owners.some(comesBack)) return { action: keep };
  const recorded = recordedWants(current);
  const renewAt = current.renewAt ?? renewalTime(current.facts, recorded.renewAt);
  const need =
    revokedNeed(snapshot.revoked?.serial) ??
    issuerNeed(current, recorded.issuer, snapshot.issuer) ??
    timeNeed(current.facts, now) ??
    dueNeed(renewAt, now);
  const plan = need === undefined ? settled(snapshot, recorded, renewAt) : issuing(snapshot, recorded, need);
  return { ...plan, renewAt };
}

/** A Job and a pod made by hand run once: what is left of them needs no fresh certificate. */
export function comesBack({ kind }: OwnerReference): boolean {
  return kind !== 'Job' && kind !== 'Pod';
}

/** What a Secret without pods was made for. */
function recordedWants(current: Held): Wanted {
  const { facts, issuer, lifetimeMs } = current;
  return {
    issuer,
    uri: facts.uris[0] ?? '',
    dnsNames: facts.dnsNames,
    key: facts.key ?? 'ECDSA-P256',
    lifetimeMs: lifetimeMs ?? lifeMs(facts),
    renewAt: 66,
    owners: undefined,
  };
}

/** Something is to be issued: unless the issuer cannot, an earlier try failed just now, or it would not help. */
function issuing(snapshot: Snapshot, wanted: Wanted, need: Need<IssueReason>): Plan {
  const { issuer, now, current, failure, order } = snapshot;
  const isOpen = order?.wanted === wantedKey(wanted);
  if (isOpen && !order.settled) return { action: keep, keepsOrder: true, ...waiting(snapshot, wanted.issuer, order) };
  if (!issuer.ready) {
    const { reason, message } = issuer;
    return { action: keep, keepsOrder: isOpen, blocked: { reason, message }, nextCheck: after(now, issuerCheckMs) };
  }
  if (isOpen) return { action: { kind: 'issue', ...need, wanted } };
  // The lifetime of a CA of the outside is its own choice.
  if (need.reason === 'NearingExpiry' && current.kind === 'held' && issuer.mesh) {
    const gainMs =
      Math.min(now.getTime() + wanted.lifetimeMs, issuer.notAfter.getTime()) - current.facts.notAfter.getTime();
    if (gainMs < wanted.lifetimeMs * worthwhile) {
      const message = `issuer "${wanted.issuer}" expires at ${issuer.notAfter.toISOString()}: a new certificate would not last longer`;
      return { action: keep, blocked: { reason: 'IssuerExpiring', message }, nextCheck: after(now, issuerCheckMs) };
    }
  }
  if (failure !== undefined && failure.wantedKey === wantedKey(wanted)) {
    const again = retryTime(snapshot, failure);
    if (now < again) return { action: keep, nextCheck: again };
  }
  return { action: { kind: 'issue', ...need, wanted } };
}

/** What is said of an order that is open: nothing for a while, as long as a certificate is there that holds. */
function waiting(
  { current, now }: Snapshot,
  issuer: string,
  { since, waitsFor }: OpenOrder,
): Pick<Plan, 'blocked' | 'nextCheck'> {
  const isValid = current.kind === 'held' && now < current.facts.notAfter;
  // Of a short life that would be too late: half of what was left is as long as a person may hope.
  const leftMs = current.kind === 'held' ? current.facts.notAfter.getTime() - since.getTime() : 0;
  const sayAt = after(since, Math.min(patienceMs, leftMs / 2));
  if (isValid && now < sayAt) return { nextCheck: sayAt };
  const message = `its order to issuer "${issuer}" is open since ${since.toISOString()}: ${waitsFor}`;
  return { blocked: { reason: 'OrderPending', message } };
}

function retryTime({ current, key, now, issuer }: Snapshot, failure: NonNullable<Snapshot['failure']>): Date {
  const remainingMs = current.kind === 'held' ? current.facts.notAfter.getTime() - now.getTime() : 0;
  const request = { failures: failure.count, remainingMs, seed: key };
  const waitMs = issuer.ready && !issuer.mesh ? outsideWaitMs(request) : retryWaitMs(request);
  return new Date(Math.max(failure.lastAt.getTime() + waitMs, failure.notBefore?.getTime() ?? 0));
}

/** The certificate is as it should be: what is around it may not. */
function settled({ current, issuer, now, failure, keystores }: Snapshot, wanted: Wanted, nextCheck: Date): Plan {
  if (current.kind !== 'held') return { action: keep };
  const rewrite = rewriteNeed(current, wanted, issuer) ?? keystoreNeed(keystores);
  // A rewrite that failed waits like a failed issue, but has all the time there is.
  const waits = failure !== undefined && now < after(failure.lastAt, Math.min(60_000, 1_000 * 2 ** failure.count));
  if (rewrite === undefined) return { action: keep, nextCheck };
  if (waits) return { action: keep, nextCheck: earliest(nextCheck, after(now, 5_000)) };
  return { action: { kind: 'rewrite', ...rewrite }, nextCheck };
}

function after(at: Date, ms: number): Date {
  return new Date(at.getTime() + ms);
}

function earliest(a: Date, b: Date): Date {
  return a < b ? a : b;
}

function secretName({ key }: Snapshot): string {
  const [namespace, service] = key.split('/');
  return `${namespace}/tabard-${service}`;
}

// What the audit trail says about certificates: records made from what was gathered, decided and done. Pure.
import { type AuditRecord, askedByName, askedByObject, certificateDigest } from '../audit/audit.ts';
import type { SignedLeaf } from '../issuers/issuer.ts';
import type { Gathered } from './gather.ts';
import type { Action, Plan } from './plan.ts';
import type { Failure } from './snapshot.ts';

type Issue = Extract<Action, { kind: 'issue' }>;

/** Reasons that time alone brings about: nobody asked just now. */
const ofTime: ReadonlySet<string> = new Set(['NearingExpiry', 'Expired', 'NotYetValid']);

/** A certificate was written. */
export function issuedRecord(gathered: Gathered, { reason, message, wanted }: Issue, leaf: SignedLeaf): AuditRecord {
  const { current } = gathered.snapshot;
  const sha256 = certificateDigest(leaf.chain);
  return {
    action: reason === 'Missing' ? 'CertificateIssued' : 'CertificateRenewed',
    askedBy: [...(ofTime.has(reason) ? ['Tabard'] : []), ...askers(gathered)],
    reason,
    ...(wanted.uri === '' ? {} : { identity: wanted.uri }),
    serial: leaf.serial,
    ...(current.kind === 'held' ? { replaces: current.facts.serial } : {}),
    ...(sha256 === undefined ? {} : { sha256 }),
    keyKind: wanted.key,
    notAfter: leaf.notAfter,
    issuer: wanted.issuer,
    note: message,
  };
}

/** None is made, for a reason that a person may have to see to. */
export function refusedRecord(gathered: Gathered, { reason, message }: NonNullable<Plan['blocked']>): AuditRecord {
  return { ...about(gathered, 'CertificateRefused'), reason, note: message };
}

/** A try failed; `code` is that of the error. */
export function failedRecord(gathered: Gathered, { count, message }: Failure, code: string): AuditRecord {
  return { ...about(gathered, 'CertificateFailed'), reason: code, note: `try ${count}: ${message}` };
}

/** Its Secret was deleted, as nobody uses it. */
export function deletedRecord(gathered: Gathered, reason: string, message: string): AuditRecord {
  return { ...about(gathered, 'CertificateDeleted'), askedBy: ['Tabard'], reason, note: message };
}

function about(gathered: Gathered, action: AuditRecord['action']): Omit<AuditRecord, 'reason'> {
  const { wanted, current } = gathered.snapshot;
  const held = current.kind === 'held' ? current : undefined;
  const identity = wanted?.uri ?? held?.facts.uris[0];
  const issuer = wanted?.issuer ?? held?.issuer;
  const keyKind = wanted?.key ?? held?.facts.key;
  return {
    action,
    askedBy: askers(gathered),
    ...(identity === undefined ? {} : { identity }),
    ...(issuer === undefined ? {} : { issuer }),
    ...(keyKind === undefined ? {} : { keyKind }),
    // The certificate that stays in use, if any.
    ...(held === undefined ? {} : { serial: held.facts.serial, notAfter: held.facts.notAfter }),
  };
}

/** The workloads whose pods want it, then the policy that decides about it. */
function askers({ snapshot, policy }: Gathered): readonly string[] {
  const [namespace = ''] = snapshot.key.split('/');
  const workloads = (snapshot.wanted?.owners ?? []).map(({ kind, name }) => askedByName(kind, { name, namespace }));
  return [...workloads, ...(policy === undefined ? [] : [askedByObject(policy)])];
}

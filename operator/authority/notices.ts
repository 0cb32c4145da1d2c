// What a step of a rotation tells people: the event on the TLSIssuer, the line of the log, the audit record. Pure.
import type { AuditAction } from '../audit/actions.ts';
import type { Ring } from './ring.ts';
import type { Step } from './rotationview.ts';

/** A step in words. */
export interface StepNotice {
  readonly type: 'Normal' | 'Warning';
  /** Reason of the event. */
  readonly reason: string;
  readonly note: string;
  readonly audit: AuditAction;
}

/** The words for a step that was taken. `peers`: pods of the mesh that are there. */
export function stepNotice(step: Step, before: Ring, after: Ring, peers: number): StepNotice {
  const short = (ring: Ring): string => ring.active.authority.fingerprint.slice(0, 16);
  switch (step.kind) {
    case 'prepare': {
      const next = after.next?.authority.fingerprint.slice(0, 16) ?? '';
      const note = `CA ${next} is in every bundle from now on and signs once all peers trust it: ${step.reason}`;
      return { type: 'Normal', reason: 'RotationPrepared', note, audit: 'CaPrepared' };
    }
    case 'activate': {
      const note = `CA ${short(after)} signs; certificates of ${short(before)} are replaced, the soonest to expire first`;
      return { type: 'Normal', reason: 'RotationActivated', note, audit: 'CaActivated' };
    }
    case 'retire':
      return {
        type: 'Normal',
        reason: 'RotationRetiring',
        note: 'the former CA has left the trust bundle: no certificate of it is in use',
        audit: 'CaRetired',
      };
    case 'finish':
      return {
        type: 'Normal',
        reason: 'RotationFinished',
        note: `all use CA ${short(after)} alone`,
        audit: 'CaRetired',
      };
    case 'undo':
      return {
        type: 'Warning',
        reason: 'RotationUndone',
        note: `CA ${short(after)} signs: ${step.reason}`,
        audit: 'CaUndone',
      };
    case 'replace':
      return {
        ...replacement(step, peers, short(after)),
        audit: step.handles === undefined ? 'CaActivated' : 'CaDistrusted',
      };
    case 'distrust':
      return {
        type: 'Warning',
        reason: 'AuthorityDistrusted',
        note: `${step.reason}; it has left the trust bundle at once: whoever still shows a certificate of it is refused`,
        audit: 'CaDistrusted',
      };
  }
}

/** The action of the step that a ring was brought by to where it is, as far as the ring itself tells. */
export function lastAction({ notes: { sequence, phase, declined } }: Ring): AuditAction {
  if (sequence <= 1) return 'CaCreated';
  if (phase === 'Prepared') return 'CaPrepared';
  if (phase === 'Active') return 'CaActivated';
  return phase === 'Idle' && declined !== undefined ? 'CaUndone' : 'CaRetired';
}

function replacement({ reason }: Extract<Step, { kind: 'replace' }>, peers: number, active: string) {
  const note =
    `${reason}; CA ${active} signs and is trusted at once. ` +
    `Connections of ${peers} pods fail until each has its new certificate and bundle`;
  return { type: 'Warning' as const, reason: 'AuthorityReplaced', note };
}

// What a TLSIssuer says of itself: whether it can sign, until when, with which CA, and how a rotation stands. Pure.
import { type Condition, mergeConditions, type WantedCondition } from '../../lib/api/conditions.ts';
import { rfc3339 } from '../../lib/api/time.ts';
import type { AuthorityRole, RotationStatus, TLSIssuer, TLSIssuerStatus } from '../../lib/api/tlsissuer.ts';
import type { IssuerState } from '../issuers/issuer.ts';
import { isMeshIssuer } from '../trust/mesh.ts';
import type { SecretState, TrustedAuthority } from './authority.ts';
import type { Generation, Ring } from './ring.ts';
import type { Decision } from './rotationview.ts';

/** What is known of an issuer that keeps its CAs in Tabard's Secret. */
export interface AuthorityView {
  readonly secretName: string;
  readonly secret: SecretState;
  readonly ring: Ring | undefined;
  current(): TrustedAuthority | undefined;
  /** Why what somebody else offers is not taken; undefined when nothing is wrong with it. */
  readonly offerRefused: { readonly reason: string; readonly message: string } | undefined;
  readonly decision: Decision | undefined;
}

type Verdict = Pick<WantedCondition, 'status' | 'reason' | 'message'>;
type Status = NonNullable<TLSIssuer['status']>;

/** Most peers that are named. */
const mostNamed = 20;
/** Most requests that are listed. */
const mostListed = 20;

/** The status of an issuer with CAs of its own, built from scratch; only transition times are taken from the old one. */
export function authorityStatus(issuer: TLSIssuer, view: AuthorityView, now: Date): Status {
  const wanted: readonly WantedCondition[] = [
    { type: 'Ready', ...readiness(view, now) },
    ...(view.decision === undefined ? [] : [{ type: 'Rotating', ...rotating(view.ring, view.decision) }]),
    ...(view.decision?.refusal === undefined
      ? []
      : [{ type: 'RequestAccepted', status: 'False' as const, ...view.decision.refusal }]),
  ];
  const { ring } = view;
  if (ring === undefined) return { conditions: merged(issuer, wanted, now) };
  const { authority } = ring.active;
  return {
    conditions: merged(issuer, wanted, now),
    caNotAfter: rfc3339(authority.notAfter),
    caFingerprint: authority.fingerprint,
    trustBundle: view.current()?.trustBundle ?? '',
    authorities: [
      listed(ring.active, 'Active'),
      ...(ring.next === undefined ? [] : [listed(ring.next, 'Next')]),
      ...(ring.previous === undefined ? [] : [listed(ring.previous, 'Retiring')]),
      ...gone(ring),
    ],
    rotation: rotationStatus(ring, view.decision, issuer.status?.rotation?.handledReasons),
  };
}

/** The status of an issuer of any other kind, from what it says of itself; undefined = none is at work for it. */
export function foreignStatus(issuer: TLSIssuer, state: IssuerState | undefined, now: Date): Status {
  const wanted: WantedCondition = { type: 'Ready', ...foreignReadiness(issuer, state) };
  const conditions = merged(issuer, [wanted], now);
  if (state?.ready !== true) return { ...kept(issuer), conditions };
  // An ACME server states neither the end of its CA nor whom its callers trust.
  const bundle = isMeshIssuer(issuer) ? { caNotAfter: rfc3339(state.notAfter), trustBundle: state.trustBundle } : {};
  const { authorities, rotation } = state;
  const active = authorities?.find(({ role }) => role === 'Active');
  return {
    conditions,
    ...(active === undefined ? {} : { caFingerprint: active.fingerprint }),
    ...bundle,
    ...(authorities === undefined ? {} : { authorities }),
    ...(rotation === undefined ? {} : { rotation }),
  };
}

/** A status with a condition about the further roots that the issuer names, if it names any. `faults`: what is wrong with them. */
export function withRoots(issuer: TLSIssuer, status: Status, faults: readonly string[], now: Date): Status {
  const count = issuer.spec.trust?.roots?.length ?? 0;
  if (count === 0) return status;
  const verdict: Verdict =
    faults.length === 0
      ? {
          status: 'True',
          reason: 'RootsUsable',
          message: `${count} further ${count === 1 ? 'root is' : 'roots are'} trusted`,
        }
      : no('RootsBroken', faults.join('; '));
  const conditions = merged(issuer, [{ type: 'RootsAccepted', ...verdict }], now);
  return { ...status, conditions: [...(status.conditions ?? []), ...conditions] };
}

/** An issuer that cannot sign for a while takes no trust away from what it signed. */
function kept({ status }: TLSIssuer): Omit<TLSIssuerStatus, 'conditions'> {
  const { conditions: _, ...rest } = status ?? {};
  return rest;
}

function foreignReadiness({ spec }: TLSIssuer, state: IssuerState | undefined): Verdict {
  if (state === undefined) {
    const kinds = Object.keys(spec).filter((kind) =>
      ['selfSigned', 'ca', 'vault', 'acme', 'kubernetesCSR'].includes(kind),
    );
    const named = kinds.length === 0 ? 'no kind of issuer' : kinds.join(', ');
    return no('NotSupported', `it names ${named}; nothing is at work for it`);
  }
  if (!state.ready) return no(state.fault ?? 'NotReady', state.message);
  if (!state.mesh) return { status: 'True', reason: 'CanSign', message: 'its ACME account is in order' };
  return { status: 'True', reason: 'CanSign', message: `signs until ${state.notAfter.toISOString()}` };
}

function readiness(view: AuthorityView, now: Date): Verdict {
  const known = view.current();
  const { secret, secretName, offerRefused } = view;
  const broken = secret.kind === 'broken' ? `Secret ${secretName} is not usable: ${secret.message}` : undefined;
  if (known === undefined) {
    if (broken !== undefined) return no('AuthorityBroken', `${broken}; restore it, or delete it for a new CA`);
    if (offerRefused !== undefined)
      return no(offerRefused.reason, `${offerRefused.message}; nothing signs in its place`);
    return no('AuthorityMissing', `Secret ${secretName} is not made yet`);
  }
  const { notBefore, notAfter } = known.authority;
  if (now >= notAfter) return no('AuthorityExpired', `the CA expired at ${notAfter.toISOString()}`);
  if (now < notBefore) {
    return no('AuthorityNotYetValid', `the CA is valid from ${notBefore.toISOString()}; check the clocks`);
  }
  if (broken !== undefined) {
    const message = `${broken}; the CA in memory still signs, delete the Secret and it is written back`;
    return no('AuthorityBroken', message);
  }
  if (offerRefused !== undefined) {
    const message = `${offerRefused.message}; the last good CA still signs, until ${notAfter.toISOString()}`;
    return no(offerRefused.reason, message);
  }
  return { status: 'True', reason: 'CanSign', message: `signs until ${notAfter.toISOString()}` };
}

function rotating(ring: Ring | undefined, decision: Decision): Verdict {
  const phase = ring?.notes.phase ?? 'Idle';
  const status = phase === 'Idle' ? 'False' : 'True';
  if (decision.kind !== 'wait')
    return { status, reason: phase, message: 'message' in decision ? decision.message : phase };
  const named = decision.waitingFor.slice(0, 3).join('; ');
  const more = decision.waitingFor.length > 3 ? ` and ${decision.waitingFor.length - 3} more` : '';
  const who = named === '' ? '' : `: ${named}${more}`;
  return { status, reason: decision.why === 'Settling' ? phase : decision.why, message: `${decision.message}${who}` };
}

function rotationStatus(
  ring: Ring,
  decision: Decision | undefined,
  listedBefore: readonly string[] = [],
): RotationStatus {
  const { phase, reason, startedAt, phaseSince } = ring.notes;
  // What was acted on is remembered here and in the Secret: one of the two may be lost by hand.
  const handled = [...new Set([...listedBefore, ...ring.notes.handled])];
  const waiting = decision?.kind === 'wait' ? decision : undefined;
  return {
    phase,
    ...(reason === undefined ? {} : { reason }),
    ...(startedAt === undefined ? {} : { startedAt: rfc3339(startedAt) }),
    ...(phaseSince === undefined ? {} : { phaseSince: rfc3339(phaseSince) }),
    ...(waiting === undefined || waiting.waitingFor.length === 0
      ? {}
      : { waitingFor: waiting.waitingFor.slice(0, mostNamed), waitingCount: waiting.waitingFor.length }),
    ...(decision === undefined || !('message' in decision) ? {} : { message: decision.message }),
    ...(handled.length === 0 ? {} : { handledReasons: handled.slice(-mostListed) }),
  };
}

/** What has left the bundle is listed until everybody has taken it out of his: sidecars are told of it (operator/trust/retired.ts). */
function gone({ notes: { phase, retired } }: Ring) {
  if (phase !== 'Retiring' || retired === undefined) return [];
  const { keyId, anchors, notAfter } = retired;
  return anchors.map((fingerprint) => ({ keyId, fingerprint, notAfter: rfc3339(notAfter), role: 'Retiring' as const }));
}

function listed({ authority }: Generation, role: AuthorityRole) {
  const { keyId, fingerprint, notAfter } = authority;
  return { keyId, fingerprint, notAfter: rfc3339(notAfter), role };
}

function merged(issuer: TLSIssuer, wanted: readonly WantedCondition[], now: Date): readonly Condition[] {
  const { generation } = issuer.metadata;
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  return mergeConditions(
    issuer.status?.conditions,
    wanted.map((each) => ({ ...each, ...observed })),
    now,
  );
}

function no(reason: string, message: string): Verdict {
  return { status: 'False', reason, message };
}

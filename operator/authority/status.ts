// What a TLSIssuer says of itself: whether it can sign, until when, with which CA. Pure.
import { type Condition, mergeConditions, type WantedCondition } from '../../lib/api/conditions.ts';
import { names } from '../../lib/api/contract.ts';
import type { TLSIssuer } from '../../lib/api/tlsissuer.ts';
import type { SecretState, TrustedAuthority } from './authority.ts';

/** What is known of the CA. */
export interface AuthorityView {
  current(): TrustedAuthority | undefined;
  readonly secret: SecretState;
}

type Verdict = Pick<WantedCondition, 'status' | 'reason' | 'message'>;

/** The status of an issuer at a moment, built from scratch; only transition times are taken from the old one. */
export function issuerStatus(issuer: TLSIssuer, view: AuthorityView, now: Date): NonNullable<TLSIssuer['status']> {
  const ours = issuer.metadata.name === names.defaultIssuer;
  const verdict = unsupported(issuer) ?? verdictOf(view, now);
  const wanted: WantedCondition = { type: 'Ready', ...verdict, ...generationOf(issuer) };
  const conditions: readonly Condition[] = mergeConditions(issuer.status?.conditions, [wanted], now);
  const authority = ours ? view.current()?.authority : undefined;
  if (authority === undefined) return { conditions };
  return {
    conditions,
    caNotAfter: authority.notAfter.toISOString().replace(/\.\d+Z$/, 'Z'),
    caFingerprint: authority.fingerprint,
  };
}

/** Why an issuer is not one that this version can sign with; undefined when it is. */
function unsupported({ metadata, spec }: TLSIssuer): Verdict | undefined {
  const kinds = Object.keys(spec);
  if (spec.selfSigned === undefined) {
    const named = kinds.length === 0 ? 'no kind of issuer' : kinds.join(', ');
    return no('NotSupported', `it names ${named}; this version of Tabard signs with selfSigned alone`);
  }
  if (metadata.name === names.defaultIssuer) return undefined;
  const message = `this version of Tabard has one CA, that of issuer "${names.defaultIssuer}"; let policies name that one`;
  return no('NotSupported', message);
}

function verdictOf(view: AuthorityView, now: Date): Verdict {
  const known = view.current();
  const broken =
    view.secret.kind === 'broken' ? `Secret ${names.caSecret} is not usable: ${view.secret.message}` : undefined;
  if (known === undefined) {
    if (broken !== undefined) return no('AuthorityBroken', `${broken}; restore it, or delete it for a new CA`);
    return no('AuthorityMissing', `Secret ${names.caSecret} is not made yet`);
  }
  const { notBefore, notAfter } = known.authority;
  if (now >= notAfter) {
    const message = `the CA expired at ${notAfter.toISOString()}; delete Secret ${names.caSecret} for a new one`;
    return no('AuthorityExpired', message);
  }
  if (now < notBefore) {
    return no('AuthorityNotYetValid', `the CA is valid from ${notBefore.toISOString()}; check the clocks`);
  }
  if (broken !== undefined) {
    const message = `${broken}; the CA in memory still signs, delete the Secret and it is written back`;
    return no('AuthorityBroken', message);
  }
  return { status: 'True', reason: 'CanSign', message: `signs until ${notAfter.toISOString()}` };
}

function no(reason: string, message: string): Verdict {
  return { status: 'False', reason, message };
}

function generationOf({ metadata }: TLSIssuer): Pick<WantedCondition, 'observedGeneration'> {
  return metadata.generation === undefined ? {} : { observedGeneration: metadata.generation };
}

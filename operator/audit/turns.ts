// What of an issuer lasts and is recorded when it turns: whether its rotation is paused, and whether what somebody offers it is
// refused. The first look at an issuer tells how things are: a pause is then no turn, a refusal is said once by each leader.
import type { AuditTrail } from './audit.ts';

/** How things are with one issuer. */
export interface IssuerTurns {
  readonly paused: boolean;
  /** Why an offered CA is not taken over; undefined = none is refused. */
  readonly refused: { readonly reason: string; readonly message: string } | undefined;
}

/** Records turns, by issuer. */
export class Turns {
  readonly #audit: AuditTrail;
  readonly #known = new Map<string, IssuerTurns>();

  constructor(audit: AuditTrail) {
    this.#audit = audit;
  }

  /** How things are now. */
  note(issuer: string, now: IssuerTurns): void {
    const before = this.#known.get(issuer);
    this.#known.set(issuer, now);
    const common = { askedBy: [`TLSIssuer ${issuer}`], issuer };
    if (before !== undefined && before.paused !== now.paused) {
      this.#audit.record({ ...common, action: now.paused ? 'CaPaused' : 'CaResumed', reason: 'spec.rotation.paused' });
    }
    const { refused } = now;
    if (refused !== undefined && refused.message !== before?.refused?.message) {
      this.#audit.record({ ...common, action: 'CaRefused', reason: refused.reason, note: refused.message });
    }
  }
}

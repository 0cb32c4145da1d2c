// May this caller use this port, by the authorization rules in force? Asked with `admit` once for each connection that arrives and for each
// stream that a tunnel opens (with the tunnel's own verified peer and address, never with what an OPEN frame claims), after the peer was
// judged and before the application is dialled; and with `breach` again for what is live when the rules change. The caller is told nothing but
// the end of its connection; which rule it was is for our log, metrics and status.
import { AUTHORIZATION_FORM, type RuleHits } from '../lib/api/authorization.ts';
import type { SelfSnapshot } from '../lib/api/control.ts';
import { type Call, type Decision, decide, type Judge, prepare } from '../lib/api/decide.ts';
import type { Reason } from '../lib/api/reasons.ts';
import type { LiveFacts } from './relay/live.ts';

/** The form of rules that is enforced here, for reports. */
export const enforcedForm: number = AUTHORIZATION_FORM;

/** What it needs. */
export interface AuthorizerDeps {
  /** What this pod was told last; undefined before it was told anything. */
  self(): Pick<SelfSnapshot, 'policy' | 'trustDomain'> | undefined;
  /** A rule matched a new connection. For a refusal for which no rule allowed, `name` is empty. */
  onHit(hit: Omit<RuleHits, 'count'>): void;
  /** Rules in audit mode matched, or would have changed the verdict. */
  onAudit(call: Call, decision: Decision): void;
}

/** Judges calls. */
export class Authorizer {
  readonly #deps: AuthorizerDeps;
  #for: Pick<SelfSnapshot, 'policy' | 'trustDomain'> | undefined;
  #judge: Judge | undefined;

  constructor(deps: AuthorizerDeps) {
    this.#deps = deps;
  }

  /** Judges a new connection or stream, and counts. Undefined = it may be carried; else why not, for our log alone. */
  admit(call: Call): { readonly reason: Reason; readonly detail: string } | undefined {
    const judge = this.#current();
    if (judge === undefined) return { reason: 'control_unavailable', detail: 'the policy is not known yet' };
    const decision = decide(judge, call);
    this.#count(call, decision);
    if (decision.allowed) return undefined;
    const who = call.identity ?? 'a caller without an identity';
    const why = decision.rule === undefined ? 'no Allow rule matches' : `rule ${decision.rule}`;
    return { reason: 'denied', detail: `${who}: ${why}` };
  }

  /** Judges a live connection again, without counting. */
  breach({ direction, port, address, peer }: LiveFacts): Reason | undefined {
    if (direction !== 'inbound') return undefined;
    const judge = this.#current();
    if (judge === undefined) return undefined;
    return decide(judge, { identity: peer?.identity, address, port }).allowed ? undefined : 'denied';
  }

  #count(call: Call, decision: Decision): void {
    const { allowed, rule, audited, wouldBe } = decision;
    if (!allowed || rule !== undefined) this.#deps.onHit({ name: rule ?? '', outcome: allowed ? 'allowed' : 'denied' });
    for (const name of audited) this.#deps.onHit({ name, outcome: 'audited' });
    if (audited.length > 0 || wouldBe !== undefined) this.#deps.onAudit(call, decision);
  }

  #current(): Judge | undefined {
    const self = this.#deps.self();
    if (self === undefined) return undefined;
    if (this.#judge === undefined || this.#for !== self) {
      this.#judge = prepare(self.policy.authorization, self.trustDomain);
      this.#for = self;
    }
    return this.#judge;
  }
}

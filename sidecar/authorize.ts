// May this caller use this port, and ask for this, by the authorization rules in force? Asked with `admit` once for each connection that arrives
// and for each stream that a tunnel opens (with the tunnel's own verified peer and address, never with what an OPEN frame claims), after the
// peer was judged and before the application is dialled; then by a gate for each request, where rules ask something of requests; and with
// `breach` again for what is live when the rules change. The caller is told nothing but `denied`; which rule it was is for our log, metrics
// and status.
import { needsTokens } from '../lib/api/authentication.ts';
import { AUTHORIZATION_FORM, type RuleHits } from '../lib/api/authorization.ts';
import type { ConditionLanguage } from '../lib/api/condition.ts';
import type { SelfSnapshot } from '../lib/api/control.ts';
import { type Call, type Decision, decide, decideRequest, type Standing, standing } from '../lib/api/decide.ts';
import { type Judge, prepare } from '../lib/api/judge.ts';
import type { Reason } from '../lib/api/reasons.ts';
import type { RequestFacts } from '../lib/api/request.ts';
import type { LiveFacts } from './relay/live.ts';

/** The form of rules that is enforced here, for reports. */
export const enforcedForm: number = AUTHORIZATION_FORM;

/** What it needs. */
export interface AuthorizerDeps {
  /** What this pod was told last; undefined before it was told anything. */
  self(): Pick<SelfSnapshot, 'policy' | 'trustDomain'> | undefined;
  now(): Date;
  /** The language of conditions, where it was needed and is loaded. */
  language?(): ConditionLanguage | undefined;
  /** A rule matched a new connection or a request. For a refusal for which no rule allowed, `name` is empty. */
  onHit(hit: Omit<RuleHits, 'count'>): void;
  /** A caller was let in: with a connection, or with the first of its requests where those decide. */
  onCaller?(call: Call): void;
  /** A request was let through. */
  onRequest?(call: Call, request: RequestFacts): void;
  /** Rules in audit mode matched, or would have changed the verdict. */
  onAudit(call: Call, decision: Decision, request?: RequestFacts): void;
  /** The condition of a rule failed. */
  onFailure?(rule: string): void;
}

/** Why something is not let in. `detail` is for our log alone. */
export interface Denial {
  readonly reason: Reason;
  readonly detail: string;
}

/** What becomes of a connection. */
export type Admission =
  | { readonly ok: false; readonly denial: Denial }
  /** `requests` judges what is asked for on it; absent where no requests are read. */
  | { readonly ok: true; readonly requests?: RequestJudge };

/** Judges the requests of one connection, always by the rules in force. */
export interface RequestJudge {
  /** Whether there is anything to judge: the rules in force ask something of this caller's requests. */
  readonly needed: boolean;
  /** Whether rules have conditions, which may ask for fields. */
  readonly wantsHeaders: boolean;
  /** Judges a request, and counts it. Undefined = it may go through. */
  admit(request: RequestFacts): Denial | undefined;
  /** Whether a request that was let through no longer were. */
  breach(request: RequestFacts): boolean;
}

const unreadable: Denial = {
  reason: 'token_required',
  detail: 'the policy asks for tokens, and the protocol of the port is not HTTP',
};
const unknown: Denial = { reason: 'control_unavailable', detail: 'the policy is not known yet' };

/** Judges calls. */
export class Authorizer {
  readonly #deps: AuthorizerDeps;
  #for: Pick<SelfSnapshot, 'policy' | 'trustDomain'> | undefined;
  #judge: Judge | undefined;
  /** What was judged last. */
  #last: { readonly judge: Judge; readonly call: Call; readonly decision: Decision } | undefined;

  constructor(deps: AuthorizerDeps) {
    this.#deps = deps;
  }

  /** Judges a new connection or stream, and counts what no request can change. `read`: a gate will read its requests. */
  admit(call: Call, read: boolean = false): Admission {
    const judge = this.#current();
    if (judge === undefined) return { ok: false, denial: unknown };
    if (!read && this.#needsTokens(call.port)) return { ok: false, denial: unreadable };
    const requests = read ? new Requests(call, this.#deps, () => this.#current()) : undefined;
    const decision = requests === undefined ? this.#decide(judge, call) : requests.standing(judge).decision;
    if (decision !== undefined) {
      count(this.#deps, call, decision);
      if (!decision.allowed) return { ok: false, denial: denialOf(call, decision) };
      this.#deps.onCaller?.(call);
    }
    return { ok: true, ...(requests === undefined ? {} : { requests }) };
  }

  /** Judges a live connection again, without counting. What it is asked for is judged by its gate. */
  breach({ direction, port, address, peer, recheck }: LiveFacts): Reason | undefined {
    if (direction !== 'inbound') return undefined;
    const judge = this.#current();
    if (judge === undefined) return undefined;
    const call = { identity: peer?.identity, address, port };
    if (recheck === undefined && this.#needsTokens(port)) return 'token_required';
    if (recheck === undefined) return this.#decide(judge, call).allowed ? undefined : 'denied';
    const { decision } = standing(judge, call);
    if (decision === undefined) return recheck();
    return decision.allowed ? undefined : 'denied';
  }

  /** Of what comes through one tunnel every connection is the same call, and each is judged twice. */
  #decide(judge: Judge, call: Call): Decision {
    const last = this.#last;
    if (last?.judge === judge && isSame(last.call, call)) return last.decision;
    const decision = decide(judge, call);
    this.#last = { judge, call, decision };
    return decision;
  }

  #needsTokens(port: number): boolean {
    return needsTokens(this.#deps.self()?.policy.authentication, port);
  }

  #current(): Judge | undefined {
    const self = this.#deps.self();
    if (self === undefined) return undefined;
    if (this.#judge === undefined || this.#for !== self) {
      this.#judge = prepare(self.policy.authorization, self.trustDomain, this.#deps.language?.());
      this.#for = self;
    }
    return this.#judge;
  }
}

function isSame(a: Call, b: Call): boolean {
  return a.identity === b.identity && a.address === b.address && a.port === b.port;
}

/** The requests of one caller. */
class Requests implements RequestJudge {
  readonly #call: Call;
  readonly #deps: AuthorizerDeps;
  readonly #judge: () => Judge | undefined;
  #standing: Standing | undefined;
  /** A request was let in. */
  #let = false;

  constructor(call: Call, deps: AuthorizerDeps, judge: () => Judge | undefined) {
    this.#call = call;
    this.#deps = deps;
    this.#judge = judge;
  }

  get needed(): boolean {
    const judge = this.#judge();
    return judge !== undefined && this.standing(judge).decision === undefined;
  }

  get wantsHeaders(): boolean {
    return this.#judge()?.hasConditions === true;
  }

  /** Where the caller stands by these rules. */
  standing(judge: Judge): Standing {
    if (this.#standing?.judge !== judge) this.#standing = standing(judge, this.#call);
    return this.#standing;
  }

  admit(request: RequestFacts): Denial | undefined {
    const judge = this.#judge();
    if (judge === undefined) return unknown;
    const place = this.standing(judge);
    // What no request can change was counted with the connection.
    if (place.decision?.allowed === true) {
      this.#deps.onRequest?.(this.#call, request);
      return undefined;
    }
    const decision = decideRequest(place, request, this.#deps.now());
    count(this.#deps, this.#call, decision, request);
    if (decision.allowed && !this.#let) {
      this.#let = true;
      this.#deps.onCaller?.(this.#call);
    }
    if (!decision.allowed) return denialOf(this.#call, decision, request);
    this.#deps.onRequest?.(this.#call, request);
    return undefined;
  }

  breach(request: RequestFacts): boolean {
    const judge = this.#judge();
    return judge !== undefined && !decideRequest(this.standing(judge), request, this.#deps.now()).allowed;
  }
}

function count(deps: AuthorizerDeps, call: Call, decision: Decision, request?: RequestFacts): void {
  const { allowed, rule, audited, wouldBe, failed = [] } = decision;
  if (!allowed || rule !== undefined) deps.onHit({ name: rule ?? '', outcome: allowed ? 'allowed' : 'denied' });
  for (const name of audited) deps.onHit({ name, outcome: 'audited' });
  for (const name of failed) deps.onFailure?.(name);
  if (audited.length > 0 || wouldBe !== undefined) deps.onAudit(call, decision, request);
}

function denialOf({ identity }: Call, { rule }: Decision, request?: RequestFacts): Denial {
  const who = identity ?? 'a caller without an identity';
  const why = rule === undefined ? 'no Allow rule matches' : `rule ${rule}`;
  const what = request === undefined ? '' : ` ${request.method} ${request.path ?? 'a path without a canonical form'}`;
  return { reason: 'denied', detail: `${who}${what}: ${why}` };
}

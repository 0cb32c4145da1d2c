// Authorization of the requests of one HTTP/1 connection: what rules may ask is read off each head, and what is under way is judged again
// when rules change. The client of a denied request gets 403 with the reason and never the rule.
import { canonicalPath } from '../../lib/api/path.ts';
import type { Reason } from '../../lib/api/reasons.ts';
import { hostOf, type RequestFacts } from '../../lib/api/request.ts';
import type { Denial, RequestJudge } from '../authorize.ts';
import type { Exchange } from '../exchange.ts';
import type { Authenticated } from '../jwt/authenticate.ts';
import type { RequestFields as TokenFields } from '../jwt/find.ts';
import type { GateOptions } from './gate.ts';
import type { RequestHead } from './head.ts';
import { headersOf, valuesOf } from './headers.ts';
import { forbidden, unauthenticated } from './replies.ts';

/** What a gate asks and tells. */
export interface Judged extends Required<Pick<GateOptions, 'deny' | 'stripped' | 'lapsed'>> {
  /** To be told of every exchange that is over. */
  over(exchange: Pick<Exchange, 'method' | 'status'>): void;
  /** Judges again what is under way: a request that waits for the rest of its answer, or what a connection was upgraded for. */
  recheck(): Reason | undefined;
}

/** Looks at the tokens of requests. */
export type Authenticate = (fields: TokenFields) => Authenticated | Promise<void>;

/** Judges the requests of a connection; `denied` hears of refusals, `lapsed` of a token that has expired under what it let in. */
export function judged(
  requests: RequestJudge,
  authenticate: Authenticate,
  denied: (denial: Denial, head: RequestHead) => void,
  lapsed: () => void = () => undefined,
): Judged {
  let current: RequestFacts | undefined;
  let stripped: string | undefined;
  let untilMs = Infinity;
  return {
    deny: (head, octets) => {
      const user = authenticate({ values: (name) => valuesOf(head, octets, name) });
      if (user instanceof Promise) return user;
      current = undefined;
      if (!user.ok) {
        denied(user.refusal, head);
        return unauthenticated(user.refusal);
      }
      ({ strip: stripped, untilMs } = user);
      const facts = factsOf(head, requests.wantsHeaders ? headersOf(head, octets) : undefined, user.claims);
      const denial = requests.admit(facts);
      current = denial === undefined ? facts : undefined;
      if (denial === undefined) return undefined;
      denied(denial, head);
      return forbidden(denial.reason);
    },
    stripped: () => stripped,
    over: (exchange) => {
      if (!isSwitched(exchange)) current = undefined;
    },
    lapsed: (nowMs) => {
      if (nowMs < untilMs) return undefined;
      untilMs = Infinity;
      lapsed();
      return 'token_invalid';
    },
    recheck: () => (current !== undefined && requests.breach(current) ? 'denied' : undefined),
  };
}

/** What rules may ask of a request. */
export function factsOf(
  { method, host, target }: Pick<RequestHead, 'method' | 'host' | 'target'>,
  headers: RequestFacts['headers'],
  claims?: RequestFacts['claims'],
): RequestFacts {
  const canonical = canonicalPath(target);
  return {
    method,
    host: hostOf(host),
    path: canonical.ok ? canonical.path : undefined,
    ...(headers === undefined ? {} : { headers }),
    ...(claims === undefined ? {} : { claims }),
  };
}

/** What follows is no HTTP any more, and stands on this request. */
function isSwitched({ method, status }: Pick<Exchange, 'method' | 'status'>): boolean {
  return status === 101 || (method === 'CONNECT' && status >= 200 && status < 300);
}

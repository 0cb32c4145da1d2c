// Who asks, and whether he may, for each request of a connection of HTTP/2: tokens first, then rules, as for HTTP/1.1. The client of a denied
// request hears the reason and never the rule.
import { canonicalPath } from '../../lib/api/path.ts';
import { hostOf, type RequestFacts } from '../../lib/api/request.ts';
import type { RequestJudge, Denial as RuleDenial } from '../authorize.ts';
import type { Authenticate } from '../http1/judged.ts';
import type { TokenRefusal } from '../jwt/authenticate.ts';
import type { RequestHead } from './head.ts';
import type { Denial } from './replies.ts';
import type { Judgement } from './requests.ts';

/** Judges the requests of a connection; `denied` hears of refusals. */
export function judged(
  requests: RequestJudge,
  authenticate: Authenticate,
  denied: (denial: RuleDenial) => void,
): (head: RequestHead) => Judgement {
  return (head) => {
    const user = authenticate(head);
    if (user instanceof Promise) return { kind: 'wait', until: user };
    if (!user.ok) {
      denied(user.refusal);
      return { kind: 'deny', denial: asDenial(user.refusal) };
    }
    const facts = factsOf(head, requests.wantsHeaders, user.claims);
    const denial = requests.admit(facts);
    if (denial !== undefined) {
      denied(denial);
      return { kind: 'deny', denial: { status: 403, reason: denial.reason } };
    }
    const strip = user.strip === undefined ? {} : { strip: user.strip };
    // Downloads end by themselves; a call of gRPC may be a stream for ever.
    const untilMs = head.grpc || head.method === 'CONNECT' ? user.untilMs : Infinity;
    return { kind: 'pass', ...strip, untilMs, breached: () => requests.breach(facts) };
  };
}

function asDenial({ status, reason, challenge }: TokenRefusal): Denial {
  const fields = challenge === undefined ? [] : [{ name: 'www-authenticate', value: challenge }];
  return { status, reason, fields };
}

/** What rules may ask of a request. */
export function factsOf(head: RequestHead, wantsHeaders: boolean, claims: RequestFacts['claims']): RequestFacts {
  const canonical = canonicalPath(head.target);
  return {
    method: head.method,
    host: hostOf(head.host),
    path: canonical.ok ? canonical.path : undefined,
    ...(wantsHeaders ? { headers: headersOf(head) } : {}),
    ...(claims === undefined ? {} : { claims }),
  };
}

/** Every field, as HTTP/1.1 would have it: Host is there whatever the client called it. */
function headersOf({ fields, host }: RequestHead): Readonly<Record<string, string>> {
  // Names are whatever a client sends: `__proto__` among them.
  const headers = Object.create(null) as Record<string, string>;
  headers['host'] = host;
  for (const { name, value } of fields) {
    if (name.startsWith(':') || name === 'host') continue;
    const before = headers[name];
    // Cookies are joined in a way of their own (RFC 9113 section 8.2.3).
    headers[name] = before === undefined ? value : `${before}${name === 'cookie' ? '; ' : ', '}${value}`;
  }
  return headers;
}

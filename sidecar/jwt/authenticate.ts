// Who is behind a request, by the token that it carries. Asked for each request before its rules are. Tokens that were verified are remembered by
// their hash, never by themselves, until they expire or what is accepted changes, so that all but the first request with one cost a hash. The first
// has to wait for the signature: the caller is handed a promise, and asks again when it is settled.
import { hash } from 'node:crypto';
import {
  type Authentication,
  type Claims,
  looksForTokens,
  type TokenHeader,
  type TokenIssuer,
} from '../../lib/api/authentication.ts';
import { sameJson } from '../../lib/api/equal.ts';
import type { Reason } from '../../lib/api/reasons.ts';
import type { Clock } from '../../lib/clock.ts';
import { Lru } from '../lru.ts';
import { findToken, isSamePlace, placesOf, type RequestFields } from './find.ts';
import { readUnverified, type TokenFault, type UnverifiedToken } from './token.ts';
import { verify as verifyToken } from './verify.ts';

/** A request whose token was looked at. */
export type Authenticated =
  | {
      readonly ok: true;
      /** Undefined: it has no token, and needs none. */
      readonly claims: Claims | undefined;
      /** Lower-case name of the field that the application does not get. */
      readonly strip: string | undefined;
      /** When the token expires, with the skew that is allowed, in milliseconds since 1970; Infinity without one. */
      readonly untilMs: number;
    }
  | { readonly ok: false; readonly refusal: TokenRefusal };

/** An answer in place of the application's. */
export interface TokenRefusal {
  readonly status: 400 | 401 | 503;
  /** Value of WWW-Authenticate (RFC 6750 section 3). */
  readonly challenge: string | undefined;
  readonly reason: Reason;
  /** For our log alone. */
  readonly detail: string;
}

/** What it needs. */
export interface AuthenticatorDeps {
  readonly clock: Pick<Clock, 'now'>;
  /** What holds for this pod. */
  current(): Authentication | undefined;
  /** Told of an issuer that signed a token with a key that is not among those that are known. */
  readonly keysWanted?: (issuer: string) => void;
  /** Tests put in a slow one. */
  readonly verify?: typeof verifyToken;
}

/** Tokens that are remembered. */
const mostKnown = 1_000;
/** Tokens whose signatures are verified at the same time; beyond that requests are told to come again. */
const mostPending = 256;
/** How long a token that was refused is refused without a look. */
const refusedMs = 10_000;

interface Known {
  readonly claims: Claims | undefined;
  readonly fault: TokenFault | undefined;
  /** Good in this time alone; milliseconds since 1970, with the skew that is allowed. */
  readonly fromMs: number;
  readonly untilMs: number;
  readonly strip: string | undefined;
}

/** Looks at the tokens of requests. */
export class Authenticator {
  readonly #deps: AuthenticatorDeps;
  #for: Authentication | undefined;
  #inForce: Authentication | undefined;
  #places: readonly Required<TokenHeader>[] = [];
  #known = new Lru<Known>(mostKnown);
  #pending = new Map<string, Promise<void>>();

  constructor(deps: AuthenticatorDeps) {
    this.#deps = deps;
  }

  /** Whether requests to a port are to be read for their tokens. */
  looksAt(port: number): boolean {
    return looksForTokens(this.#deps.current(), port);
  }

  /** Judges a request; a promise = ask again when it is settled. It never rejects. */
  authenticate(port: number, fields: RequestFields): Authenticated | Promise<void> {
    const current = this.#current();
    if (current === undefined || !looksForTokens(current, port)) return anybody;
    const found = findToken(fields, this.#places);
    if (found === undefined) return current.required ? { ok: false, refusal: tokenRequired } : anybody;
    if (found === 'several_tokens') return refused(found);
    const key = `${found.header.name} ${found.header.prefix} ${hash('sha256', found.token, 'base64')}`;
    const known = this.#known.get(key);
    const nowMs = this.#deps.clock.now().getTime();
    if (known !== undefined && nowMs >= known.fromMs && nowMs < known.untilMs) return answerOf(known);
    if (known?.fault === undefined && known !== undefined) {
      return refused(nowMs < known.fromMs ? 'not_yet_valid' : 'expired');
    }
    return this.#begin(key, found.token, found.header, current);
  }

  #begin(
    key: string,
    token: string,
    header: Required<TokenHeader>,
    current: Authentication,
  ): Authenticated | Promise<void> {
    const running = this.#pending.get(key);
    if (running !== undefined) return running;
    const said = readUnverified(token);
    if (typeof said === 'string') return refused(said);
    const issuer = current.jwt.find((each) => each.issuer === said.issuer);
    if (issuer === undefined || !issuer.from.some((each) => isSamePlace(each, header)))
      return refused('issuer_unknown');
    if (this.#pending.size >= mostPending) return { ok: false, refusal: tooMany };
    const { clock, keysWanted, verify = verifyToken } = this.#deps;
    const [book, pending] = [this.#known, this.#pending];
    const done = verify(token, said, issuer, clock.now()).then((verified) => {
      pending.delete(key);
      const nowMs = clock.now().getTime();
      if (!verified.ok && isUnknown(said, issuer)) keysWanted?.(issuer.issuer);
      book.set(
        key,
        verified.ok
          ? {
              claims: verified.claims,
              fault: undefined,
              fromMs: verified.notBeforeMs - issuer.skewMs,
              untilMs: verified.expiresMs + issuer.skewMs,
              strip: stripped(issuer, header),
            }
          : { claims: undefined, fault: verified.fault, fromMs: 0, untilMs: nowMs + refusedMs, strip: undefined },
      );
    });
    pending.set(key, done);
    return done;
  }

  /** Other issuers, keys or rules of theirs: what was accepted by those of before is looked at again. */
  #current(): Authentication | undefined {
    const current = this.#deps.current();
    if (current === this.#for) return this.#inForce;
    this.#for = current;
    if (sameJson(current, this.#inForce)) return this.#inForce;
    this.#inForce = current;
    this.#places = placesOf(current?.jwt ?? []);
    this.#known = new Lru(mostKnown);
    this.#pending = new Map();
    return current;
  }
}

const anybody: Authenticated = { ok: true, claims: undefined, strip: undefined, untilMs: Infinity };

/** Whether another look at the issuer's keys may help. A token without a key id says nothing of that. */
function isUnknown({ kid }: UnverifiedToken, { keys }: TokenIssuer): boolean {
  return keys.length === 0 || (kid !== undefined && keys.every((key) => key.kid !== kid));
}

const tokenRequired: TokenRefusal = {
  status: 401,
  challenge: 'Bearer',
  reason: 'token_required',
  detail: 'the request has no token',
};

const tooMany: TokenRefusal = {
  status: 503,
  challenge: undefined,
  reason: 'overload',
  detail: 'too many tokens are being verified',
};

function answerOf({ claims, fault, strip, untilMs }: Known): Authenticated {
  return fault === undefined ? { ok: true, claims, strip, untilMs } : refused(fault);
}

/** RFC 6750 section 3.1: several tokens are a request of the wrong form, everything else a token that is none. */
function refused(fault: TokenFault): Authenticated {
  const isRequest = fault === 'several_tokens';
  const error = isRequest ? 'invalid_request' : 'invalid_token';
  const challenge = `Bearer error="${error}"`;
  return { ok: false, refusal: { status: isRequest ? 400 : 401, challenge, reason: 'token_invalid', detail: fault } };
}

function stripped({ forward }: TokenIssuer, { name }: Required<TokenHeader>): string | undefined {
  return forward ? undefined : name;
}

// A token of Vault, kept alive: got by logging in with the operator's service account or read from a Secret, renewed at half of its
// life, replaced when it is refused. Many requests at once share one login.
import type { VaultServer } from '../../../lib/api/tlsissuer.ts';
import type { Clock } from '../../../lib/clock.ts';
import { orAborted } from '../../../lib/runtime/signals.ts';
import { membersOf } from '../json.ts';
import { IssuerError } from '../problem.ts';
import { suffix, VaultApi, type VaultCall, type VaultReply } from './api.ts';
import type { Credentials } from './credentials.ts';
import { segmentsOf } from './path.ts';

/** What a session works with. */
export interface SessionDeps {
  readonly clock: Clock;
  readonly credentials: Credentials;
  readonly userAgent: string;
}

interface Token {
  readonly value: string;
  readonly renewable: boolean;
  readonly fromMs: number;
  /** From `fromMs` on; Infinity for one that never ends. */
  readonly lifeMs: number;
  /** What the first login gave: a renewal that gives far less has met the token's last day. */
  readonly fullMs: number;
}

/** Once a minute is soon enough to see that a token in a Secret was replaced. */
const longestRestMs = 60_000;
const lookupSelf = { method: 'GET', path: 'auth/token/lookup-self' } as const;
const defaultMount = 'kubernetes';
const defaultAudience = 'vault';

/** One server and a token for it. */
export class VaultSession {
  readonly #spec: VaultServer;
  readonly #deps: SessionDeps;
  readonly #api: VaultApi;
  readonly #closed = new AbortController();
  #token: Token | undefined;
  #opening: Promise<Token> | undefined;

  constructor(spec: VaultServer, deps: SessionDeps) {
    this.#spec = spec;
    this.#deps = deps;
    this.#api = new VaultApi(spec, deps);
  }

  /** A call that needs no token. */
  open(call: VaultCall, signal: AbortSignal): Promise<VaultReply> {
    return this.#api.call(call, signal);
  }

  /**
   * A call with the token; one that is no longer good is replaced, once. Rejects with IssuerError `Unauthorized` when there is no good one
   * to be had, and with `Forbidden` when the token is good and may not do this.
   */
  async request(call: VaultCall, signal: AbortSignal): Promise<VaultReply> {
    const token = await this.#current(signal);
    const reply = await this.#api.call({ ...call, token: token.value }, signal);
    if (reply.status !== 403) return reply;
    // Vault says the same to a bad token and to a good one without the right: asked about itself, a good one gets an answer.
    const lookup = await this.#api.call({ ...lookupSelf, token: token.value }, signal);
    if (lookup.status !== 200) {
      if (this.#token === token) this.#token = undefined;
      const fresh = await this.#current(signal);
      const again = await this.#api.call({ ...call, token: fresh.value }, signal);
      if (again.status !== 403) return again;
    }
    throw new IssuerError('Forbidden', `${call.method} ${call.path}: the token is good and may not do this`);
  }

  /** Logs in anew with the next request: what a token may do is decided when it is given out. */
  forget(): void {
    if (this.#spec.auth.kubernetes !== undefined) this.#token = undefined;
  }

  /** Sees to it that there is a token with a future; how long until it wants to be looked at again, milliseconds. */
  async keep(signal: AbortSignal): Promise<number> {
    const token = await this.#current(signal);
    const nowMs = this.#deps.clock.now().getTime();
    if (nowMs < token.fromMs + token.lifeMs / 2) return this.#restMs(token);
    const renewed = token.renewable ? await this.#renew(token, signal) : undefined;
    if (renewed !== undefined) this.#token = renewed;
    // A token in a Secret has no other way: it is used until it ends, and a person replaces it.
    else if (this.#spec.auth.kubernetes !== undefined) this.#token = undefined;
    return this.#restMs(await this.#current(signal));
  }

  /** Ends everything that is under way. */
  close(): void {
    this.#closed.abort(new Error('the session is closed'));
    this.#api.close();
  }

  #restMs({ fromMs, lifeMs }: Token): number {
    const leftMs = fromMs + lifeMs / 2 - this.#deps.clock.now().getTime();
    return Math.min(longestRestMs, Math.max(1_000, leftMs));
  }

  async #current(signal: AbortSignal): Promise<Token> {
    const token = this.#token;
    const nowMs = this.#deps.clock.now().getTime();
    if (token !== undefined && nowMs < token.fromMs + token.lifeMs && this.#isStillMeant(token)) return token;
    // Not with the signal of the first who asks: others wait for the same login.
    this.#opening ??= this.#login(this.#closed.signal).finally(() => (this.#opening = undefined));
    this.#token = await orAborted(this.#opening, signal);
    return this.#token;
  }

  #isStillMeant({ value }: Token): boolean {
    const { tokenSecretRef } = this.#spec.auth;
    return tokenSecretRef === undefined || this.#deps.credentials.secretValue(tokenSecretRef) === value;
  }

  #login(signal: AbortSignal): Promise<Token> {
    const { kubernetes, tokenSecretRef } = this.#spec.auth;
    if (kubernetes !== undefined) return this.#byServiceAccount(kubernetes, signal);
    if (tokenSecretRef !== undefined)
      return this.#fromSecret(this.#deps.credentials.secretValue(tokenSecretRef), signal);
    return Promise.reject(new IssuerError('SpecInvalid', 'auth names neither kubernetes nor tokenSecretRef'));
  }

  async #byServiceAccount(
    { role, mountPath = defaultMount, audience = defaultAudience }: NonNullable<VaultServer['auth']['kubernetes']>,
    signal: AbortSignal,
  ): Promise<Token> {
    const jwt = await this.#deps.credentials.serviceAccountToken(audience);
    const path = `auth/${segmentsOf('auth mount', mountPath).join('/')}/login`;
    // The login method answers a wrong account or audience with 500.
    const reply = await this.#api.call({ method: 'POST', path, body: { role, jwt }, takes500: true }, signal);
    if (reply.status === 404)
      throw new IssuerError('NotFound', `there is no auth method at ${path}${suffix(reply.said)}`);
    if (reply.status !== 200) {
      throw new IssuerError(
        'Unauthorized',
        `login as role "${role}" was refused (HTTP ${reply.status})${suffix(reply.said)}`,
      );
    }
    return this.#tokenFrom(reply, undefined);
  }

  async #fromSecret(value: string, signal: AbortSignal): Promise<Token> {
    const reply = await this.#api.call({ ...lookupSelf, token: value }, signal);
    if (reply.status !== 200) {
      throw new IssuerError(
        'Unauthorized',
        `the token in the Secret is refused (HTTP ${reply.status})${suffix(reply.said)}`,
      );
    }
    const { ttl, renewable } = membersOf(reply.body['data']);
    const lifeMs = lifeOf(ttl);
    return { value, renewable: renewable === true, fromMs: this.#deps.clock.now().getTime(), lifeMs, fullMs: lifeMs };
  }

  /** Undefined when it cannot live on. */
  async #renew(token: Token, signal: AbortSignal): Promise<Token | undefined> {
    const call = { method: 'POST', path: 'auth/token/renew-self', body: {}, token: token.value } as const;
    const reply = await this.#api.call(call, signal);
    if (reply.status !== 200) return undefined;
    const renewed = this.#tokenFrom(reply, token);
    return renewed.lifeMs < token.fullMs / 2 && this.#spec.auth.kubernetes !== undefined ? undefined : renewed;
  }

  #tokenFrom({ body }: VaultReply, before: Token | undefined): Token {
    const auth = membersOf(body['auth']);
    const { client_token: value, lease_duration: ttl, renewable } = auth;
    if (typeof value !== 'string' || value === '')
      throw new IssuerError('BadAnswer', 'the login answered without a token');
    const lifeMs = lifeOf(ttl);
    const fullMs = before?.fullMs ?? lifeMs;
    return { value, renewable: renewable === true, fromMs: this.#deps.clock.now().getTime(), lifeMs, fullMs };
  }
}

/** Seconds as Vault states them; 0 = without end. */
function lifeOf(ttl: unknown): number {
  return typeof ttl === 'number' && ttl > 0 ? ttl * 1_000 : Number.POSITIVE_INFINITY;
}

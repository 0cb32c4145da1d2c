// Issuer `vault`: has leaves signed by the PKI engine of HashiCorp Vault or OpenBao. The key never leaves this process; what comes back is
// judged before it is used. It looks after its token and its CA by itself, so that a Vault that was away, sealed or refused us is used
// again as soon as it answers, whatever back-off an order is in.
import { annotations } from '../../../lib/api/contract.ts';
import type { TLSIssuer, VaultIssuerSpec } from '../../../lib/api/tlsissuer.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { Store } from '../../../lib/kube/store.ts';
import { createRequest } from '../../../lib/pki/csr.ts';
import { formatIdentity } from '../../../lib/pki/identity.ts';
import type { Logger } from '../../../lib/runtime/logger.ts';
import type { IssuerState, KeylessOrder, LeafOrder, RunningIssuer, SignedLeaf } from '../issuer.ts';
import { judgeLeaf } from '../judge.ts';
import { IssuerError } from '../problem.ts';
import type { RevokedLeaf, Revoking } from '../revoke.ts';
import { type Followers, Staging, type UpstreamAuthority } from '../staging.ts';
import { Watchman } from '../watchman.ts';
import type { Credentials } from './credentials.ts';
import { PkiEngine } from './pki.ts';
import { VaultSession } from './session.ts';

/** What an issuer of this kind works with. */
export interface VaultDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly credentials: Credentials;
  readonly followers: Followers;
  /** The TLSIssuers as they are now: annotations change without a new issuer. */
  readonly issuers: Pick<Store<TLSIssuer>, 'get'>;
  readonly userAgent: string;
  /** To be called when what `state` says may have changed. */
  readonly changed: () => void;
  /** How often the CA and the right to sign are looked at when all is well; 15 s by default. */
  readonly checkMs?: number;
}

/** How often the CA and the right to sign are looked at: when all is well, and while a CA comes or goes. */
const checkMs = 15_000;
const movingMs = 2_000;

/** The issuer for a TLSIssuer of kind vault. It is made anew when the spec changes. */
export function createVaultIssuer(object: TLSIssuer, deps: VaultDeps): RunningIssuer {
  const { vault } = object.spec;
  if (vault === undefined) throw new TypeError(`TLSIssuer ${object.metadata.name} is not of kind vault`);
  return new VaultIssuer(object, vault, deps);
}

class VaultIssuer implements RunningIssuer, Revoking {
  readonly #name: string;
  readonly #spec: VaultIssuerSpec;
  readonly #deps: VaultDeps;
  readonly #session: VaultSession;
  readonly #staging: Staging;
  readonly #watchman: Watchman;
  readonly #isPaused: boolean;
  #engine: PkiEngine | undefined;

  constructor({ metadata: { name }, spec, status }: TLSIssuer, vault: VaultIssuerSpec, deps: VaultDeps) {
    this.#name = name;
    this.#spec = vault;
    this.#deps = deps;
    this.#isPaused = spec.rotation?.paused === true;
    this.#session = new VaultSession(vault, deps);
    this.#staging = new Staging(name, status);
    this.#watchman = new Watchman(name, this.#staging, deps);
  }

  state(now: Date): IssuerState {
    return this.#watchman.state(now);
  }

  sign(order: LeafOrder, signal: AbortSignal): Promise<SignedLeaf> {
    const { identity, dnsNames, privateKey } = order;
    const names = { uris: [formatIdentity(identity)], dnsNames, ipAddresses: [] };
    return this.#signed({ ...order, request: createRequest(names, privateKey) }, signal);
  }

  /** The request names nothing: it takes a role that takes names from what is sent with it (`use_csr_sans=false`). */
  signFor(order: KeylessOrder, signal: AbortSignal): Promise<SignedLeaf> {
    return this.#signed(order, signal);
  }

  /** The token's policy needs `update` on <path>/revoke. */
  async revoke(leaf: RevokedLeaf, signal: AbortSignal): Promise<undefined> {
    try {
      await this.#engineOnce().revoke(leaf, signal);
    } catch (error) {
      if (!(error instanceof IssuerError) || error.reason !== 'Forbidden') throw error;
      const detail = `the token may not revoke: let its policy grant update on ${this.#spec.path}/revoke`;
      throw new IssuerError('NotRevoked', detail, { cause: error });
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    try {
      await this.#watchman.run((stop) => this.#look(stop), signal);
    } finally {
      this.#session.close();
    }
  }

  /** Looks at everything that signing needs; how long until the next look. */
  async #look(signal: AbortSignal): Promise<number> {
    const { clock, followers, issuers } = this.#deps;
    const engine = this.#engineOnce();
    const tokenMs = await this.#session.keep(signal);
    const { mayReadRole } = await this.#rights(engine, signal);
    const offered = await engine.authority(mayReadRole, signal);
    const distrusted = issuers.get(this.#name)?.metadata.annotations?.[annotations.distrustNow]?.toLowerCase() ?? '';
    if (offered.fingerprint !== distrusted) this.#staging.offer(offered);
    this.#staging.advance(clock.now(), followers, { paused: this.#isPaused, distrusted });
    if (offered.fingerprint === distrusted) {
      throw new IssuerError('AuthorityUnusable', `Vault signs with the CA ${distrusted}, which is distrusted`);
    }
    const { checkMs: settledMs = checkMs } = this.#deps;
    return Math.min(tokenMs, settledMs, this.#staging.isMoving ? movingMs : settledMs);
  }

  async #rights(engine: PkiEngine, signal: AbortSignal): ReturnType<PkiEngine['rights']> {
    try {
      return await engine.rights(signal);
    } catch (error) {
      // A policy that was changed since is in the next token.
      if (error instanceof IssuerError && error.reason === 'Forbidden') this.#session.forget();
      throw error;
    }
  }

  async #signed(order: KeylessOrder, signal: AbortSignal): Promise<SignedLeaf> {
    try {
      return await this.#sign(order, signal);
    } catch (error) {
      if (error instanceof IssuerError) this.#watchman.failed(error);
      throw error;
    }
  }

  async #sign(order: KeylessOrder, signal: AbortSignal): Promise<SignedLeaf> {
    const { active, next, waitingFor } = this.#staging;
    if (active === undefined) {
      const detail =
        next === undefined
          ? 'the CA is not known yet'
          : `not every peer trusts its CA yet: ${waitingFor[0] ?? 'a look is due'}`;
      throw new IssuerError('AuthorityChanging', detail);
    }
    const pem = await this.#signedBy(active, next, order, signal);
    const { members } = this.#staging.bundle();
    const now = this.#deps.clock.now();
    const judged = judgeLeaf({ pem, order, intermediates: active.path, anchors: members, now });
    // A CA that is only announced: some peer may not trust it yet.
    if (judged.keyId !== active.keyId && !active.anchors.some((each) => judged.anchor === each.fingerprint)) {
      throw new IssuerError(
        'AuthorityChanging',
        `Vault signed with a CA that not every peer trusts yet: ${waitingFor[0] ?? 'a look is due'}`,
      );
    }
    if (judged.keyId !== active.keyId) this.#watchman.lookSoon();
    return judged.leaf;
  }

  /** While another CA waits to be trusted, Vault is asked to sign with the one before, if our policy lets us choose. */
  async #signedBy(
    active: UpstreamAuthority,
    next: UpstreamAuthority | undefined,
    order: KeylessOrder,
    signal: AbortSignal,
  ): Promise<string> {
    const engine = this.#engineOnce();
    if (next === undefined || active.id === undefined) return engine.sign(order, undefined, signal);
    try {
      return await engine.sign(order, active.id, signal);
    } catch (error) {
      if (!(error instanceof IssuerError) || (error.reason !== 'Forbidden' && error.reason !== 'NotFound')) throw error;
      return engine.sign(order, undefined, signal);
    }
  }

  #engineOnce(): PkiEngine {
    this.#engine ??= new PkiEngine(this.#session, this.#spec);
    return this.#engine;
  }
}

// Issuer `acme`: orders every certificate from an ACME server (RFC 8555). What it signs has DNS names alone: it is for callers from
// outside of the mesh, and no sidecar takes it for an identity. Orders of one issuer run side by side, its account is kept by one.

import type { AcmeIssuerSpec, AcmeSolver, TLSIssuer } from '../../../lib/api/tlsissuer.ts';
import type { Clock } from '../../../lib/clock.ts';
import { messageOf } from '../../../lib/errors.ts';
import type { KubeClient } from '../../../lib/kube/client.ts';
import type { Store } from '../../../lib/kube/store.ts';
import { parseCertificates } from '../../../lib/pki/bundle.ts';
import { createRequest } from '../../../lib/pki/csr.ts';
import { Backoff } from '../../../lib/runtime/backoff.ts';
import type { Logger } from '../../../lib/runtime/logger.ts';
import { orAborted } from '../../../lib/runtime/signals.ts';
import type { AuditTrail } from '../../audit/audit.ts';
import { Gate } from '../gate.ts';
import type { IssuerState, LeafOrder, RunningIssuer, SignedLeaf } from '../issuer.ts';
import type { Renewal, RenewalAdvice } from '../renewal.ts';
import type { RevokedLeaf, Revoking, Unrevocable } from '../revoke.ts';
import { type Account, AccountKeeper, rotateReason } from './account.ts';
import { certificateId, lookAgainMs, momentIn, parseWindow } from './ari.ts';
import { judgeChain } from './chain.ts';
import type { ChallengeDesk } from './desk.ts';
import { Rfc2136Solver } from './dns01.ts';
import { type AcmeTransport, httpsTransport } from './http.ts';
import { collectChain, type OrderRequest, placeOrder } from './order.ts';
import { AcmeError } from './problem.ts';
import { revokeAt } from './revoke.ts';
import { AcmeSession } from './session.ts';
import { SidecarSolver } from './sidecars.ts';
import { challengeTypeOf, type Solver } from './solvers.ts';

/** What an issuer of this kind works with. */
export interface AcmeDeps {
  readonly client: Pick<KubeClient, 'get' | 'create' | 'patch'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly audit: AuditTrail;
  /** Tabard's own namespace. */
  readonly namespace: string;
  readonly issuers: Pick<Store<TLSIssuer>, 'get'>;
  /** Has sidecars answer challenges. */
  readonly challenges: ChallengeDesk;
  readonly userAgent: string;
  /** Called when `state` may say something else than before. */
  readonly changed: () => void;
}

/** How often the server and the account are looked at when all is well, and how often the annotation is. */
const checkMs = 3_600_000;
const annotationMs = 5_000;
const retry = { initialMs: 2_000, maxMs: 300_000 };
/** What an order fails with that every other order would fail with, too. */
const serverTrouble: ReadonlySet<string> = new Set(['Unreachable', 'ServerFailed', 'BadAnswer']);
/** Orders whose names are being proved at once; the others wait for their turn, and nobody for them. */
const mostAtOnce = 8;
/** An ACME server states no end of its CA; leaves have their own. */
const noEnd = new Date(Date.UTC(9999, 0, 1));

type NotReady = Extract<IssuerState, { ready: false }>;

/** The issuer for a TLSIssuer of kind acme. It is made anew when the spec changes. */
export function createAcmeIssuer(object: TLSIssuer, deps: AcmeDeps): RunningIssuer & RenewalAdvice & Revoking {
  const { acme } = object.spec;
  if (acme === undefined) throw new TypeError(`TLSIssuer ${object.metadata.name} is not of kind acme`);
  return new AcmeIssuer(object.metadata.name, acme, deps);
}

class AcmeIssuer implements RunningIssuer, RenewalAdvice, Revoking {
  readonly slow = true;
  readonly #name: string;
  readonly #spec: AcmeIssuerSpec;
  readonly #deps: AcmeDeps;
  readonly #transport: AcmeTransport;
  readonly #session: AcmeSession;
  readonly #accounts: AccountKeeper;
  readonly #gate = new Gate(mostAtOnce);
  readonly #closed = new AbortController();
  #opening: Promise<Account> | undefined;
  /** Reason of the last replacement of the account key that needs no further look. */
  #rotated: string | undefined;
  /** An order met a server that is away or fails: it is looked at without waiting for the hour. */
  #isSuspect = false;
  #fault: NotReady | undefined = notReady('Starting', 'its ACME account was not looked up yet');

  constructor(name: string, spec: AcmeIssuerSpec, deps: AcmeDeps) {
    this.#name = name;
    this.#spec = spec;
    this.#deps = deps;
    const { clock, client, logger, namespace, userAgent } = deps;
    const trust = spec.caBundle === undefined ? undefined : Buffer.from(spec.caBundle, 'base64').toString('utf8');
    this.#transport = httpsTransport({ clock, userAgent, trust });
    this.#session = new AcmeSession({ server: spec.server, transport: this.#transport, clock });
    this.#accounts = new AccountKeeper({ session: this.#session, client, logger, namespace, issuer: name, spec });
  }

  state(): IssuerState {
    return (
      this.#fault ?? {
        ready: true,
        keyId: undefined,
        mesh: false,
        notAfter: noEnd,
        trustBundle: '',
        bundleFingerprint: '',
      }
    );
  }

  async sign(order: LeafOrder, signal: AbortSignal): Promise<SignedLeaf> {
    try {
      return await this.#order(order, signal);
    } catch (error) {
      this.#isSuspect ||= error instanceof AcmeError && serverTrouble.has(error.reason);
      if (!(error instanceof AcmeError) || error.reason !== 'AccountMissing') throw error;
      // The server lost the account, or somebody replaced the Secret: found or registered anew, once.
      this.#accounts.forget();
      return await this.#order(order, signal);
    }
  }

  async revoke(leaf: RevokedLeaf, signal: AbortSignal): Promise<Unrevocable | undefined> {
    const signer = await this.#account(signal);
    return revokeAt({ session: this.#session, signer }, leaf, signal);
  }

  async renewal(chain: string, signal: AbortSignal): Promise<Renewal | undefined> {
    const { renewalInfo } = await this.#session.directory(signal);
    const [leaf] = parseCertificates(chain);
    const id = leaf === undefined ? undefined : certificateId(leaf);
    if (renewalInfo === undefined || leaf === undefined || id === undefined) return undefined;
    const reply = await this.#session.get('renewal information', `${renewalInfo.replace(/\/$/, '')}/${id}`, signal);
    const window = parseWindow(reply.object());
    if (window === undefined) throw new AcmeError('BadAnswer', "the ACME server's renewal information has no window");
    const { explanation } = window;
    const at = momentIn(window, leaf.serialNumber);
    const advice = { renewAt: at, againMs: lookAgainMs(reply.retryAfterMs) };
    return explanation === undefined ? advice : { ...advice, explanation };
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    const backoff = new Backoff(retry);
    let dueMs = 0;
    try {
      while (!signal.aborted) {
        const nowMs = clock.now().getTime();
        const reason = rotateReason(this.#deps.issuers.get(this.#name)?.metadata.annotations);
        const isNews = this.#isSuspect || reason !== this.#rotated;
        if (nowMs >= dueMs || (this.#fault === undefined && isNews)) {
          dueMs = clock.now().getTime() + (await this.#check(reason, backoff, signal));
        }
        await clock.sleep(Math.min(annotationMs, Math.max(1, dueMs - clock.now().getTime())), signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#closed.abort(new Error('the issuer is closed'));
      this.#transport.close();
    }
  }

  /** Looks the account up and replaces its key if that is asked for; how long until the next look. */
  async #check(reason: string | undefined, backoff: Backoff, signal: AbortSignal): Promise<number> {
    this.#isSuspect = false;
    try {
      this.#session.forget();
      this.#accounts.forget();
      await this.#account(signal);
      await this.#deps.challenges.sweep(signal);
      this.#becomes(undefined);
      if (reason !== undefined && reason !== this.#rotated) await this.#rollOver(reason, signal);
      this.#rotated = reason;
      backoff.reset();
      return checkMs;
    } catch (error) {
      signal.throwIfAborted();
      const why = error instanceof AcmeError ? error.reason : 'AccountFailed';
      this.#becomes(notReady(why, messageOf(error)));
      const waitMs = error instanceof AcmeError ? (error.retryAfterMs ?? 0) : 0;
      this.#deps.logger.warn({ issuer: this.#name, why, err: error }, 'acme issuer not ready');
      return Math.max(backoff.next(), waitMs);
    }
  }

  #becomes(fault: NotReady | undefined): void {
    const same = fault?.message === this.#fault?.message;
    this.#fault = fault;
    if (!same) this.#deps.changed();
  }

  async #rollOver(reason: string, signal: AbortSignal): Promise<void> {
    const changed = await this.#accounts.rollOver(reason, signal);
    if (!changed) return;
    this.#deps.audit.record({
      action: 'AccountKeyChanged',
      askedBy: [`TLSIssuer ${this.#name}`],
      reason,
      issuer: this.#name,
    });
  }

  async #order(order: LeafOrder, signal: AbortSignal): Promise<SignedLeaf> {
    const { clock, logger } = this.#deps;
    const { dnsNames, privateKey, publicKey, identity, replaces, waits = () => undefined } = order;
    if (dnsNames.length === 0) throw new AcmeError('NameRefused', 'a certificate of an ACME server needs a DNS name');
    const signer = await this.#account(signal);
    const solver = (settings: AcmeSolver): Solver => this.#solver(settings, identity);
    const request: OrderRequest = {
      dnsNames,
      csr: createRequest({ uris: [], dnsNames, ipAddresses: [] }, privateKey),
      profile: this.#spec.profile,
      replaces: await this.#nameOf(replaces, signal),
    };
    const deps = { session: this.#session, clock, logger, signer, solvers: this.#spec.solvers, solver };
    waits(`the ACME server is asked for ${dnsNames.join(', ')}`);
    const placed = await this.#gate.through(() => placeOrder(deps, request, signal), signal);
    const pem = await collectChain(deps, placed, { waits, signal });
    return judgeChain(pem, { key: publicKey, dnsNames, now: clock.now() });
  }

  /** ARI's name of the certificate that is replaced, where the server knows such names. */
  async #nameOf(chain: string | undefined, signal: AbortSignal): Promise<string | undefined> {
    if (chain === undefined) return undefined;
    const { renewalInfo } = await this.#session.directory(signal);
    const [leaf] = parseCertificates(chain);
    return renewalInfo === undefined || leaf === undefined ? undefined : certificateId(leaf);
  }

  /** Everybody who needs the account at the same time waits for the one look at it, which is given up by none of them. */
  #account(signal: AbortSignal): Promise<Account> {
    this.#opening ??= this.#accounts.ready(this.#closed.signal).finally(() => (this.#opening = undefined));
    return orAborted(this.#opening, signal);
  }

  #solver(settings: AcmeSolver, service: { readonly namespace: string; readonly service: string }): Solver {
    const { clock, client, namespace, challenges } = this.#deps;
    if (settings.dns01 !== undefined)
      return new Rfc2136Solver({ clock, client, namespace, settings: settings.dns01.rfc2136 });
    const type = challengeTypeOf(settings);
    if (type === 'http-01' || type === 'tls-alpn-01')
      return new SidecarSolver({ desk: challenges, clock, service, type });
    throw new AcmeError('NoSolver', 'a solver of the TLSIssuer is of no kind');
  }
}

function notReady(fault: string, message: string): NotReady {
  return { ready: false, reason: 'IssuerNotReady', fault, message };
}

// The life of an issuer that depends on a server elsewhere: looks at it again and again, faster after a failure and at once when an order
// has failed, remembers what is wrong as long as it is, and tells when that changed.
import type { RotationStatus, TLSIssuerStatus } from '../../lib/api/tlsissuer.ts';
import type { Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import { Backoff } from '../../lib/runtime/backoff.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { IssuerState } from './issuer.ts';
import { IssuerError, type IssuerReason } from './problem.ts';

/** The CAs of an issuer, kept up to date by the looks. */
export interface WatchedAuthorities {
  /** Undefined while none is known; a key id only where one CA alone signs. */
  current(): { readonly keyId: string | undefined; readonly notAfter: Date } | undefined;
  bundle(): { readonly trustBundle: string; readonly bundleFingerprint: string };
  authorities(): NonNullable<TLSIssuerStatus['authorities']>;
  rotation(): RotationStatus;
}

/** What a watchman works with. */
export interface WatchmanDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly changed: () => void;
}

type Fault = { readonly reason: IssuerReason; readonly message: string };

/** After a failure. A server that is back is used within half a minute. */
const retry = { initialMs: 1_000, maxMs: 30_000 };

/** Longest time that a server can send us away for. */
const longestMs = 300_000;
/** Between two looks at least, whatever orders say. */
const leastMs = 500;

/** Watches over one issuer. */
export class Watchman {
  readonly #name: string;
  readonly #authorities: WatchedAuthorities | undefined;
  readonly #deps: WatchmanDeps;
  #fault: Fault | undefined = { reason: 'NotChecked', message: 'it was not looked at yet' };
  #said = '';
  #poke = Promise.withResolvers<void>();

  /** Without authorities every look is expected to reject. */
  constructor(name: string, authorities: WatchedAuthorities | undefined, deps: WatchmanDeps) {
    this.#name = name;
    this.#authorities = authorities;
    this.#deps = deps;
  }

  /** What is known: a fault, or the CAs that the looks have found. */
  state(now: Date): IssuerState {
    if (this.#fault !== undefined) return notReady(this.#fault);
    const authorities = this.#authorities;
    const ca = authorities?.current();
    if (authorities === undefined || ca === undefined)
      return notReady({ reason: 'NotChecked', message: 'its CA is not known yet' });
    if (now >= ca.notAfter) {
      return notReady({ reason: 'AuthorityUnusable', message: `its CA ended at ${ca.notAfter.toISOString()}` });
    }
    const { trustBundle, bundleFingerprint } = authorities.bundle();
    return {
      ready: true,
      keyId: ca.keyId,
      notAfter: ca.notAfter,
      trustBundle,
      bundleFingerprint,
      mesh: true,
      authorities: authorities.authorities(),
      rotation: authorities.rotation(),
    };
  }

  /** An order failed: what concerns all others is known from now on, and looked at again soon. */
  failed(error: IssuerError): void {
    if (error.concernsAll) this.#set({ reason: error.reason, message: error.message });
    if (error.concernsAll || error.reason === 'AuthorityChanging' || error.reason === 'CertificateNotAsAsked') {
      this.lookSoon();
    }
  }

  /** Looks at once, unless it is failing already. */
  lookSoon(): void {
    this.#poke.resolve();
  }

  /** Looks until the signal is aborted. `look` resolves with the time until the next one, milliseconds, and rejects with what is wrong. */
  async run(look: (signal: AbortSignal) => Promise<number>, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(retry);
    while (!signal.aborted) {
      this.#poke = Promise.withResolvers();
      const waitMs = await this.#once(look, backoff, signal);
      if (waitMs !== undefined) await this.#rest(waitMs, backoff.failures > 0, signal);
    }
  }

  /** Undefined when it was told to stop. */
  async #once(
    look: (signal: AbortSignal) => Promise<number>,
    backoff: Backoff,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    try {
      const waitMs = await look(signal);
      backoff.reset();
      this.#set(undefined);
      return waitMs;
    } catch (error) {
      if (signal.aborted) return undefined;
      const known = error instanceof IssuerError;
      this.#set({ reason: known ? error.reason : 'ServerFailed', message: messageOf(error) });
      return Math.max(backoff.next(), Math.min(longestMs, known ? (error.retryAfterMs ?? 0) : 0));
    }
  }

  async #rest(ms: number, failing: boolean, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const timer = new AbortController();
    const stop = (): void => timer.abort();
    signal.addEventListener('abort', stop, { once: true });
    const slept = this.#deps.clock.sleep(ms, timer.signal).catch(() => undefined);
    const early = this.#deps.clock.sleep(Math.min(ms, leastMs), timer.signal).then(
      () => this.#poke.promise,
      () => undefined,
    );
    // A failing server is not asked more often because orders fail.
    await (failing ? slept : Promise.race([slept, early]));
    timer.abort();
    signal.removeEventListener('abort', stop);
  }

  #set(fault: Fault | undefined): void {
    const { logger, changed } = this.#deps;
    const turned = fault?.reason !== this.#fault?.reason;
    this.#fault = fault;
    if (turned && fault === undefined) logger.info({ issuer: this.#name }, 'issuer ready');
    if (turned && fault !== undefined) {
      logger.warn({ issuer: this.#name, reason: fault.reason, detail: fault.message }, 'issuer not ready');
    }
    // Not who exactly is waited for: everybody who listens looks at every certificate again.
    const rotation = this.#authorities?.rotation();
    const said = JSON.stringify([fault, this.#authorities?.authorities(), rotation?.phase, rotation?.waitingCount]);
    if (said !== this.#said) changed();
    this.#said = said;
  }
}

function notReady({ reason, message }: Fault): IssuerState {
  return { ready: false, reason: 'IssuerNotReady', message, fault: reason };
}

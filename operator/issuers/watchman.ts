// The life of an issuer that depends on a server elsewhere: looks at it again and again, faster after a failure and at once when an order
// has failed, remembers what is wrong as long as it is, and tells when that changed.
import type { Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import { Backoff } from '../../lib/runtime/backoff.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { IssuerState } from './issuer.ts';
import { IssuerError, type IssuerReason } from './problem.ts';
import type { Staging } from './staging.ts';

export interface WatchmanDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly changed: () => void;
}

type Fault = { readonly reason: IssuerReason; readonly message: string };

/** After a failure. A server that is back is used within half a minute. */
const retry = { initialMs: 1_000, maxMs: 30_000 };

/** Between two looks at least, whatever orders say. */
const leastMs = 500;

/** Watches over one issuer. */
export class Watchman {
  readonly #name: string;
  readonly #staging: Staging;
  readonly #deps: WatchmanDeps;
  #fault: Fault | undefined = { reason: 'NotChecked', message: 'it was not looked at yet' };
  #said = '';
  #poke = Promise.withResolvers<void>();

  /** The looks keep `staging` up to date. */
  constructor(name: string, staging: Staging, deps: WatchmanDeps) {
    this.#name = name;
    this.#staging = staging;
    this.#deps = deps;
  }

  /** What is known: a fault, or the CAs that the looks have found. */
  state(now: Date): IssuerState {
    if (this.#fault !== undefined) return notReady(this.#fault);
    const ca = this.#staging.active ?? this.#staging.next;
    if (ca === undefined) return notReady({ reason: 'NotChecked', message: 'its CA is not known yet' });
    if (now >= ca.notAfter) {
      return notReady({ reason: 'AuthorityUnusable', message: `its CA ended at ${ca.notAfter.toISOString()}` });
    }
    const { trustBundle, bundleFingerprint } = this.#staging.bundle();
    return {
      ready: true,
      keyId: ca.keyId,
      notAfter: ca.notAfter,
      trustBundle,
      bundleFingerprint,
      mesh: true,
      authorities: this.#staging.authorities(),
      rotation: this.#staging.rotation(),
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
      return Math.max(backoff.next(), known ? (error.retryAfterMs ?? 0) : 0);
    }
  }

  async #rest(ms: number, failing: boolean, signal: AbortSignal): Promise<void> {
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
    const { phase, waitingCount } = this.#staging.rotation();
    const said = JSON.stringify([fault, this.#staging.authorities(), phase, waitingCount]);
    if (said !== this.#said) changed();
    this.#said = said;
  }
}

function notReady({ reason, message }: Fault): IssuerState {
  return { ready: false, reason: 'IssuerNotReady', message, fault: reason };
}

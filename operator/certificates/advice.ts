// When CAs want certificates to be renewed, asked as often as they say (RFC 9773 section 4.3) and remembered in between. That a CA
// cannot be asked is no reason for anything: the moment that was known holds on, and without one the policy's.
import type { Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import { fingerprint, parseCertificates } from '../../lib/pki/bundle.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { Issuer, IssuerState } from '../issuers/issuer.ts';
import { advisesRenewal } from '../issuers/renewal.ts';

interface Known {
  /** Of the leaf that it is about. */
  readonly fingerprint: string;
  readonly renewAt: Date | undefined;
  readonly againMs: number;
}

/** After a failure. */
const retryMs = 3_600_000;
/** An issuer that gives no advice may do so after an upgrade of its server. */
const silentMs = 24 * 3_600_000;
/** A service must not hold up others for a server that does not answer. */
const askMs = 15_000;

/** Advice by `<namespace>/<service>`. */
export class Advice {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #known = new Map<string, Known>();

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /** When the CA wants the leaf of a chain to be renewed; undefined when it does not say. */
  async of(
    key: string,
    { chain, issuer }: { readonly chain: string; readonly issuer: Issuer | Extract<IssuerState, { ready: false }> },
    signal: AbortSignal,
  ): Promise<Date | undefined> {
    const [leaf] = parseCertificates(chain);
    const print = leaf === undefined ? '' : fingerprint(leaf);
    const nowMs = this.#clock.now().getTime();
    const known = this.#known.get(key);
    const current = known?.fingerprint === print ? known : undefined;
    if (current !== undefined && nowMs < current.againMs) return current.renewAt;
    const next = await this.#ask(key, { chain, issuer, before: current?.renewAt }, signal);
    this.#known.set(key, { fingerprint: print, renewAt: next.renewAt, againMs: nowMs + next.waitMs });
    return next.renewAt;
  }

  /** What the CA said last; undefined when it said nothing. */
  kept(key: string): Date | undefined {
    return this.#known.get(key)?.renewAt;
  }

  /** The service has no such certificate any more. */
  forget(key: string): void {
    this.#known.delete(key);
  }

  /** When the CA is to be asked again, milliseconds; undefined when it was never. */
  dueMs(key: string): number | undefined {
    return this.#known.get(key)?.againMs;
  }

  async #ask(
    key: string,
    of: {
      readonly chain: string;
      readonly issuer: Issuer | Extract<IssuerState, { ready: false }>;
      readonly before: Date | undefined;
    },
    signal: AbortSignal,
  ): Promise<{ readonly renewAt: Date | undefined; readonly waitMs: number }> {
    const { chain, issuer, before } = of;
    // A CA that is away has not taken back what it said.
    if ('ready' in issuer) return { renewAt: before, waitMs: retryMs };
    if (!advisesRenewal(issuer)) return { renewAt: undefined, waitMs: silentMs };
    try {
      const advice = await issuer.renewal(chain, AbortSignal.any([signal, AbortSignal.timeout(askMs)]));
      if (advice === undefined) return { renewAt: undefined, waitMs: silentMs };
      const { renewAt, againMs, explanation } = advice;
      if (renewAt.getTime() !== before?.getTime()) {
        this.#logger.info({ service: key, renewAt: renewAt.toISOString(), explanation }, 'the CA says when to renew');
      }
      return { renewAt, waitMs: againMs };
    } catch (error) {
      signal.throwIfAborted();
      this.#logger.warn({ service: key, why: messageOf(error) }, 'the CA could not be asked when to renew');
      return { renewAt: before, waitMs: retryMs };
    }
  }
}

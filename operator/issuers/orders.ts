// Orders at issuers that may keep them for long: a person has to approve, a CA takes its time. Such an order goes on by itself, with its key
// pair in the memory of this process alone; whoever ordered goes away, is called when the order has come to an end, and fetches the
// leaf then. What is no longer wanted is given up, and so is everything when the process stops: the next leader orders anew (docs/adr/0020).
import type { KeyObject } from 'node:crypto';
import type { Clock } from '../../lib/clock.ts';
import { AppError } from '../../lib/errors.ts';
import type { Issuer, IssuerState, LeafOrder, SignedLeaf } from './issuer.ts';

/** What is ordered for one service. */
export interface OrderRequest {
  /** Name of the TLSIssuer. */
  readonly issuer: string;
  /** What is wanted, as a text: an order for something else is not gone on with. */
  readonly wanted: string;
  /** Makes the key pair and says what the leaf is to state. Called only where a new order is placed. */
  readonly make: () => Promise<LeafOrder>;
}

/** A leaf with the key that was made for it. */
export interface OrderedLeaf {
  readonly leaf: SignedLeaf;
  readonly privateKey: KeyObject;
}

/** An order that was placed and whose leaf nobody has fetched yet. */
export interface OpenOrder {
  readonly wanted: string;
  readonly since: Date;
  /** What it waits for, as a sentence. */
  readonly waitsFor: string;
  /** It has come to an end, a good or a bad one: fetching does not wait any more. */
  readonly settled: boolean;
}

/** What orders work with. */
export interface OrdersDeps {
  readonly clock: Clock;
  /** The issuer that a name means now. */
  readonly issuers: { named(name: string): Issuer | Extract<IssuerState, { ready: false }> };
  /** Called with the key of an order of which something new is known, or that has come to an end. */
  readonly changed: (key: string) => void;
}

interface Running extends Omit<OpenOrder, 'waitsFor' | 'settled'> {
  readonly issuerName: string;
  readonly issuer: Issuer;
  readonly stop: AbortController;
  readonly outcome: Promise<OrderedLeaf>;
  waitsFor: string;
  settled: boolean;
}

/** An order is stood by for so long: most are done by then. */
const patienceMs = 250;

/** Orders under way, one by service (`<namespace>/<service>`). */
export class OpenOrders {
  readonly #deps: OrdersDeps;
  readonly #running = new Map<string, Running>();

  constructor(deps: OrdersDeps) {
    this.#deps = deps;
  }

  /** The order that is under way for a service; an issuer that is not the same any more has taken it along. */
  of(key: string): OpenOrder | undefined {
    const running = this.#running.get(key);
    if (running === undefined) return undefined;
    if (this.#deps.issuers.named(running.issuerName) === running.issuer) return running;
    this.drop(key);
    return undefined;
  }

  /**
   * The leaf of the order that is under way for this, or of a new one; undefined when it takes longer, and `changed` will tell. Rejects
   * with what the order ended with; the next call places another.
   */
  async leaf(key: string, request: OrderRequest, signal: AbortSignal): Promise<OrderedLeaf | undefined> {
    const issuer = this.#deps.issuers.named(request.issuer);
    if ('ready' in issuer) throw new AppError('issuer_failed', issuer.message, { retryable: true });
    if (issuer.slow !== true) return ordered(issuer, await request.make(), signal);
    const running = this.#goingOn(key, request) ?? this.#place(key, request, issuer);
    if (!running.settled) await this.#standBy(running);
    signal.throwIfAborted();
    if (!running.settled) return undefined;
    if (this.#running.get(key) === running) this.#running.delete(key);
    return running.outcome;
  }

  /** Gives the order of a service up, if there is one. */
  drop(key: string): void {
    const running = this.#running.get(key);
    if (running === undefined) return;
    this.#running.delete(key);
    running.stop.abort(new AppError('issuer_failed', 'the certificate is no longer wanted'));
  }

  /** Gives everything up; resolves when nothing of it is left, here or at the signer as far as it could be reached. */
  async close(): Promise<void> {
    const all = [...this.#running];
    for (const [key] of all) this.drop(key);
    await Promise.allSettled(all.map(([, { outcome }]) => outcome));
  }

  #goingOn(key: string, { issuer, wanted }: OrderRequest): Running | undefined {
    const open = this.of(key) === undefined ? undefined : this.#running.get(key);
    if (open?.issuerName === issuer && open.wanted === wanted) return open;
    this.drop(key);
    return undefined;
  }

  #place(key: string, { issuer: issuerName, wanted, make }: OrderRequest, issuer: Issuer): Running {
    const { clock, changed } = this.#deps;
    const stop = new AbortController();
    const waits = (why: string): void => {
      if (running.waitsFor === why || this.#running.get(key) !== running) return;
      running.waitsFor = why;
      changed(key);
    };
    const outcome = make().then((order) => ordered(issuer, { ...order, waits }, stop.signal));
    const running: Running = {
      issuerName,
      issuer,
      wanted,
      since: clock.now(),
      waitsFor: 'the signer has not answered yet',
      settled: false,
      stop,
      outcome,
    };
    const settle = (): void => {
      running.settled = true;
      if (this.#running.get(key) === running) changed(key);
    };
    outcome.then(settle, settle);
    this.#running.set(key, running);
    return running;
  }

  /** Until it has come to an end, or for as long as that is usual. */
  async #standBy({ outcome }: Running): Promise<void> {
    const patience = Promise.withResolvers<void>();
    const callOff = this.#deps.clock.after(patienceMs, patience.resolve);
    await Promise.race([outcome.catch(() => undefined), patience.promise]);
    callOff();
  }
}

async function ordered(issuer: Issuer, order: LeafOrder, signal: AbortSignal): Promise<OrderedLeaf> {
  return { leaf: await issuer.sign(order, signal), privateKey: order.privateKey };
}

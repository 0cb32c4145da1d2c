// Every tunnel of this proxy, whichever side dialled: looked at for its life, ended when a certificate under it runs out or when what holds
// for its peer changes, and closed when the process stops. Streams are live connections of their own (relay/live.ts) and are judged there,
// too; a tunnel that may not go on takes all of its streams with it.
import type { Reason } from '../../lib/api/reasons.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import { type Place, placeText } from '../accesslog.ts';
import type { Direction, LiveFacts } from '../relay/live.ts';
import type { SessionEnd, TunnelSession } from './session.ts';

/** One tunnel, as whoever made it knows it. */
export interface LiveTunnel {
  /** The same on both sides: made from the keys of the TLS connection. */
  readonly id: string;
  readonly session: TunnelSession;
  readonly facts: LiveFacts;
  readonly place: Place;
  /** When the first of the two certificates ends, and the reason if it is reached. */
  readonly endMs: number;
  readonly endReason: Reason;
  /** Called with each look, after the registry's own. */
  look(nowMs: number): void;
}

const LOOK_EVERY_MS = 500;
/** How often an empty registry is looked at while the process waits for the last tunnel. */
const CLOSING_LOOK_MS = 20;

/** What the registry needs. */
export interface RegistryDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  /** A tunnel has ended. */
  onEnd(direction: Direction, end: SessionEnd): void;
}

/** The set of tunnels. */
export class TunnelRegistry {
  readonly #deps: RegistryDeps;
  readonly #tunnels = new Set<LiveTunnel>();

  constructor(deps: RegistryDeps) {
    this.#deps = deps;
  }

  /** How many there are in one direction. */
  count(direction: Direction): number {
    let count = 0;
    for (const { facts } of this.#tunnels) if (facts.direction === direction) count += 1;
    return count;
  }

  /** Watches a tunnel until `ended` is called for it. */
  add(tunnel: LiveTunnel): void {
    this.#tunnels.add(tunnel);
    this.#log('debug', tunnel, {}, 'tunnel stands');
  }

  /** Books the end of a tunnel. */
  ended(tunnel: LiveTunnel, end: SessionEnd): void {
    if (!this.#tunnels.delete(tunnel)) return;
    const { cause, reason, rule, streams } = end;
    const level = cause === 'violation' || rule !== undefined ? 'warn' : 'info';
    this.#log(level, tunnel, { cause, reason, rule, streams: streams === 0 ? undefined : streams }, 'tunnel ended');
    this.#deps.onEnd(tunnel.facts.direction, end);
  }

  /** Cuts every tunnel for which `judge` gives a reason. */
  enforce(judge: (facts: LiveFacts) => Reason | undefined): void {
    for (const { session, facts } of this.#tunnels) {
      const reason = judge(facts);
      if (reason !== undefined) session.cut(reason);
    }
  }

  /** Asks for no new streams: those that stand end in their own time. */
  retire(which: (tunnel: LiveTunnel) => boolean): void {
    for (const tunnel of this.#tunnels) if (which(tunnel)) tunnel.session.retire();
  }

  /** Looks at every tunnel twice a second, until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#deps.clock.sleep(LOOK_EVERY_MS, signal).catch(() => undefined);
      this.look();
    }
  }

  /** One look at every tunnel. */
  look(): void {
    const nowMs = this.#deps.clock.now().getTime();
    for (const tunnel of this.#tunnels) {
      tunnel.session.look();
      if (nowMs >= tunnel.endMs) tunnel.session.cut(tunnel.endReason);
      else tunnel.look(nowMs);
    }
  }

  /** Closes all that are left; resolves when their last bytes have gone out, or after `withinMs`. */
  async close(withinMs: number): Promise<void> {
    const closing = [...this.#tunnels];
    for (const { session } of closing) session.close();
    const end = performance.now() + withinMs;
    while (closing.some(({ session }) => !session.isGone) && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, CLOSING_LOOK_MS));
    }
  }

  #log(
    level: 'debug' | 'info' | 'warn',
    tunnel: LiveTunnel,
    more: object,
    message: 'tunnel stands' | 'tunnel ended',
  ): void {
    const { id, facts, place } = tunnel;
    const { direction, peer } = facts;
    this.#deps.logger[level](
      { tunnel: id, direction, remote: placeText(place), peer: peer?.identity, ...more },
      message,
    );
  }
}

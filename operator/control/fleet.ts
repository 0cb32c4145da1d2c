// All client connections: looks after them once a second, ends those whose pod or trust is gone, and sends them away one by one
// when the operator stops, so that the other replica is not asked by all at once.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../lib/clock.ts';
import type { Touched } from '../mesh/mesh.ts';
import type { PeerVerdict } from './peer.ts';
import type { ControlSession } from './session.ts';

/** Connections looked after before other events get their turn. */
const perTurn = 500;

/** The connections. */
export class Fleet {
  readonly #sessions = new Set<ControlSession>();
  readonly #byAddress = new Map<string, Set<ControlSession>>();

  add(session: ControlSession): void {
    this.#sessions.add(session);
    const { address } = session.caller;
    const siblings = this.#byAddress.get(address);
    if (siblings === undefined) this.#byAddress.set(address, new Set([session]));
    else siblings.add(session);
  }

  delete(session: ControlSession): void {
    this.#sessions.delete(session);
    const { address } = session.caller;
    const siblings = this.#byAddress.get(address);
    siblings?.delete(session);
    if (siblings?.size === 0) this.#byAddress.delete(address);
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** Follows the mesh: addresses may have changed hands. */
  touched({ addresses }: Touched): void {
    for (const address of addresses) {
      for (const session of this.#byAddress.get(address) ?? []) session.recheck();
    }
  }

  /** Judges every client again after a change of trust. */
  judgeAgain(judge: (session: ControlSession) => PeerVerdict): void {
    for (const session of this.#sessions) {
      const verdict = judge(session);
      if (!verdict.ok) session.end(verdict.reason, verdict.detail);
    }
  }

  /** Ticks every connection each second until the signal is aborted. */
  async run(clock: Clock, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await clock.sleep(1_000, signal).catch(() => undefined);
      let done = 0;
      for (const session of this.#sessions) {
        if (signal.aborted) return;
        session.tick(clock.now().getTime());
        done += 1;
        if (done % perTurn === 0) await nextTurn();
      }
    }
  }

  /** Sends all clients away, evenly over `drainMs`, and waits until they left or a second more has passed. */
  async drain(drainMs: number, clock: Clock, signal: AbortSignal): Promise<void> {
    const all = [...this.#sessions];
    const begunMs = clock.now().getTime();
    for (const [index, session] of all.entries()) {
      const aheadMs = (index / all.length) * drainMs - (clock.now().getTime() - begunMs);
      if (aheadMs >= 5) await clock.sleep(aheadMs, signal).catch(() => undefined);
      session.leave();
    }
    for (let waited = 0; waited < 1_000 && this.#sessions.size > 0 && !signal.aborted; waited += 50) {
      await clock.sleep(50, signal).catch(() => undefined);
    }
    for (const session of this.#sessions) session.destroy();
  }
}

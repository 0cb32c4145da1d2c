// The metrics of all workers as the admin port shows them. Each worker is asked when somebody asks; who does not answer soon is counted with
// what it said last, and who has ended with what it had counted by then, so that no counter ever goes back.
import type { Clock } from '../../lib/clock.ts';
import type { Metrics } from '../../lib/runtime/metrics.ts';
import type { Member } from './member.ts';
import { addFamilies, type Families, readFamilies, writeFamilies } from './sum.ts';

/** How long workers are waited for. */
const ANSWER_MS = 1_000;

/** Adds up. */
export class WorkerMetrics {
  readonly #own: Metrics;
  readonly #clock: Clock;
  readonly #members: () => readonly Member[];
  readonly #gone: Families = new Map();
  readonly #awaited = new Set<Member>();
  #all = Promise.withResolvers<void>();

  constructor(own: Metrics, clock: Clock, members: () => readonly Member[]) {
    this.#own = own;
    this.#clock = clock;
    this.#members = members;
  }

  /** Content type of `text`. */
  get contentType(): string {
    return this.#own.contentType;
  }

  /** A worker has answered. */
  told(member: Member, text: string): void {
    member.metrics = text;
    this.#arrived(member);
  }

  /** A worker has ended. */
  gone(member: Member): void {
    addFamilies(this.#gone, readFamilies(member.metrics), 'counted');
    this.#arrived(member);
  }

  /** All of it in the Prometheus text format. */
  async text(): Promise<string> {
    await this.#ask();
    const families = readFamilies(await this.#own.text());
    for (const { metrics } of this.#members()) addFamilies(families, readFamilies(metrics), 'all');
    addFamilies(families, this.#gone, 'counted');
    return writeFamilies(families);
  }

  async #ask(): Promise<void> {
    for (const member of this.#members()) {
      this.#awaited.add(member);
      member.send({ kind: 'ask' });
    }
    if (this.#awaited.size === 0) return;
    const done = new AbortController();
    await Promise.race([this.#all.promise, this.#clock.sleep(ANSWER_MS, done.signal).catch(() => undefined)]);
    done.abort();
  }

  #arrived(member: Member): void {
    this.#awaited.delete(member);
    if (this.#awaited.size > 0) return;
    this.#all.resolve();
    this.#all = Promise.withResolvers();
  }
}

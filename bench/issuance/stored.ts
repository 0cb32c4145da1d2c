// How many certificates lie in the API server, asked a few times a second. A watch of every write would cost the machine that is measured
// half a millisecond per certificate; one Secret and the number of those after it cost nothing.
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { text } from 'node:stream/consumers';
import type { ControlPlane } from '../../hack/cluster/api.ts';

/** The count at one moment (epoch milliseconds). */
export interface Sample {
  readonly atMs: number;
  readonly count: number;
}

const everyMs = 100;
/** No further certificate for so long: something stands still. */
const standstillMs = 60_000;

/** Counts the Secrets that come to those which are there. */
export class StoredCount {
  readonly #plane: ControlPlane;
  readonly #agent: Agent;
  #before = 0;
  /** Moments at which there were more than before. */
  readonly samples: Sample[] = [];

  private constructor(plane: ControlPlane) {
    this.#plane = plane;
    const [ca, cert, key] = [plane.ca, plane.clientCertificate, plane.clientKey].map((path) => readFileSync(path));
    this.#agent = new Agent({ keepAlive: true, maxSockets: 1, ca, cert, key });
  }

  /** Counts from now on. */
  static async start(plane: ControlPlane): Promise<StoredCount> {
    const stored = new StoredCount(plane);
    stored.#before = await stored.#secrets();
    return stored;
  }

  /** How many have come. */
  get count(): number {
    return this.samples.at(-1)?.count ?? 0;
  }

  /** Waits until so many have come; false when it took longer, or when no further one came for a minute. */
  async reaches(count: number, withinMs: number): Promise<boolean> {
    let movedMs = Date.now();
    for (const until = movedMs + withinMs; ; ) {
      const now = (await this.#secrets()) - this.#before;
      const atMs = Date.now();
      if (now > this.count) {
        this.samples.push({ atMs, count: now });
        movedMs = atMs;
      }
      if (now >= count) return true;
      if (atMs > Math.min(until, movedMs + standstillMs)) return false;
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  }

  /** Certificates per second in each full second. */
  perSecond(): readonly number[] {
    const [first] = this.samples;
    if (first === undefined) return [];
    const rates: number[] = [];
    let from = first;
    for (const sample of this.samples) {
      if (sample.atMs - from.atMs < 1_000) continue;
      rates.push(((sample.count - from.count) * 1_000) / (sample.atMs - from.atMs));
      from = sample;
    }
    return rates;
  }

  close(): void {
    this.#agent.destroy();
  }

  /** The number of all Secrets: without a selector the API server knows it, and reads one. */
  async #secrets(): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const url = `${this.#plane.server}/api/v1/secrets?limit=1`;
    const asked = request(url, { agent: this.#agent, timeout: 30_000 }, (answer) => {
      text(answer).then(resolve, reject);
    });
    asked.on('error', reject).on('timeout', () => asked.destroy(new Error('the API server does not answer')));
    asked.end();
    const { items, metadata } = JSON.parse(await promise) as {
      readonly items: readonly unknown[];
      readonly metadata: { readonly remainingItemCount?: number };
    };
    return items.length + (metadata.remainingItemCount ?? 0);
  }
}

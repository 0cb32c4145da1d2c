// What every pair is asked for, again and again, in turns with the others.
import type { Load, Pair, Sample } from './pair.ts';

/** Bytes of a large body. */
export const bodyBytes = 10 * 2 ** 20;

/** One kind of work. */
export interface Workload {
  readonly name: 'requests' | 'steady' | 'connections' | 'arrivals' | 'bodies' | 'streams' | 'handshakes' | 'fairness';
  readonly what: string;
  readonly load: Load;
}

/** All of them. At a fixed rate there are more connections than are ever busy, so that none of the due ones waits for a free one. */
export const workloads: readonly Workload[] = [
  {
    name: 'requests',
    what: 'small requests, 32 connections, as many as go',
    load: { shape: 'keepalive', connections: 32, seconds: 1.2 },
  },
  {
    name: 'steady',
    what: 'small requests, 3,000 a second',
    load: { shape: 'keepalive', connections: 50, rate: 3_000, seconds: 2 },
  },
  {
    name: 'connections',
    what: 'a connection per request, 32 at once, as many as go',
    load: { shape: 'connect', connections: 32, seconds: 1.5 },
  },
  {
    name: 'arrivals',
    what: 'a connection per request, 800 a second',
    load: { shape: 'connect', connections: 64, rate: 800, seconds: 2 },
  },
  {
    name: 'bodies',
    what: 'bodies of 10 MB, 2 connections',
    load: { shape: 'bulk', connections: 2, body: bodyBytes, seconds: 1.2 },
  },
  {
    name: 'streams',
    what: 'unary calls of gRPC, 32 at once on 2 connections of HTTP/2',
    load: { shape: 'streams', connections: 32, seconds: 0.8 },
  },
  {
    name: 'handshakes',
    what: "full handshakes with the server's proxy, 8 at once",
    load: { shape: 'handshake', connections: 8, seconds: 0.8 },
  },
  {
    name: 'fairness',
    what: 'small requests, 1,000 a second, beside one transfer without end',
    load: { shape: 'keepalive', connections: 32, rate: 1_000, seconds: 1.2, beside: true },
  },
];

/** Samples of one workload, by contestant. */
export type Samples = ReadonlyMap<string, readonly Sample[]>;

/** Samples by workload. */
export type Measured = ReadonlyMap<Workload['name'], Samples>;

/** How long and how often. */
export interface Effort {
  readonly rounds: number;
  /** Part of a workload's own length. */
  readonly length: number;
}

/** Measures all pairs in turns: within a round every pair does the same work before the next work begins, and each round another one begins. */
export async function measure(
  pairs: readonly Pair[],
  { rounds, length }: Effort,
  note: (text: string) => void,
): Promise<Measured> {
  const measured = new Map<Workload['name'], Map<string, Sample[]>>();
  for (let round = 0; round < rounds; round += 1) {
    for (const { name, load } of workloads) {
      const samples = measured.get(name) ?? new Map<string, Sample[]>();
      measured.set(name, samples);
      const turn = round % pairs.length;
      for (const pair of [...pairs.slice(turn), ...pairs.slice(0, turn)]) {
        if (pair.lacks(load.shape)) continue;
        const sample = await pair.load({ ...load, seconds: (load.seconds ?? 1) * length });
        samples.set(pair.name, [...(samples.get(pair.name) ?? []), sample]);
      }
    }
    note(`round ${round + 1} of ${rounds}`);
  }
  return measured;
}

/** Lets every proxy compile and grow as one that has been at work for a while, by the work it has done; nothing is kept of it. */
export async function warmUp(pairs: readonly Pair[], length: number): Promise<void> {
  const bounds = (units: number, seconds: number) => ({ units, seconds: seconds * length });
  for (const pair of pairs) {
    await pair.load({ shape: 'keepalive', connections: 32, ...bounds(20_000, 3) });
    // V8 takes some eight thousand connections until it has compiled all that is done for one.
    if (!pair.lacks('connect')) await pair.load({ shape: 'connect', connections: 32, ...bounds(10_000, 8) });
    if (!pair.lacks('bulk')) await pair.load({ shape: 'bulk', connections: 2, body: bodyBytes, ...bounds(100, 2) });
    if (!pair.lacks('streams')) await pair.load({ shape: 'streams', connections: 32, ...bounds(10_000, 1.5) });
  }
}

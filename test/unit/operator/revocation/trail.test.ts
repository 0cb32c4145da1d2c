// What the trail has of a revocation, whatever becomes of the status: each act once by a leader whose writes fail, and again by the next one.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { TLSRevocationStatus } from '../../../../lib/api/tlsrevocation.ts';
import { KubeError } from '../../../../lib/kube/errors.ts';
import { RevocationController } from '../../../../operator/revocation/controller.ts';
import { settle } from '../../../support/clock.ts';
import { kubeDeps } from '../../../support/kubedeps.ts';
import { BookBench, revocation } from '../../../support/revocations.ts';

const serial = 'AA';
const deps = kubeDeps();
let bench: BookBench;
let stops: AbortController[];

beforeEach(async () => {
  stops = [];
  bench = await new BookBench(deps.clock).listed(10, [revocation('stolen', { serial }, { version: 10 })]);
});
afterEach(() => {
  for (const stop of stops) stop.abort();
});

/** A leader whose writes come to this; what it recorded. */
function lead(write: () => Promise<void>): readonly string[] {
  const records: string[] = [];
  const stop = new AbortController();
  stops.push(stop);
  const controller = new RevocationController({
    client: {
      applyStatus: (_, input) =>
        write().then(() => {
          const [object] = bench.revocations.list();
          if (object === undefined) throw new KubeError('NotFound', 'gone');
          const status = input['status'] as TLSRevocationStatus;
          const resourceVersion = String(Number(object.metadata.resourceVersion) + 1);
          bench.revocations.set(
            { ...object, metadata: { ...object.metadata, resourceVersion }, status },
            resourceVersion,
          );
          return object as never;
        }),
    },
    clock: deps.clock,
    logger: deps.logger,
    kubeMetrics: deps.metrics,
    events: { record: () => undefined },
    audit: { record: ({ action }) => records.push(action) },
    book: bench.book,
    revocations: bench.revocations,
    pods: bench.pods,
    secrets: bench.secrets,
    reports: { ofPod: () => undefined, subscribe: () => () => undefined },
    trustDomain: 'cluster.local',
  });
  controller.run(stop.signal).catch(() => undefined);
  return records;
}

describe('a revocation', () => {
  test('is on record before its status says so, once however often that cannot be written', async () => {
    let tries = 0;
    const records = lead(() => {
      tries += 1;
      return Promise.reject(new KubeError('Unavailable', 'no connection'));
    });
    for (let time = 0; time < 20; time += 1) {
      await deps.clock.advance(10_000);
      await settle();
    }
    expect(tries).toBeGreaterThan(2);
    expect(records).toEqual(['CertificateRevoked', 'RevocationEnforced']);
  });

  test('of which a leader could not tell any more is recorded by the next one, and by no third', async () => {
    const killed = lead(() => new Promise(() => undefined));
    await deps.clock.advance(1_000);
    await settle();
    expect(killed).toHaveLength(2);
    for (const stop of stops) stop.abort();
    const next = lead(() => Promise.resolve());
    await deps.clock.advance(1_000);
    await settle();
    expect(next).toEqual(['CertificateRevoked', 'RevocationEnforced']);
    for (const stop of stops) stop.abort();
    const third = lead(() => Promise.resolve());
    await deps.clock.advance(10_000);
    await settle();
    expect(third).toEqual([]);
  });
});

// What several workers have, as that of one: metrics, counts of reports, limits.
import { describe, expect, test } from '@jest/globals';
import { Metrics } from '../../../../lib/runtime/metrics.ts';
import { addCounts, noCounts, partsOf, stateOf } from '../../../../sidecar/workers/counts.ts';
import { shareOf } from '../../../../sidecar/workers/share.ts';
import { addFamilies, readFamilies, writeFamilies } from '../../../../sidecar/workers/sum.ts';

function worker(done: number, active: number): Metrics {
  const metrics = new Metrics();
  metrics.counter({ name: 'tabard_things_total', help: 'Things.', labels: ['a'] }).inc({ a: 'x "y" z' }, done);
  metrics
    .gauge({ name: 'tabard_connections_active', help: 'Live.', labels: ['direction'] })
    .set(active, { direction: 'in' });
  metrics.gauge({ name: 'tabard_state', help: 'A state.' }).set(active);
  const seconds = metrics.histogram({ name: 'tabard_seconds', help: 'Time.', labels: ['a'], buckets: [0.5, 1] });
  seconds.observe(0.25, { a: `${done}` });
  seconds.observe(3, { a: 'both' });
  return metrics;
}

describe('metrics', () => {
  test('of one worker are written as they were read', async () => {
    const text = await worker(3, 4).text();
    expect(writeFamilies(readFamilies(text))).toBe(text);
  });

  test('of two are added up where they count, and where each has its own', async () => {
    const families = readFamilies(await worker(3, 4).text());
    addFamilies(families, readFamilies(await worker(5, 6).text()), 'all');
    const text = writeFamilies(families);
    expect(text).toContain('tabard_things_total{a="x \\"y\\" z"} 8\n');
    expect(text).toContain('tabard_connections_active{direction="in"} 10\n');
    expect(text).toContain('tabard_state 4\n');
    expect(text).toContain('tabard_seconds_bucket{a="both",le="+Inf"} 2\n');
    expect(text).toContain('tabard_seconds_bucket{a="3",le="0.5"} 1\n');
    expect(text).toContain('tabard_seconds_bucket{a="5",le="0.5"} 1\n');
    expect(text.match(/# TYPE/g)).toHaveLength(4);
  });

  test('of one that has ended keep what was counted, and nothing of how things were', async () => {
    const families = readFamilies(await worker(3, 4).text());
    addFamilies(families, readFamilies(await worker(5, 6).text()), 'counted');
    const text = writeFamilies(families);
    expect(text).toContain('tabard_things_total{a="x \\"y\\" z"} 8\n');
    expect(text).toContain('tabard_connections_active{direction="in"} 4\n');
  });
});

const seen = (port: number, count: number) => ({ address: '10.0.0.1', port, refused: true, count });

describe('counts of reports', () => {
  test('are added up by what they count', () => {
    const rules = [{ name: 'a', outcome: 'allowed', count: 1 }] as const;
    const one = { plaintext: [seen(1, 2), seen(2, 1)], rules };
    const other = { plaintext: [seen(2, 5), seen(3, 1)], rules, callers: [{ identity: 'x', port: 1, count: 4 }] };
    expect(addCounts(one, other)).toEqual({
      plaintext: [seen(1, 2), seen(2, 6), seen(3, 1)],
      rules: [{ name: 'a', outcome: 'allowed', count: 2 }],
      callers: [{ identity: 'x', port: 1, count: 4 }],
    });
  });

  test('have nothing that was not counted', () => {
    expect(addCounts(noCounts, noCounts)).toEqual({ plaintext: [] });
  });

  test('are no more entries than the control API takes, and those that are known go on', () => {
    const many = { plaintext: Array.from({ length: 250 }, (_, port) => seen(port, 1)) };
    const sum = addCounts(many, { plaintext: [seen(1_000, 1), seen(7, 1)] });
    expect(sum.plaintext).toHaveLength(250);
    expect(sum.plaintext).toContainEqual(seen(7, 2));
  });

  test('are told apart from the state that is applied', () => {
    const applied = {
      podName: 'a',
      podUid: 'b',
      selfVersion: 'v1',
      bundleFingerprint: 'f',
      serial: '01',
      notAfter: '2030-01-01T00:00:00Z',
      revocations: 3,
    };
    const parts = partsOf({ ...applied, plaintext: [seen(1, 1)], authentication: 1 });
    expect(parts).toEqual({ applied, counts: { plaintext: [seen(1, 1)] } });
    expect(stateOf(parts.applied)).toBe(stateOf(applied));
    expect(stateOf({ ...applied, revocations: 4 })).not.toBe(stateOf(applied));
    expect(stateOf(undefined)).toBe('');
  });
});

describe('limits', () => {
  const limits = { maxAgeMs: 1, idleTimeoutMs: 2, handshakeTimeoutMs: 3, maxConcurrent: 10 };

  test.each([
    [2, 5],
    [3, 4],
    [16, 1],
  ])('of all connections are divided among %d workers: %d each', (workers, each) => {
    expect(shareOf(workers)(limits)).toEqual({ ...limits, maxConcurrent: each });
  });

  test('are divided once for each policy', () => {
    const share = shareOf(2);
    expect(share(limits)).toBe(share(limits));
  });
});

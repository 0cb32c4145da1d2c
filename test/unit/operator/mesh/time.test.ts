import { describe, expect, test } from '@jest/globals';
import { retirementMs } from '../../../../operator/mesh/retired.ts';
import { unseenGraceMs } from '../../../../operator/mesh/unseen.ts';
import { MeshBench, pod, StoodClock, service, slice } from '../../../support/meshbench.ts';

const api1 = pod({ name: 'api-1', ips: ['10.0.0.1'] });
const api = service({ name: 'api', ips: ['10.96.0.1'] });
const apiSlice = slice({ name: 'api-x', of: 'api', endpoints: [{ ip: '10.0.0.1', pod: 'api-1' }] });

function settledBench(): MeshBench {
  const bench = new MeshBench(new StoodClock());
  bench.mesh.settled();
  return bench;
}

describe('a slice that is ahead of the pods', () => {
  test('nothing is said of its Service until the pod is seen', () => {
    const bench = settledBench().apply(api, apiSlice);
    expect(bench.at('10.96.0.1:80')).toBe('undecided');
    bench.apply(api1);
    expect(bench.at('10.96.0.1:80')).toBe('api.shop: 10.0.0.1:8080 shop/api');
  });

  test('nothing is said of its address either', () => {
    const bench = settledBench().apply(api, apiSlice);
    expect(bench.at('10.0.0.1:8080')).toBe('undecided');
    bench.apply(api1);
    expect(bench.at('10.0.0.1:8080')).toBe('api.shop: 10.0.0.1:8080 shop/api');
  });

  test('a pod that does not turn up in time is believed not injected, and the answer says when', () => {
    const bench = settledBench().apply(api, apiSlice);
    expect(bench.answer('10.96.0.1:80').againAtMs).toBe(bench.clock.ms + unseenGraceMs);
    bench.clock.ms += unseenGraceMs;
    expect(bench.at('10.96.0.1:80')).toBe('unknown');
    expect(bench.at('10.0.0.1:8080')).toBe('unknown');
  });

  test('a later mention of the same pod does not begin the grace again', () => {
    const bench = settledBench().apply(api, apiSlice);
    bench.clock.ms += unseenGraceMs;
    bench.apply(apiSlice);
    expect(bench.at('10.96.0.1:80')).toBe('unknown');
  });

  test('a Service that certainly has other pods is not held back', () => {
    const bench = new MeshBench(new StoodClock()).apply(api, apiSlice);
    bench.mesh.settled();
    const two = [
      { ip: '10.0.0.1', pod: 'api-1' },
      { ip: '10.0.0.2', pod: 'api-2' },
    ];
    bench.apply(slice({ name: 'api-x', of: 'api', endpoints: two }));
    expect(bench.at('10.96.0.1:80')).toBe('unknown');
  });

  test('before the first lists are complete there is nothing to wait for', () => {
    const bench = new MeshBench(new StoodClock()).apply(api, apiSlice);
    expect(bench.at('10.96.0.1:80')).toBe('unknown');
  });
});

describe('an address that left the mesh', () => {
  test('stays reserved for a while, then is nobody’s', () => {
    const bench = settledBench().apply(api1).remove(api1);
    expect(bench.at('10.0.0.1:80')).toBe('api.shop: none');
    expect(bench.answer('10.0.0.1:80').againAtMs).toBe(bench.clock.ms + retirementMs);
    bench.clock.ms += retirementMs;
    expect(bench.at('10.0.0.1:80')).toBe('unknown');
  });

  test('is its new owner’s at once', () => {
    const bench = settledBench()
      .apply(api1)
      .remove(api1)
      .apply(pod({ name: 'web-1', ips: ['10.0.0.1'] }));
    expect(bench.at('10.0.0.1:80')).toBe('web.shop: 10.0.0.1:80 shop/web');
  });

  test('a ClusterIP of a Service outside the mesh is not reserved', () => {
    const bench = settledBench().apply(api).remove(api);
    expect(bench.at('10.96.0.1:80')).toBe('unknown');
  });

  test('a ClusterIP of a Service of the mesh is', () => {
    const bench = settledBench().apply(api1, api, apiSlice).remove(api);
    expect(bench.at('10.96.0.1:80')).toBe('api.shop: none');
    bench.clock.ms += retirementMs;
    expect(bench.at('10.96.0.1:80')).toBe('unknown');
  });
});

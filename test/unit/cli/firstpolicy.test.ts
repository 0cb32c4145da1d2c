// The first policy of a service: it selects the service's pods by as little as tells them from others.
import { describe, expect, test } from '@jest/globals';
import { AuthzView } from '../../../cli/authz.ts';
import { firstPolicy } from '../../../cli/firstpolicy.ts';
import { callersIn } from '../../../lib/api/seencallers.ts';
import type { Pod } from '../../../lib/kube/object.ts';
import { pod as meshPod } from '../../support/meshbench.ts';

function pod(service: string, name: string, labels: Readonly<Record<string, string>>): Pod {
  const made = meshPod({ name: `${service}-${name}`, namespace: 'shop', ips: ['10.0.0.1'] });
  const annotations = { ...made.metadata.annotations, 'tabard.dev/service': service };
  return { ...made, metadata: { ...made.metadata, annotations, labels: { ...made.metadata.labels, ...labels } } };
}

function selector(...pods: readonly Pod[]): unknown {
  const view = new AuthzView({
    policies: [],
    baselines: [],
    roles: [],
    pods,
    fronts: [],
    trustDomain: 'cluster.local',
  });
  const api = view.find('shop', 'api');
  if (api === undefined) throw new Error('there is no such service');
  return firstPolicy(api, view, {}).spec.selector;
}

describe('the pods of a service are selected', () => {
  test('by the label that people use, without those that change with each version', () => {
    expect(
      selector(
        pod('api', '1', { app: 'api', tier: 'back', 'pod-template-hash': '1' }),
        pod('api', '2', { app: 'api', tier: 'back', 'pod-template-hash': '2' }),
        pod('web', '1', { app: 'web', tier: 'back' }),
      ),
    ).toEqual({ matchLabels: { app: 'api' } });
  });

  test('by the next one where others have that, too, and by all where it takes all', () => {
    const name = 'app.kubernetes.io/name';
    expect(
      selector(pod('api', '1', { [name]: 'shop', app: 'api' }), pod('web', '1', { [name]: 'shop', app: 'web' })),
    ).toEqual({ matchLabels: { app: 'api' } });
    expect(
      selector(
        pod('api', '1', { app: 'shop', part: 'api' }),
        pod('web', '1', { app: 'shop', part: 'web' }),
        pod('x', '1', { app: 'x', part: 'api' }),
      ),
    ).toEqual({ matchLabels: { app: 'shop', part: 'api' } });
  });

  test('not at all where nothing tells them apart', () => {
    expect(() => selector(pod('api', '1', { app: 'shop' }), pod('web', '1', { app: 'shop' }))).toThrow(
      /no labels tell the pods of api from those of other services/,
    );
  });
});

test.each<readonly [string, string]>([
  ['no JSON', '{'],
  ['no object', 'null'],
  ['no lists', '{"callers": 1}'],
])('of a ConfigMap that holds %s nothing is read', (_, text) => {
  expect(callersIn({ 'seen.json': text }).callers ?? []).toEqual([]);
  expect(callersIn(undefined).callers).toEqual([]);
});

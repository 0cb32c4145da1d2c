// The last suite: helm uninstall leaves nothing that blocks pods. Annotated pods start again without a sidecar.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Kit, kit, until } from '../support/e2e/kit.ts';
import { system } from '../support/e2e/names.ts';
import { apiContainer, apiService, deployment, inject } from '../support/e2e/workloads.ts';

const namespace = 'leaving';
let k: Kit;

beforeAll(async () => {
  k = await kit();
  await k.namespace(namespace);
  await k.apply(
    deployment({ namespace, name: 'api', annotations: inject, container: apiContainer }),
    apiService(namespace, 'api'),
  );
  await k.rolledOut(namespace, 'deployment/api');
}, 180_000);

afterAll(async () => {
  await k.drop(namespace);
});

test('after helm uninstall an annotated pod starts without a sidecar and answers', async () => {
  await k.cluster.helm(['uninstall', 'tabard', '-n', system, '--wait', '--timeout', '120s']);
  expect(await k.kubectl(['get', 'mutatingwebhookconfigurations', '-o', 'name'])).not.toMatch(/tabard/);
  await k.kubectl(['-n', namespace, 'rollout', 'restart', 'deployment/api']);
  await k.rolledOut(namespace, 'deployment/api');
  const pod = await until('the bare pod', 60, async () => {
    const pods = await k.pods(namespace, 'app=api');
    return pods.length === 1 ? pods[0] : undefined;
  });
  expect(pod['spec'].initContainers).toBeUndefined();
  const answer = await k.call({ namespace, pod: pod['metadata'].name, container: 'app' }, 'http', 'api');
  expect(answer).toMatchObject({ ok: true });
}, 240_000);

test('the TLSPolicies and the CA are kept, and a second install works with the same CA', async () => {
  const before = await k.kubectl(['get', 'crd', 'tlspolicies.tabard.dev', '-o', 'name']);
  expect(before).toMatch(/tlspolicies/);
});

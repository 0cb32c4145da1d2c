import { describe, expect, test } from '@jest/globals';
import { webhookEntries, webhookPaths } from '../../../webhook/configuration.ts';

// What the expressions mean is tested against a real API server (test/integration/webhook-cluster.test.ts).
describe('webhookEntries', () => {
  const entries = webhookEntries('mesh');

  test('names are unique and qualified, and paths are those that the server knows', () => {
    expect(new Set(entries.map((each) => each.name)).size).toBe(entries.length);
    for (const entry of entries) {
      expect(entry.name.split('.').length).toBeGreaterThanOrEqual(3);
      expect(Object.values(webhookPaths)).toContain(entry.clientConfig.service.path);
    }
  });

  test('entries that hold pods back never see the protected namespaces', () => {
    const never = {
      key: 'kubernetes.io/metadata.name',
      operator: 'NotIn',
      values: ['kube-system', 'kube-node-lease', 'mesh'],
    };
    const binding = entries.filter((each) => each.failurePolicy === 'Fail');
    expect(binding.map((each) => each.name)).toEqual([
      'workloads.tabard.dev',
      'cronjob-jobs.tabard.dev',
      'pods.tabard.dev',
      'namespaces.tabard.dev',
    ]);
    for (const entry of binding) expect(entry.namespaceSelector.matchExpressions).toEqual([never]);
  });

  test('entries that only explain never hold anything up for long', () => {
    const explaining = entries.filter((each) => each.failurePolicy === 'Ignore');
    expect(explaining.map((each) => each.timeoutSeconds)).toEqual([2, 2, 2]);
  });
});

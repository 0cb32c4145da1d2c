// The KubeClient in memory keeps the shared promises; test/integration/kube.test.ts holds the real server to the same.
import { describe } from '@jest/globals';
import { MemoryKube } from '../../../support/kube.ts';
import { kubeCases } from '../../../support/kubecases.ts';

describe('the KubeClient in memory', () => {
  const kube = new MemoryKube();
  kubeCases(
    () => Promise.resolve(kube),
    () => Promise.resolve(kube.compact()),
  );
});

// The REST adapter against a real API server keeps the promises that the KubeClient in memory keeps.
import { afterAll, beforeAll, describe, jest } from '@jest/globals';
import { type ControlPlane, startControlPlane } from '../../hack/cluster/api.ts';
import { systemClock } from '../../lib/clock.ts';
import { kubeMetrics } from '../../lib/kube/metrics.ts';
import { type Connection, connect } from '../../lib/kube/rest.ts';
import { Metrics } from '../../lib/runtime/metrics.ts';
import { kubeCases } from '../support/kubecases.ts';

jest.setTimeout(120_000);

let plane: ControlPlane;
let connection: Connection;

beforeAll(async () => {
  plane = await startControlPlane();
  connection = connect({
    kubeconfig: plane.kubeconfig,
    userAgent: 'tabard-test/0',
    clock: systemClock,
    metrics: kubeMetrics(new Metrics()),
  });
});

afterAll(async () => {
  connection.close();
  await plane.stop();
});

describe('the KubeClient of a real API server', () => {
  kubeCases(
    () => Promise.resolve(connection.client),
    // A new process knows no changes from before it started.
    () => plane.restartApiServer(),
  );
});

// The status of TLSBaselines and TLSRoles on a real API server, written by the operator as a process.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { ControlPlane } from '../../../hack/cluster/api.ts';
import { type OperatorProcess, startOperatorProcess } from '../../support/operator.ts';
import { eventually, startPlane } from '../../support/rotationmesh.ts';

const waitMs = 120_000;
const testMs = 5 * waitMs;

let plane: ControlPlane;
let operator: OperatorProcess;

beforeAll(async () => {
  plane = await startPlane('1h', '10m');
  operator = startOperatorProcess({ name: 'op-1', namespace: 'tabard-system', kubeconfig: plane.kubeconfig });
}, 900_000);

afterAll(async () => {
  await operator?.end('SIGTERM');
  await plane?.stop();
}, waitMs);

async function apply(kind: string, name: string, spec: object): Promise<void> {
  const metadata = { name, ...(kind === 'TLSPolicy' ? { namespace: 'shop' } : {}) };
  const input = JSON.stringify({ apiVersion: 'tabard.dev/v1alpha1', kind, metadata, spec });
  await plane.kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], { input });
}

/** A row of `kubectl get` without its age, once it is this. */
async function becomes(kind: string, name: string, row: string): Promise<void> {
  const look = async (): Promise<string> => {
    const text = await plane.kubectl(['get', kind, name, '--no-headers']);
    return text.trim().split(/\s+/).slice(0, -1).join(' ');
  };
  await eventually(look, (text) => text === row, waitMs);
}

const message = (kind: string, name: string, type: string): Promise<string> =>
  plane.kubectl(['get', kind, name, '-o', `jsonpath={.status.conditions[?(@.type=="${type}")].message}`]);

test(
  'a baseline says what does not hold, and whom it is stricter than; a role who refers to it',
  async () => {
    await apply('TLSPolicy', 'web', { mode: 'Permissive' });
    await apply('TLSBaseline', 'pci', {
      mode: 'Mutual',
      authorization: { rules: [{ name: 'no-metrics', roles: ['metrics'] }] },
    });
    // NAME MODE AUDIT ACCEPTED OVERRIDES: what is not set has no word.
    await becomes('tlsbaseline', 'pci', 'pci Mutual false False 1');
    expect(await message('tlsbaseline', 'pci', 'Accepted')).toContain(
      'refers to TLSRole "metrics", which does not exist',
    );
    expect(await message('tlsbaseline', 'pci', 'Ready')).toBe('it is stricter than 1 of 1 policies: shop/web');
    await eventually(
      () => plane.kubectl(['get', 'events', '-A']),
      (text) => /Warning\s+Adjusted\s+tlsbaseline\/pci/i.test(text),
      waitMs,
    );

    await apply('TLSRole', 'metrics', { permissions: [{ ports: [9090] }] });
    await becomes('tlsbaseline', 'pci', 'pci Mutual false True 1');
    await becomes('tlsrole', 'metrics', 'metrics [9090] True 1');
    expect(await message('tlsrole', 'metrics', 'Ready')).toBe('rules refer to it in TLSBaseline pci');

    await apply('TLSPolicy', 'web', { mode: 'Mutual' });
    await becomes('tlsbaseline', 'pci', 'pci Mutual false True 0');
    await plane.kubectl(['delete', 'tlsbaseline', 'pci']);
    await becomes('tlsrole', 'metrics', 'metrics [9090] True 0');
  },
  testMs,
);

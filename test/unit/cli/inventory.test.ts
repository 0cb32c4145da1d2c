import { describe, expect, test } from '@jest/globals';
import { inventory, inventoryTable } from '../../../cli/inventory.ts';
import type { TLSPolicy } from '../../../lib/api/tlspolicy.ts';
import type { KubeObject } from '../../../lib/kube/object.ts';

const now = new Date('2026-01-01T12:00:00Z');

function object(metadata: object): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'PartialObjectMetadata',
    metadata: { name: 'x', uid: '', resourceVersion: '', creationTimestamp: '', ...metadata },
  };
}

function secret(service: string, notes: Record<string, string> = {}, namespace = 'shop'): KubeObject {
  return object({
    name: `tabard-${service}`,
    namespace,
    labels: { 'tabard.dev/service': service },
    annotations: {
      'tabard.dev/serial': 'ABCDEF0123456789',
      'tabard.dev/issuer': 'cluster',
      'tabard.dev/not-before': '2026-01-01T08:58:00Z',
      'tabard.dev/renew-at': '2026-01-02T00:30:00Z',
      'tabard.dev/not-after': '2026-01-02T09:00:00Z',
      ...notes,
    },
  });
}

function pod(name: string, service: string, kind = 'true'): KubeObject {
  const labels = { 'tabard.dev/injected': kind };
  return object({ name, namespace: 'shop', labels, annotations: { 'tabard.dev/service': service } });
}

function policy(services: NonNullable<TLSPolicy['status']>['services']): TLSPolicy {
  return {
    ...object({ name: 'all', namespace: 'shop' }),
    kind: 'TLSPolicy',
    spec: {},
    status: { services: services ?? [] },
  };
}

describe('the inventory', () => {
  test('is read from the metadata of Secrets, with the pods counted', () => {
    const pods = [pod('a', 'web'), pod('b', 'web', 'certificate'), pod('c', 'api'), pod('d', 'web', 'no')];
    expect(inventory({ secrets: [secret('web')], policies: [], pods }, now)).toEqual([
      {
        namespace: 'shop',
        service: 'web',
        shownTo: 'mesh',
        serial: 'ABCDEF0123456789',
        issuer: 'cluster',
        notBefore: new Date('2026-01-01T08:58:00Z'),
        renewAt: new Date('2026-01-02T00:30:00Z'),
        notAfter: new Date('2026-01-02T09:00:00Z'),
        delivery: 'Secret',
        pods: 2,
        fault: undefined,
      },
    ]);
  });

  test('is made from the status of policies where Secrets and pods may not be listed', () => {
    const policies = [
      policy([
        { name: 'web', serial: 'AA', issuer: 'cluster', notAfter: '2026-01-02T09:00:00Z', pods: 3, ready: true },
        { name: 'new', pods: 1, ready: false },
      ]),
    ];
    expect(inventory({ secrets: undefined, policies, pods: undefined }, now)).toMatchObject([
      { service: 'new', serial: undefined, pods: 1, fault: 'missing' },
      { service: 'web', serial: 'AA', pods: 3, delivery: 'Secret', fault: undefined },
    ]);
  });

  test('takes pod certificates from the status, whatever an old Secret says', () => {
    const status = { name: 'web', delivery: 'PodCertificate', notAfter: '2026-01-02T00:00:00Z', serial: 'BB' } as const;
    const policies = [policy([{ ...status, pods: 2, ready: true }])];
    expect(inventory({ secrets: [secret('web')], policies, pods: [] }, now)).toMatchObject([
      { service: 'web', serial: 'BB', delivery: 'PodCertificate' },
    ]);
  });

  test.each([
    ['expired', { 'tabard.dev/not-after': '2026-01-01T11:59:59Z' }],
    ['renewal overdue', { 'tabard.dev/renew-at': '2026-01-01T09:00:00Z' }],
    ['missing', { 'tabard.dev/not-after': 'garbled' }],
  ])('finds what is %s', (fault, notes) => {
    expect(inventory({ secrets: [secret('web', notes)], policies: [], pods: [] }, now)).toMatchObject([{ fault }]);
  });

  test('does not call a renewal overdue whose first tries are under way', () => {
    const notes = { 'tabard.dev/renew-at': '2026-01-01T11:00:00Z' };
    expect(inventory({ secrets: [secret('web', notes)], policies: [], pods: [] }, now)[0]?.fault).toBeUndefined();
  });

  test("tells a service's edge certificate from its certificate in the mesh", () => {
    const edge = secret('web', { 'tabard.dev/issuer': 'letsencrypt' });
    const labelled = {
      ...edge,
      metadata: { ...edge.metadata, labels: { ...edge.metadata.labels, 'tabard.dev/edge': 'true' } },
    };
    const both = inventory({ secrets: [labelled, secret('web')], policies: [], pods: [pod('a', 'web')] }, now);
    expect(both).toMatchObject([
      { service: 'web', shownTo: 'mesh', issuer: 'cluster', pods: 1 },
      { service: 'web', shownTo: 'edge', issuer: 'letsencrypt', pods: 1 },
    ]);
    expect(inventoryTable(both, { now, wide: false, namespaces: false })[2]).toMatch(/^web \(edge\) /);
  });

  test('is in the order of namespaces and services', () => {
    const secrets = [secret('b'), secret('a', {}, 'zoo'), secret('a')];
    const keys = inventory({ secrets, policies: [], pods: [] }, now).map((each) => `${each.namespace}/${each.service}`);
    expect(keys).toEqual(['shop/a', 'shop/b', 'zoo/a']);
  });
});

describe('its table', () => {
  const entries = inventory({ secrets: [secret('web')], policies: [], pods: [pod('a', 'web')] }, now);

  test('shows what matters, the serial cut', () => {
    expect(inventoryTable(entries, { now, wide: false, namespaces: true })).toEqual([
      'NAMESPACE   SERVICE   SERIAL          ISSUER    AGE    RENEWS      EXPIRES   DELIVERY   PODS   FAULT',
      'shop        web       ABCDEF012345…   cluster   3h2m   in 12h30m   in 21h    Secret     1      -',
    ]);
  });

  test('shows everything when it is wide', () => {
    const [, row] = inventoryTable(entries, { now, wide: true, namespaces: false });
    expect(row).toMatch(
      /^web {7}ABCDEF0123456789 .*2026-01-01T08:58:00Z {3}2026-01-02T00:30:00Z {3}2026-01-02T09:00:00Z$/,
    );
  });
});

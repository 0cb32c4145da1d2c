// Which names an edge certificate may have.
import { describe, expect, test } from '@jest/globals';
import { edgeNameFault } from '../../../../../operator/certificates/edge/names.ts';
import { currentEdge, edgeKeyOf, edgeSecretInput } from '../../../../../operator/certificates/edge/secret.ts';
import { edgeCondition } from '../../../../../operator/certificates/edge/status.ts';

const http = { solvers: [{ http01: {} }] };
const dns = { solvers: [{ http01: {} }, { dns01: { rfc2136: { nameserver: '10.0.0.2:53' } } }] };
const domains = { clusterDomain: 'cluster.local', trustDomain: 'mesh.example.net' };

describe('names of an edge certificate', () => {
  test.each([
    [['shop.example.com', 'example.org'], http, undefined],
    [['*.example.com'], dns, undefined],
    [['*.example.com'], http, /wildcard/],
    [[], http, /empty/],
    [['web'], http, /no full DNS name/],
    [['*.com'], dns, /no full DNS name/],
    [['Shop.example.com'], http, /no full DNS name/],
    [['shop..example.com'], http, /no full DNS name/],
    [['web.shop.svc'], http, /Service/],
    [['web.shop.svc.cluster.local'], http, /Service/],
    [['x.svc.example.com'], http, /Service/],
    [['web.cluster.local'], http, /mesh's own/],
    [['*.cluster.local'], dns, /mesh's own/],
    [['a.mesh.example.net'], http, /mesh's own/],
    [['mesh.example.net'], http, /mesh's own/],
    [['notmesh.example.net'], http, undefined],
    [['shop.example.com', 'web.shop.svc'], http, /web\.shop\.svc/],
  ] as const)('%j with %j: %p', (names, acme, fault) => {
    const found = edgeNameFault(names, { ...domains, acme });
    if (fault === undefined) expect(found).toBeUndefined();
    else expect(found).toMatch(fault);
  });
});

describe('the Secret of an edge certificate', () => {
  const leaf = { chain: 'CHAIN', serial: '0A', notBefore: new Date(0), notAfter: new Date(1_000) };

  test('is found by its name, whoever made it, and is ours by its labels alone', () => {
    const metadata = { namespace: 'shop', uid: 'u', resourceVersion: '1', creationTimestamp: '' };
    expect(edgeKeyOf({ metadata: { ...metadata, name: 'tabard-web.edge' } })).toBe('shop/web');
    expect(edgeKeyOf({ metadata: { ...metadata, name: 'tabard-web' } })).toBeUndefined();
    expect(edgeKeyOf({ metadata: { ...metadata, name: 'tabard-edge' } })).toBeUndefined();
    const foreign = { apiVersion: 'v1', kind: 'Secret', metadata: { ...metadata, name: 'tabard-web.edge' } } as const;
    expect(currentEdge(foreign).kind).toBe('foreign');
    const input = edgeSecretInput({ namespace: 'shop', service: 'web', issuer: 'i', leaf, keyPem: 'KEY', owners: [] });
    const labels = input.metadata['labels'] as Readonly<Record<string, string>>;
    expect(currentEdge({ ...foreign, metadata: { ...foreign.metadata, labels } }).kind).toBe('broken');
  });

  test('has no trust bundle: whom to trust is for the callers', () => {
    const input = edgeSecretInput({ namespace: 'shop', service: 'web', issuer: 'i', leaf, keyPem: 'KEY', owners: [] });
    expect(Object.keys(input['data'] as object)).toEqual(['tls.crt', 'tls.key']);
  });
});

describe('the condition EdgeReady', () => {
  const now = new Date('2026-11-22T10:00:00Z');

  test('says what stands in the way, service by service', () => {
    const blocked = { reason: 'NamesRefused', message: 'no such name' } as const;
    const outcome = { current: { kind: 'absent' }, blocked, renewAt: undefined, failure: undefined } as const;
    expect(edgeCondition([{ name: 'web', outcome }], now)).toMatchObject({
      status: 'False',
      reason: 'NamesRefused',
      message: 'web: no such name',
    });
    expect(edgeCondition([{ name: 'web', outcome: undefined }], now)).toMatchObject({
      status: 'False',
      reason: 'Issuing',
    });
    expect(edgeCondition([], now)).toMatchObject({ status: 'True', reason: 'NoServices' });
  });
});

import { describe, expect, test } from '@jest/globals';
import type { TLSIssuer } from '../../../../lib/api/tlsissuer.ts';
import { generateKey } from '../../../../lib/pki/keys.ts';
import { newlyTrusted, type TrustedAuthority } from '../../../../operator/authority/authority.ts';
import { Issuers } from '../../../../operator/issuers/issuers.ts';
import { SelfSignedIssuer } from '../../../../operator/issuers/selfsigned.ts';
import { bundleOf, type TrustBundle } from '../../../../operator/trust/mesh.ts';
import { DAY_MS, testAuthority } from '../../../support/pki.ts';

const now = new Date('2026-11-22T12:00:00Z');
const trusted = newlyTrusted(await testAuthority({ now, lifetimeMs: 10 * DAY_MS }));
const other = newlyTrusted(await testAuthority({ now, lifetimeMs: 10 * DAY_MS }));
const source = (current: TrustedAuthority | undefined) => ({
  current: () => current,
  subscribe: () => () => undefined,
});
const issuer = (name: string, spec: TLSIssuer['spec']): TLSIssuer => ({
  apiVersion: 'tabard.dev/v1alpha1',
  kind: 'TLSIssuer',
  metadata: { name, uid: name, resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' },
  spec,
});
const issuersOf = (
  objects: readonly TLSIssuer[],
  current: TrustedAuthority | null = trusted,
  mesh: TrustBundle | undefined = bundleOf([trusted.trustBundle]),
): Issuers => {
  const byName = new Map(objects.map((each) => [each.metadata.name, each]));
  return new Issuers({
    objects: { get: (name) => byName.get(name) },
    cluster: new SelfSignedIssuer(source(current ?? undefined)),
    running: new Map(),
    trust: { current: () => mesh },
  });
};

describe('the issuer of a name', () => {
  const cluster = issuer('cluster', { selfSigned: {} });

  test('can sign when its object is there and its CA is good', () => {
    const state = issuersOf([cluster]).state('cluster', now);
    expect(state).toMatchObject({ ready: true, keyId: trusted.authority.keyId, notAfter: trusted.authority.notAfter });
  });

  test('signs for a mesh that trusts more than it: leaves come with the whole bundle, each CA once', () => {
    const mesh = bundleOf([other.trustBundle]);
    const state = issuersOf([cluster], trusted, mesh).state('cluster', now);
    const { pem, fingerprint } = bundleOf([other.trustBundle, trusted.trustBundle]);
    expect(state).toMatchObject({ trustBundle: pem, bundleFingerprint: fingerprint });
  });

  test('cannot sign while nobody knows the CA of the control plane, which every bundle needs', () => {
    const objects = new Map([['cluster', cluster]]);
    const trust = { current: () => undefined };
    const issuers = new Issuers({ objects, cluster: new SelfSignedIssuer(source(trusted)), running: new Map(), trust });
    expect(issuers.state('cluster', now)).toMatchObject({
      ready: false,
      message: expect.stringContaining('the CA of the control plane is not known yet'),
    });
  });

  interface Row {
    readonly with: string;
    readonly issuers: Issuers;
    readonly name?: string;
    readonly at?: Date;
    readonly reason?: string;
  }
  test.each<Row>([
    { with: 'no object of that name', issuers: issuersOf([cluster]), name: 'own', reason: 'IssuerMissing' },
    { with: 'an object of an unknown kind', issuers: issuersOf([issuer('cluster', {})]) },
    {
      with: 'a second self-signed one',
      issuers: issuersOf([cluster, issuer('own', { selfSigned: {} })]),
      name: 'own',
    },
    { with: 'no CA yet', issuers: issuersOf([cluster], null) },
    { with: 'a CA past its time', issuers: issuersOf([cluster]), at: trusted.authority.notAfter },
    { with: 'a CA before its time', issuers: issuersOf([cluster]), at: new Date(0) },
  ])('cannot sign with $with', ({ issuers, name = 'cluster', at = now, reason = 'IssuerNotReady' }) => {
    const state = issuers.state(name, at);
    expect(state).toMatchObject({ ready: false, reason });
    expect(state.ready ? '' : state.message).toContain(`TLSIssuer "${name}"`);
  });
});

describe('the self-signed issuer', () => {
  const identity = { trustDomain: 'cluster.local', namespace: 'shop', service: 'web' };

  test('signs a leaf that ends with its CA at the latest', async () => {
    const order = { ...(await generateKey('ECDSA-P256')), identity, dnsNames: ['web'], lifetimeMs: 99 * DAY_MS, now };
    const leaf = await new SelfSignedIssuer(source(trusted)).sign(order);
    expect(leaf.notAfter).toEqual(trusted.authority.notAfter);
    expect(leaf.chain.match(/BEGIN CERTIFICATE/g)).toHaveLength(1);
  });

  test('rejects without a CA, and says that later may do', async () => {
    const order = { ...(await generateKey('ECDSA-P256')), identity, dnsNames: [], lifetimeMs: DAY_MS, now };
    await expect(new SelfSignedIssuer(source(undefined)).sign(order)).rejects.toMatchObject({
      code: 'pki_invalid',
      retryable: true,
    });
  });
});

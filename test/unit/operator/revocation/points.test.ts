// Leaves state where the list of their CA is when the issuer asks for it, by the address at which the operator serves it, and not otherwise.
import { X509Certificate } from 'node:crypto';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { ports } from '../../../../lib/api/contract.ts';
import type { TLSIssuer } from '../../../../lib/api/tlsissuer.ts';
import { ObjectStore } from '../../../../lib/kube/store.ts';
import { fingerprint } from '../../../../lib/pki/bundle.ts';
import { SelfSignedIssuer } from '../../../../operator/issuers/selfsigned.ts';
import { distributionPoints } from '../../../../operator/revocation/crl/points.ts';
import { crlPath } from '../../../../operator/revocation/crl/server.ts';
import { testAuthority } from '../../../support/pki.ts';
import { issuerObject, leafOrder } from '../../../support/remoteissuer.ts';

const authority = await testAuthority();
const trusted = {
  authority,
  chain: '',
  trustBundle: authority.certificate,
  bundleFingerprint: fingerprint(new X509Certificate(authority.certificate)),
};
const url = `http://tabard-operator.tabard-system.svc.cluster.local:${ports.crl}${crlPath(authority.keyId)}`;

let issuers: ObjectStore<TLSIssuer>;
let version = 1;

beforeEach(() => {
  issuers = new ObjectStore<TLSIssuer>();
  issuers.replace([]);
});

/** The issuer as it is now. */
function set(crl?: NonNullable<TLSIssuer['spec']['crl']>): void {
  version += 1;
  const object = issuerObject({ selfSigned: {}, ...(crl === undefined ? {} : { crl }) }, undefined, 'cluster');
  issuers.set({ ...object, metadata: { ...object.metadata, resourceVersion: String(version) } });
}

/** Whether the next leaf states the address. */
async function states(): Promise<boolean> {
  const points = distributionPoints(issuers, { namespace: 'tabard-system', clusterDomain: 'cluster.local' });
  const issuer = new SelfSignedIssuer({ current: () => trusted, subscribe: () => () => undefined }, points('cluster'));
  const { chain } = await issuer.sign(await leafOrder());
  return new X509Certificate(chain).raw.includes(url);
}

describe('a leaf', () => {
  test('states the list of its CA from when the issuer asks for it until it does not', async () => {
    set();
    expect(await states()).toBe(false);
    set({ distributionPoint: true });
    expect(await states()).toBe(true);
    set({ distributionPoint: false });
    expect(await states()).toBe(false);
  });

  test('of an issuer that is not there states none', async () => {
    expect(await states()).toBe(false);
  });

  test('names a path that the server of lists knows', () => {
    expect(crlPath(authority.keyId)).toMatch(/^\/crl\/[0-9a-f]{2,64}\.crl$/);
  });
});

// The mesh's bundle: every CA of every issuer that signs identities, whatever order they came in, and never less than was good.
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { TLSIssuer } from '../../../../lib/api/tlsissuer.ts';
import { ObjectStore } from '../../../../lib/kube/store.ts';
import { bundleFingerprint, parseCertificates } from '../../../../lib/pki/bundle.ts';
import type { Authority } from '../../../../lib/pki/ca.ts';
import type { AuthoritySource, TrustedAuthority } from '../../../../operator/authority/authority.ts';
import { bundleOf, MeshTrust } from '../../../../operator/trust/mesh.ts';
import { kubeDeps } from '../../../support/kubedeps.ts';
import { testAuthority } from '../../../support/pki.ts';

let own: Authority;
let other: Authority;
let third: Authority;
beforeAll(async () => {
  [own, other, third] = await Promise.all([testAuthority(), testAuthority(), testAuthority()]);
});

const trusted = (authority: Authority, more: readonly Authority[] = []): TrustedAuthority => {
  const bundle = bundleOf([authority, ...more].map(({ certificate }) => certificate));
  const { certificate: chain } = authority;
  return { authority, chain, trustBundle: bundle.pem, bundleFingerprint: bundle.fingerprint };
};

const issuer = (name: string, trustBundle: string | undefined, spec: TLSIssuer['spec'] = { selfSigned: {} }) =>
  ({
    apiVersion: 'tabard.dev/v1alpha1',
    kind: 'TLSIssuer',
    metadata: { name, uid: name, resourceVersion: String(Math.random()), creationTimestamp: '2026-01-01T00:00:00Z' },
    spec,
    ...(trustBundle === undefined ? {} : { status: { trustBundle } }),
  }) satisfies TLSIssuer;

function mesh(first: TrustedAuthority | undefined) {
  let current = first;
  const listeners = new Set<(current: TrustedAuthority) => void>();
  const authority: AuthoritySource = {
    current: () => current,
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const issuers = new ObjectStore<TLSIssuer>();
  const { logger, lines } = kubeDeps();
  const trust = new MeshTrust({ authority, issuers, logger });
  const end = trust.follow();
  const seen: string[] = [];
  trust.subscribe(({ fingerprint }) => seen.push(fingerprint));
  const offer = (next: TrustedAuthority) => {
    current = next;
    for (const listener of listeners) listener(next);
  };
  return { trust, issuers, offer, seen, end, lines };
}

const setOf = (...authorities: readonly Authority[]) =>
  bundleFingerprint(authorities.flatMap(({ certificate }) => parseCertificates(certificate)));

describe('the bundle of the mesh', () => {
  test('is not there before the CA of the control plane is', () => {
    const { trust, issuers, offer } = mesh(undefined);
    issuers.replace([issuer('vault', other.certificate)]);
    expect(trust.current()).toBeUndefined();
    offer(trusted(own));
    expect(trust.current()?.fingerprint).toBe(setOf(own, other));
  });

  test('begins with the CA of the control plane and holds each CA once', () => {
    const { trust, issuers } = mesh(trusted(own, [other]));
    issuers.replace([issuer('b', `${third.certificate}${other.certificate}`), issuer('a', own.certificate)]);
    expect(trust.current()?.members).toHaveLength(3);
    expect(trust.current()?.pem.startsWith(own.certificate.trimEnd())).toBe(true);
    expect(trust.current()?.fingerprint).toBe(setOf(own, other, third));
  });

  test('follows issuers as they come, change and go, and tells of real changes alone', () => {
    const { issuers, seen } = mesh(trusted(own));
    issuers.replace([issuer('vault', undefined)]);
    issuers.replace([issuer('vault', other.certificate)]);
    issuers.replace([issuer('vault', `${other.certificate}\n${other.certificate}`)]);
    issuers.replace([issuer('vault', third.certificate)]);
    issuers.replace([]);
    expect(seen).toEqual([setOf(own, other), setOf(own, third), setOf(own)]);
  });

  test('keeps what was good of an issuer whose bundle is not readable', () => {
    const { trust, issuers, lines } = mesh(trusted(own));
    issuers.replace([issuer('vault', other.certificate)]);
    issuers.replace([issuer('vault', 'garbage')]);
    expect(trust.current()?.fingerprint).toBe(setOf(own, other));
    expect(lines.map(({ msg }) => msg)).toEqual(['trust bundle of an issuer is not readable']);
  });

  test('has no CA of an issuer that signs DNS names alone', () => {
    const { trust, issuers } = mesh(trusted(own));
    const acme = { server: 'https://acme.example/dir', accountKeySecretRef: { name: 'a' }, solvers: [{ http01: {} }] };
    issuers.replace([issuer('public', other.certificate, { acme })]);
    expect(trust.current()?.fingerprint).toBe(setOf(own));
  });

  test('stays as it was once nobody follows any more', () => {
    const { trust, issuers, end } = mesh(trusted(own));
    end();
    issuers.replace([issuer('vault', other.certificate)]);
    expect(trust.current()?.fingerprint).toBe(setOf(own));
  });
});

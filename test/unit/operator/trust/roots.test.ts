// Further roots that TLSIssuers name: which of them are used, for whom, and what is said of the others.
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { TLSIssuer, TrustRoot } from '../../../../lib/api/tlsissuer.ts';
import type { ConfigMap } from '../../../../lib/kube/object.ts';
import { ObjectStore } from '../../../../lib/kube/store.ts';
import { fingerprint, formatCertificates, parseCertificates } from '../../../../lib/pki/bundle.ts';
import type { Authority } from '../../../../lib/pki/ca.ts';
import type { AuditRecord } from '../../../../operator/audit/audit.ts';
import { withRoots } from '../../../../operator/authority/status.ts';
import { bundleOf, MeshTrust } from '../../../../operator/trust/mesh.ts';
import { ExternalRoots } from '../../../../operator/trust/roots.ts';
import { recordFederation } from '../../../../operator/trust/trail.ts';
import { otherAuthority, otherLeaf } from '../../../support/federation.ts';
import type { Foreign } from '../../../support/foreign.ts';
import { kubeDeps } from '../../../support/kubedeps.ts';
import { testAuthority } from '../../../support/pki.ts';

const now = new Date();
let own: Authority;
let istio: Foreign;
let partner: Foreign;
let expired: Foreign;

beforeAll(async () => {
  own = await testAuthority();
  [istio, partner] = [otherAuthority('istio'), otherAuthority('partner')];
  expired = otherAuthority('expired', undefined, new Date(now.getTime() - 400 * 86_400_000));
});

const pemOf = ({ certificate }: Foreign): string => formatCertificates([certificate]);
const issuer = (name: string, roots: readonly TrustRoot[], generation = 1): TLSIssuer => ({
  apiVersion: 'tabard.dev/v1alpha1',
  kind: 'TLSIssuer',
  metadata: {
    name,
    uid: name,
    resourceVersion: String(generation),
    generation,
    creationTimestamp: '2026-01-01T00:00:00Z',
  },
  spec: { selfSigned: {}, trust: { roots } },
});

function read(roots: ExternalRoots, issuers: readonly TLSIssuer[], maps: Readonly<Record<string, string>> = {}) {
  const mesh = parseCertificates(own.certificate);
  const text = ({ name, key }: { name: string; key: string }) => maps[`${name}/${key}`];
  const { own: ours, federated, faults } = roots.read({ issuers, text, mesh, trustDomain: 'cluster.local', now });
  return {
    own: ours.map(({ subject }) => subject),
    federated: Object.fromEntries(
      federated.map(({ trustDomain, bundle }) => [
        trustDomain,
        parseCertificates(bundle).map(({ subject }) => subject),
      ]),
    ),
    faults: Object.fromEntries(faults),
  };
}

describe('roots', () => {
  test('are of this mesh without a trust domain, or with its own, and of their domain with another', () => {
    const roots = [
      { name: 'former', pem: pemOf(istio) },
      { name: 'named', pem: pemOf(partner), trustDomain: 'cluster.local' },
      { name: 'other', configMapRef: { name: 'partner', key: 'ca.crt' }, trustDomain: 'partner.example' },
    ];
    expect(read(new ExternalRoots(), [issuer('a', roots)], { 'partner/ca.crt': pemOf(partner) })).toEqual({
      own: ['CN=istio', 'CN=partner'],
      federated: { 'partner.example': ['CN=partner'] },
      faults: {},
    });
  });

  test('of one domain are put together, whichever issuers name them', () => {
    const first = issuer('a', [{ name: 'x', pem: pemOf(istio), trustDomain: 'x.example' }]);
    const second = issuer('b', [{ name: 'x', pem: pemOf(partner) + pemOf(istio), trustDomain: 'x.example' }]);
    const { federated } = read(new ExternalRoots(), [first, second]);
    expect(federated['x.example']?.toSorted()).toEqual(['CN=istio', 'CN=partner']);
  });

  test.each<[string, () => TrustRoot, RegExp]>([
    ['garbage', () => ({ name: 'r', pem: 'garbage' }), /there is no PEM certificate/],
    ['a leaf', () => ({ name: 'r', pem: otherLeaf(istio, ['spiffe://a/b']).certificate }), /not one of a CA/],
    ['a CA that expired', () => ({ name: 'r', pem: pemOf(expired) }), /expired at /],
    ['a private key', () => ({ name: 'r', pem: pemOf(istio) + otherLeaf(istio, ['spiffe://a/b']).key }), /private key/],
    [
      'a ConfigMap that is missing',
      () => ({ name: 'r', configMapRef: { name: 'm', key: 'k' } }),
      /no ConfigMap "m" with the key "k"/,
    ],
    [
      'a CA of this mesh',
      () => ({ name: 'r', pem: own.certificate, trustDomain: 'x.example' }),
      /is a CA of this mesh, too/,
    ],
    ['what is no trust domain', () => ({ name: 'r', pem: pemOf(istio), trustDomain: 'X/y' }), /is no trust domain/],
  ])('that are %s are not used, and it is said why', (_, root, says) => {
    const good = { name: 'good', pem: pemOf(partner) };
    const found = read(new ExternalRoots(), [issuer('a', [root(), good])]);
    expect(found).toMatchObject({ own: ['CN=partner'], federated: {} });
    expect(found.faults['a']).toEqual([expect.stringMatching(says)]);
    expect(found.faults['a']?.[0]).toMatch(/^root "r": /);
  });

  test('that were good stay in use while what is there now is broken, until they are taken away', () => {
    const roots = new ExternalRoots();
    const of = (pem: string, trustDomain?: string) => [
      issuer('a', [{ name: 'r', pem, ...(trustDomain === undefined ? {} : { trustDomain }) }]),
    ];
    read(roots, of(pemOf(istio)));
    const broken = read(roots, of('garbage'));
    expect(broken.own).toEqual(['CN=istio']);
    expect(broken.faults['a']).toEqual([expect.stringContaining('what was good before stays in use')]);
    expect(read(roots, of('garbage', 'x.example'))).toMatchObject({ own: [], federated: {} });
    read(roots, of(pemOf(istio)));
    expect(read(roots, [issuer('a', [])])).toEqual({ own: [], federated: {}, faults: {} });
    expect(read(roots, of('garbage')).own).toEqual([]);
  });
});

describe('the mesh', () => {
  function mesh() {
    const { logger, clock } = kubeDeps();
    const issuers = new ObjectStore<TLSIssuer>();
    const configMaps = new ObjectStore<ConfigMap>();
    const bundle = bundleOf([own.certificate]);
    const current = { authority: own, chain: '', trustBundle: bundle.pem, bundleFingerprint: bundle.fingerprint };
    const authority = { current: () => current, subscribe: () => () => undefined };
    const roots = { configMaps, namespace: 'tabard-system', trustDomain: 'cluster.local', clock };
    const trust = new MeshTrust({ authority, issuers, logger, roots });
    trust.follow();
    let told = 0;
    trust.subscribeRoots(() => (told += 1));
    const configMap = (text: string): ConfigMap => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name: 'partner',
        namespace: 'tabard-system',
        uid: 'm',
        resourceVersion: String(Math.random()),
        creationTimestamp: '2026-01-01T00:00:00Z',
      },
      data: { 'ca.crt': text },
    });
    return { trust, issuers, configMaps, configMap, told: () => told };
  }

  test('trusts its own domain’s further roots in its bundle, and other domains’ apart from it', async () => {
    const { trust, issuers, configMaps } = mesh();
    configMaps.replace([]);
    issuers.replace([
      issuer('a', [
        { name: 'former', pem: pemOf(istio) },
        { name: 'other', pem: pemOf(partner), trustDomain: 'partner.example' },
      ]),
    ]);
    await trust.complete(new AbortController().signal);
    const subjects = trust.current()?.members.map(({ subject }) => subject);
    expect(subjects).toHaveLength(2);
    expect(subjects?.at(-1)).toBe('CN=istio');
    expect(trust.federated().map(({ trustDomain }) => trustDomain)).toEqual(['partner.example']);
  });

  test('follows a ConfigMap: it comes, it breaks, it goes', async () => {
    const { trust, issuers, configMaps, configMap, told } = mesh();
    const ref = { name: 'partner', key: 'ca.crt' };
    issuers.replace([issuer('a', [{ name: 'r', configMapRef: ref, trustDomain: 'partner.example' }])]);
    expect(trust.rootFaults('a')).toEqual([]);
    configMaps.replace([]);
    await trust.complete(new AbortController().signal);
    expect(trust.rootFaults('a')).toEqual([expect.stringContaining('no ConfigMap "partner"')]);
    configMaps.set(configMap(pemOf(partner)));
    expect(trust.federated()).toHaveLength(1);
    expect(trust.rootFaults('a')).toEqual([]);
    configMaps.set(configMap('garbage'));
    expect(trust.federated()).toHaveLength(1);
    expect(trust.rootFaults('a')).toEqual([expect.stringContaining('what was good before stays in use')]);
    const before = told();
    configMaps.set(configMap('garbage'));
    expect(told()).toBe(before);
    issuers.set(issuer('a', [], 2));
    expect(trust.federated()).toEqual([]);
    expect(trust.rootFaults('a')).toEqual([]);
  });
});

describe('the audit trail', () => {
  test('records which CAs of other domains came and went, and nothing that was there before', async () => {
    const [first, second] = [istio, partner].map(pemOf);
    let domains = [{ trustDomain: 'a.example', bundle: first ?? '' }];
    let change: () => void = () => undefined;
    const source = {
      federated: () => domains,
      subscribeRoots: (listener: () => void) => {
        change = listener;
        return () => undefined;
      },
    };
    const records: string[] = [];
    const audit = {
      record: ({ reason, identity, sha256 }: AuditRecord) => void records.push(`${reason} ${identity} ${sha256}`),
    };
    const stop = new AbortController();
    const running = recordFederation(source, audit, stop.signal);
    change();
    domains = [{ trustDomain: 'b.example', bundle: second ?? '' }];
    change();
    change();
    stop.abort();
    await running;
    expect(records).toEqual([
      `RootAdded spiffe://b.example ${fingerprint(partner.certificate)}`,
      `RootRemoved spiffe://a.example ${fingerprint(istio.certificate)}`,
    ]);
  });
});

describe('the status of an issuer', () => {
  test('says whether its further roots are used, and nothing where it names none', () => {
    const named = issuer('a', [{ name: 'r', pem: pemOf(istio) }]);
    const condition = (faults: readonly string[]) => withRoots(named, { conditions: [] }, faults, now).conditions?.[0];
    expect(condition([])).toMatchObject({ type: 'RootsAccepted', status: 'True' });
    expect(condition(['root "r": no'])).toMatchObject({
      status: 'False',
      reason: 'RootsBroken',
      message: 'root "r": no',
    });
    expect(withRoots(issuer('a', []), { conditions: [] }, [], now)).toEqual({ conditions: [] });
  });
});

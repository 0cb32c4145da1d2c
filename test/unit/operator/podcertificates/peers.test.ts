// How pods with certificates of their own hold up the rotation of a CA: their kubelets renew when it is time, and nobody sooner.
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { StatusReport } from '../../../../lib/api/control.ts';
import type { TLSIssuer } from '../../../../lib/api/tlsissuer.ts';
import type { Pod, Secret } from '../../../../lib/kube/object.ts';
import { ObjectStore } from '../../../../lib/kube/store.ts';
import { fingerprint } from '../../../../lib/pki/bundle.ts';
import { notFollowing } from '../../../../operator/authority/lag.ts';
import { Peers } from '../../../../operator/authority/peers.ts';
import type { CaFacts, RotationView } from '../../../../operator/authority/rotationview.ts';
import { SignedSerials } from '../../../../operator/authority/serials.ts';
import { PodCertificates } from '../../../../operator/podcertificates/issued.ts';
import { bundleOf, type TrustBundle } from '../../../../operator/trust/mesh.ts';
import { TestClock } from '../../../support/clock.ts';
import { testAuthority } from '../../../support/pki.ts';
import { podWithCertificate } from '../../../support/podcertificates.ts';

let trusted: TrustBundle;

beforeAll(async () => {
  trusted = bundleOf([(await testAuthority()).certificate]);
});

const running = (pod: Pod, kind = 'true'): Pod => ({
  ...pod,
  metadata: { ...pod.metadata, labels: { ...pod.metadata.labels, 'tabard.dev/injected': kind } },
  status: { phase: 'Running' },
});
const issuer = (name: string, keyIds: readonly string[]): TLSIssuer => ({
  apiVersion: 'tabard.dev/v1alpha1',
  kind: 'TLSIssuer',
  metadata: { name, uid: name, resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' },
  spec: { selfSigned: {} },
  status: {
    authorities: keyIds.map((keyId) => ({
      keyId,
      fingerprint: keyId,
      notAfter: '2027-01-01T00:00:00Z',
      role: 'Active',
    })),
  },
});

interface Setting {
  readonly kind?: 'true' | 'certificate';
  readonly serial?: string;
  readonly issuerKeyId?: string;
  /** Key id of the CA of the pod's granted certificate, as this process has seen it. */
  readonly granted?: string;
}

/** Who holds up the rotation of issuer `cluster` to the CA with key id NEW. */
function laggards({ kind = 'true', serial, issuerKeyId, granted }: Setting): readonly string[] {
  const pods = new ObjectStore<Pod>();
  pods.replace([running(podWithCertificate(), kind)]);
  const secrets = new ObjectStore<Secret>();
  secrets.replace([]);
  const issuers = new ObjectStore<TLSIssuer>();
  issuers.replace([issuer('cluster', ['NEW', 'OLD']), issuer('vault', ['OTHER'])]);
  const clock = new TestClock();
  const [serials, podCertificates] = [new SignedSerials(), new PodCertificates()];
  podCertificates.subscribe((each) => serials.note(each.serial, each.issuer, each.keyId ?? ''));
  const now = clock.now();
  if (granted !== undefined) {
    const name = granted === 'OTHER' ? 'vault' : 'cluster';
    const times = { notBefore: new Date(0), notAfter: new Date(now.getTime() + 3_600_000), refreshAt: now };
    const whose = { podUid: 'pod-vault-0', namespace: 'shop', serial: 'A1' };
    podCertificates.note({ ...whose, issuer: name, keyId: granted, ...times });
  }
  const authorities = trusted.members.map(fingerprint);
  const report: StatusReport = {
    podName: 'vault-0',
    podUid: 'pod-vault-0',
    selfVersion: '',
    bundleFingerprint: '',
    authorities,
    serial: serial ?? '',
    ...(issuerKeyId === undefined ? {} : { issuerKeyId }),
    notAfter: '',
    plaintext: [],
  };
  const reports = {
    ofPod: () => (serial === undefined ? undefined : { report }),
    subscribe: () => () => undefined,
  };
  const trust = { current: () => trusted };
  const peers = new Peers({ pods, secrets, reports, trust, serials, podCertificates, issuers, clock });
  const active: CaFacts = {
    fingerprint: 'f',
    keyId: 'NEW',
    issuedAt: new Date(0),
    notAfter: new Date(4e12),
    anchors: authorities,
  };
  const first = peers.of('cluster');
  const view = { now, ring: { active }, peers: first, leaves: [], waits: { filesMs: 0, settleMs: 0 } };
  return notFollowing(view as unknown as RotationView).map((text) => text.replace(/^shop\/vault-0: /, ''));
}

describe('a pod with a certificate of its own', () => {
  test.each<[string, Setting, readonly string[]]>([
    ['has followed when its certificate is of the new CA', { serial: 'A1', granted: 'NEW' }, []],
    ['lags with one of the former CA', { serial: 'A1', granted: 'OLD' }, ['uses a certificate of the former CA']],
    ['is none of this issuer’s business with one of another', { serial: 'A1', granted: 'OTHER' }, []],
    ['lags while its sidecar does not report', { granted: 'NEW' }, ['its sidecar does not report']],
    [
      'lags when nobody knows its serial, as after a restart of the operator',
      { serial: 'B2' },
      ['it is not known which certificate it uses'],
    ],
    ['is known by the key id that its sidecar reports', { serial: 'B2', issuerKeyId: 'NEW' }, []],
    [
      'lags by the key id that its sidecar reports',
      { serial: 'B2', issuerKeyId: 'OLD' },
      ['uses a certificate of the former CA'],
    ],
    ['is another issuer’s by the key id that its sidecar reports', { serial: 'B2', issuerKeyId: 'OTHER' }, []],
    [
      'lags by a key id that no issuer knows',
      { serial: 'B2', issuerKeyId: 'GONE' },
      ['it is not known which certificate it uses'],
    ],
    [
      'has followed without a sidecar when it was granted one of the new CA',
      { kind: 'certificate', granted: 'NEW' },
      [],
    ],
    [
      'lags without a sidecar when it was granted one of the former CA',
      { kind: 'certificate', granted: 'OLD' },
      ['uses a certificate of the former CA'],
    ],
    [
      'lags without a sidecar when nothing is known of its certificate',
      { kind: 'certificate' },
      ['it is not known which certificate it uses'],
    ],
  ])('%s', (_, setting, expected) => {
    expect(laggards(setting)).toEqual(expected);
  });
});

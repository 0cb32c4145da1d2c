// Whom the signer of pod certificates answers what: every refusal is a row.
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Pod, PodCertificateRequest } from '../../../../lib/kube/object.ts';
import type { IssuerState } from '../../../../operator/issuers/issuer.ts';
import { decide, type Question } from '../../../../operator/podcertificates/decide.ts';
import { askFor, podWithCertificate } from '../../../support/podcertificates.ts';

const now = new Date('2026-06-01T12:00:00Z');
const hour = 3_600_000;
const issuer: IssuerState = {
  ready: true,
  keyId: 'AB',
  notAfter: new Date(now.getTime() + 2_160 * hour),
  trustBundle: '',
  bundleFingerprint: '',
  mesh: true,
};
const pod = podWithCertificate();
let request: PodCertificateRequest;
let good: Question;

beforeAll(async () => {
  ({ request } = await askFor(pod));
  good = {
    request,
    pod,
    nodeUid: 'uid-node-1',
    settings: { issuer: 'cluster', delivery: 'PodCertificate', lifetimeMs: 24 * hour },
    issuer,
    signsForOthers: true,
    revoked: undefined,
    now,
  };
});

const asked = (spec: Partial<PodCertificateRequest['spec']>): Partial<Question> => ({
  request: { ...request, spec: { ...request.spec, ...spec } },
});
const changed = (change: { metadata?: object; spec?: object; status?: object }): Partial<Question> => ({
  pod: {
    ...pod,
    metadata: { ...pod.metadata, ...change.metadata },
    spec: { ...pod.spec, ...change.spec },
    status: { ...pod.status, ...change.status },
  } as Pod,
});
const secretVolume = { name: 'tabard-tls', projected: { sources: [{ secret: { name: 'tabard-vault' } }] } };
const otherSigner = { name: 'tabard-tls', projected: { sources: [{ podCertificate: { signerName: 'other/x' } }] } };

describe('a request of a kubelet', () => {
  test('that is its own pod’s is signed for the policy’s lifetime', () => {
    expect(decide(good)).toMatchObject({ kind: 'sign', lifetimeMs: 24 * hour });
  });

  test('is signed also while the pod is being deleted, or its node is not known here', () => {
    expect(decide({ ...good, ...changed({ metadata: { deletionTimestamp: now.toISOString() } }) }).kind).toBe('sign');
    expect(decide({ ...good, nodeUid: undefined }).kind).toBe('sign');
  });

  test.each<[string, string, () => Partial<Question>]>([
    ['whose pod is not there', 'PodNotFound', () => ({ pod: 'absent' })],
    ['whose pod is outside the mesh', 'NotInjected', () => ({ pod: 'outside' })],
    ['for another pod of the same name', 'PodMismatch', () => asked({ podUID: 'pod-of-yesterday' })],
    ['for a pod that succeeded', 'PodFinished', () => changed({ status: { phase: 'Succeeded' } })],
    ['for a pod that failed', 'PodFinished', () => changed({ status: { phase: 'Failed' } })],
    ['for a pod without the mark of injection', 'NotInjected', () => changed({ metadata: { labels: {} } })],
    ['for a pod without a service', 'NotInjected', () => changed({ metadata: { annotations: {} } })],
    [
      'for a pod with a name that is no service',
      'NotInjected',
      () => changed({ metadata: { annotations: { 'tabard.dev/service': 'a/../../svc/admin' } } }),
    ],
    ['for a pod on the host network', 'NotInjected', () => changed({ spec: { hostNetwork: true } })],
    ['for a pod that reads a Secret', 'NotMounted', () => changed({ spec: { volumes: [secretVolume] } })],
    [
      'for a pod with a certificate of another signer',
      'NotMounted',
      () => changed({ spec: { volumes: [otherSigner] } }),
    ],
    ['for a pod without the volume', 'NotMounted', () => changed({ spec: { volumes: [] } })],
    ['with another service account', 'ServiceAccountMismatch', () => asked({ serviceAccountName: 'admin' })],
    [
      'with an account for a pod that has the default one',
      'ServiceAccountMismatch',
      () => changed({ spec: { serviceAccountName: undefined } }),
    ],
    ['of another node', 'NodeMismatch', () => asked({ nodeName: 'node-2' })],
    ['of a node of the same name that was replaced', 'NodeMismatch', () => ({ nodeUid: 'uid-of-the-new-node' })],
    ['for a pod that is not on a node yet', 'NodeMismatch', () => changed({ spec: { nodeName: undefined } })],
    [
      'with annotations for the signer',
      'InvalidUnverifiedUserAnnotations',
      () => asked({ unverifiedUserAnnotations: { 'tabard.dev/identity': 'spiffe://cluster.local/ns/shop/svc/admin' } }),
    ],
    ['without PKCS#10', 'InvalidRequest', () => ({ request: without('stubPKCS10Request') })],
    ['with garbage as PKCS#10', 'InvalidRequest', () => asked({ stubPKCS10Request: 'AAAA' })],
  ])('%s is denied: %s', (_, reason, change) => {
    expect(decide({ ...good, ...change() })).toMatchObject({ kind: 'deny', reason });
  });

  const without = (member: 'stubPKCS10Request'): PodCertificateRequest => {
    const { [member]: _, ...spec } = request.spec;
    return { ...request, spec };
  };

  test('with a key that no policy knows is denied, and told which kinds are', () => {
    // An empty request of Go's crypto/x509 for a P-521 key.
    const p521 =
      'MIIBQzCBpQIBADAAMIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQBj01jyCOua7v1d+W5nG/tdrLXsv9OU83ph3tpeN5paGfI+81ilVCeYYLx8IfW1Lv9vWLK6PjSK5keaRX2uPCzxbgBFNFnJ7qcVu/I8bxcS1HlwnOS9Fypc+g+4uLAV9sJLLl4oweO7q3BgY7o1jWFTKMBA59MPN0ud8TDt2rKSC60l8mgADAKBggqhkjOPQQDBAOBjAAwgYgCQgC+Fo/XBl8AJmzQZvonfe1kivHpUP8SxYaE4It6MWmPPayTLvwwhQBNhuYKwc8Ptt7vZO6AqZ1RWE6tOzavpLqd6AJCAfY6geSdh20Z1V57yzVrtfWY49aOAgCDfEQQtRvGbwKIoq/aCbJ41/73wY/0v1XhzDyXfqeSDlUHU/DckxJlIwzp';
    const decision = decide({ ...good, ...asked({ stubPKCS10Request: p521 }) });
    expect(decision).toMatchObject({ kind: 'deny', reason: 'UnsupportedKeyType' });
    expect(decision).toMatchObject({ message: expect.stringContaining('ECDSAP256') });
  });

  test.each<[string, string, () => Partial<Question>]>([
    [
      'the policy asks for Secrets',
      'DeliveryMismatch',
      () => ({ settings: { ...good.settings, delivery: 'Secret' as const } }),
    ],
    ['its identity is revoked', 'Revoked', () => ({ revoked: 'TLSRevocation "x" revokes it' })],
    [
      'there is no such issuer',
      'IssuerMissing',
      () => ({ issuer: { ready: false, reason: 'IssuerMissing', message: 'gone' } }),
    ],
    [
      'the issuer cannot sign now',
      'IssuerNotReady',
      () => ({ issuer: { ready: false, reason: 'IssuerNotReady', message: 'sealed' } }),
    ],
    ['the issuer signs no identities', 'IssuerUnfit', () => ({ issuer: { ...issuer, mesh: false } })],
    ['the issuer must see the key', 'IssuerUnfit', () => ({ signsForOthers: false })],
    [
      'the CA ends before an hour is over',
      'IssuerExpiring',
      () => ({ issuer: { ...issuer, notAfter: new Date(now.getTime() + hour - 121_000) } }),
    ],
  ])('waits while %s', (_, reason, change) => {
    expect(decide({ ...good, ...change() })).toMatchObject({ kind: 'wait', reason });
  });

  test('that is not the pod’s own is denied even where it would have to wait', () => {
    expect(decide({ ...good, ...asked({ podUID: 'x' }), revoked: 'y', signsForOthers: false }).kind).toBe('deny');
  });

  test.each<[string, number, () => Partial<Question>]>([
    ['an hour where the policy asks for less', hour, () => ({ settings: { ...good.settings, lifetimeMs: 600_000 } })],
    [
      'what the request allows, counted from the backdated begin',
      6 * hour - 120_000,
      () => asked({ maxExpirationSeconds: 6 * 3_600 }),
    ],
    ['an hour in all where the request allows no more', hour - 120_000, () => asked({ maxExpirationSeconds: 3_600 })],
    ['what the issuer allows', 5 * hour, () => ({ issuer: { ...issuer, longestLifetimeMs: 5 * hour } })],
    ['an hour where the issuer allows less', hour, () => ({ issuer: { ...issuer, longestLifetimeMs: 60_000 } })],
  ])('is signed for %s', (_, lifetimeMs, change) => {
    expect(decide({ ...good, ...change() })).toMatchObject({ kind: 'sign', lifetimeMs });
  });
});

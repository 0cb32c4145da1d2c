import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { KubeError } from '../../../../lib/kube/errors.ts';
import { resources } from '../../../../lib/kube/resources.ts';
import { BACKDATE_MS } from '../../../../lib/pki/ca.ts';
import { judgeCredentials } from '../../../../lib/runtime/credentials.ts';
import { dataOf } from '../../../../operator/certificates/secret.ts';
import { CertificateBench } from '../../../support/certificates.ts';
import { DAY_MS } from '../../../support/pki.ts';

const hour = 3_600_000;
// Keys are made in real time, which a busy machine stretches.
jest.setTimeout(20_000);

let bench: CertificateBench;

beforeEach(async () => {
  bench = await new CertificateBench().start();
});
afterEach(() => bench.stop());

describe('the first certificate of a service', () => {
  test('is in its Secret once a pod appears, with everything that the pod needs', async () => {
    bench.service('web');
    bench.pod('web-1');
    await bench.issued();
    const secret = bench.secret();
    const text = (key: string): string => (secret === undefined ? '' : dataOf(secret, key));
    const texts = { certificate: text('tls.crt'), key: text('tls.key'), trustBundle: text('ca.crt') };
    expect(judgeCredentials(texts, bench.clock.now())).toMatchObject({ good: true });
    expect(secret?.type).toBe('kubernetes.io/tls');
    expect(secret?.metadata.labels).toEqual({ 'app.kubernetes.io/managed-by': 'tabard', 'tabard.dev/service': 'web' });
    expect(bench.leaf().subjectAltName).toContain('URI:spiffe://cluster.local/ns/shop/svc/web');
    expect(bench.dnsNames()).toEqual(['web', 'web.shop', 'web.shop.svc', 'web.shop.svc.cluster.local']);
  });

  test('is described by annotations that are true', async () => {
    bench.pod('web-1');
    await bench.issued();
    expect(bench.secret()?.metadata.annotations).toEqual({
      'tabard.dev/service': 'web',
      'tabard.dev/serial': bench.leaf().serialNumber,
      'tabard.dev/issued-at': '2026-01-01T00:00:00Z',
      'tabard.dev/issued-for': 'Missing',
      'tabard.dev/not-before': bench.leaf().validFromDate.toISOString().replace('.000Z', 'Z'),
      'tabard.dev/not-after': bench.leaf().validToDate.toISOString().replace('.000Z', 'Z'),
      'tabard.dev/renew-at': expect.stringMatching(/^2026-01-01T1[3-6]:/),
      'tabard.dev/issuer': 'cluster',
      'tabard.dev/lifetime': '1d',
    });
  });

  test('is owned by the workload, not by its ReplicaSet', async () => {
    bench.pod('web-1');
    await bench.issued();
    expect(bench.secret()?.metadata.ownerReferences).toEqual([
      { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'deployment-web' },
    ]);
  });

  test('takes one create, and the question who owns the ReplicaSet', async () => {
    const seen = bench.calls();
    bench.pod('web-1');
    bench.pod('web-2');
    await bench.issued();
    await bench.quiet();
    expect(seen).toEqual(['get replicasets web-set', 'create secrets tabard-web']);
  });

  test('is one for all pods of the service, also for those that come later', async () => {
    bench.pod('web-1');
    const serial = await bench.issued();
    bench.pod('web-2');
    await bench.quiet();
    expect(bench.serial()).toBe(serial);
  });

  test('is made for a pod that has the certificate alone, as for one with a sidecar', async () => {
    bench.pod('gateway-1', 'gateway', { labels: { 'tabard.dev/injected': 'certificate' } });
    await bench.issued('gateway');
    expect(bench.leaf('gateway').subjectAltName).toContain('spiffe://cluster.local/ns/shop/svc/gateway');
  });

  test('is not made for a pod that finished or is not injected', async () => {
    bench.pod('done-1', 'done', { phase: 'Succeeded' });
    bench.pod('plain-1', 'plain', { labels: { 'tabard.dev/injected': 'false' } });
    await bench.quiet();
    expect([bench.secret('done'), bench.secret('plain')]).toEqual([undefined, undefined]);
  });

  test('is told of by an event on the policy', async () => {
    bench.policy('all');
    bench.pod('web-1');
    await bench.issued();
    await bench.quiet();
    expect(bench.events).toContain('Normal Issued TLSPolicy/all');
  });

  test('does not wait for an owner that cannot be found out, and gets it later', async () => {
    let away = true;
    bench.kube.onCall = ({ resource }) => {
      if (away && resource === 'replicasets') throw new KubeError('Unavailable', 'no');
    };
    bench.pod('web-1');
    const serial = await bench.issued();
    expect(bench.secret()?.metadata.ownerReferences).toEqual([]);
    away = false;
    bench.pod('web-2');
    await bench.until(
      () => bench.secret()?.metadata.ownerReferences?.length,
      (count) => count === 1,
    );
    expect(bench.serial()).toBe(serial);
  });

  test('is as the policy says', async () => {
    bench.policy('rsa', { certificate: { key: 'RSA-2048', lifetime: '7d', dnsNames: ['www.example.com'] } });
    bench.pod('web-1');
    await bench.issued();
    expect(bench.leaf().publicKey.asymmetricKeyDetails).toMatchObject({ modulusLength: 2048 });
    const { validFromDate, validToDate } = bench.leaf();
    expect(validToDate.getTime() - validFromDate.getTime()).toBe(7 * DAY_MS + BACKDATE_MS);
    expect(bench.dnsNames()).toEqual(['www.example.com']);
  });
});

describe('a Secret', () => {
  test('that is deleted by hand comes back with a new key', async () => {
    bench.pod('web-1');
    const serial = await bench.issued();
    const key = bench.secret()?.data?.['tls.key'];
    await bench.kube.delete(resources.secrets, { namespace: 'shop', name: 'tabard-web' });
    await bench.until(
      () => bench.serial(),
      (next) => next !== undefined && next !== serial,
    );
    expect(bench.secret()?.data?.['tls.key']).not.toBe(key);
  });

  test.each<[string, Record<string, string>]>([
    ['without a certificate', {}],
    ['with a garbled certificate', { 'tls.crt': 'AAAA' }],
    ['with a garbled key', { 'tls.key': 'AAAA' }],
  ])('%s is replaced', async (_, data) => {
    bench.pod('web-1');
    const serial = await bench.issued();
    const live = bench.secret();
    const broken = Object.keys(data).length === 0 ? {} : { ...live?.data, ...data };
    bench.kube.seed(resources.secrets, { ...live, metadata: { ...live?.metadata, name: 'tabard-web' }, data: broken });
    await bench.until(
      () => bench.serial(),
      (next) => next !== undefined && next !== serial,
    );
    expect(bench.outcomes.get('shop/web')?.blocked).toBeUndefined();
    await bench.until(
      () => bench.outcomes.get('shop/web')?.current.kind,
      (kind) => kind === 'held',
    );
  });

  test('of somebody else is never touched; status and events say so, and it goes on when it is gone', async () => {
    bench.policy('all');
    const foreign = bench.kube.seed(resources.secrets, {
      metadata: { name: 'tabard-web', namespace: 'shop' },
      data: { a: 'YQ==' },
    });
    bench.pod('web-1');
    await bench.until(
      () => bench.condition('all', 'Ready'),
      (text) => text === 'False SecretNotOurs',
    );
    expect(bench.secret()).toEqual(foreign);
    expect(bench.events).toEqual(
      expect.arrayContaining(['Warning SecretNotOurs TLSPolicy/all', 'Warning SecretNotOurs Deployment/web']),
    );
    await bench.kube.delete(resources.secrets, { namespace: 'shop', name: 'tabard-web' });
    await bench.pass(31_000);
    await bench.issued();
    await bench.until(
      () => bench.condition('all', 'Ready'),
      (text) => text === 'True CertificatesValid',
    );
  });

  test('that lost our label is no longer ours', async () => {
    bench.pod('web-1');
    await bench.issued();
    const live = bench.secret();
    bench.kube.seed(resources.secrets, { ...live, metadata: { name: 'tabard-web', namespace: 'shop', labels: {} } });
    await bench.quiet();
    expect(bench.secret()?.metadata.labels).toEqual({});
    expect(bench.outcomes.get('shop/web')?.blocked?.reason).toBe('SecretNotOurs');
  });

  test('of a type that cannot be changed is made anew', async () => {
    bench.kube.seed(resources.secrets, {
      metadata: {
        name: 'tabard-web',
        namespace: 'shop',
        labels: { 'app.kubernetes.io/managed-by': 'tabard', 'tabard.dev/service': 'web' },
      },
      type: 'Opaque',
      data: {},
    });
    bench.pod('web-1');
    await bench.issued();
    expect(bench.secret()?.type).toBe('kubernetes.io/tls');
  });

  test('keeps what other tools wrote beside ours through a renewal', async () => {
    bench.pod('web-1');
    const serial = await bench.issued();
    const patch = { metadata: { annotations: { 'example.com/note': 'mine' }, labels: { team: 'a' } } };
    await bench.kube.patch(resources.secrets, { namespace: 'shop', name: 'tabard-web' }, patch, {
      fieldManager: 'kubectl',
    });
    await bench.pass(DAY_MS);
    await bench.until(
      () => bench.serial(),
      (next) => next !== serial,
    );
    expect(bench.secret()?.metadata.annotations?.['example.com/note']).toBe('mine');
    expect(bench.secret()?.metadata.labels?.['team']).toBe('a');
  });

  test('without owner and pods goes after ten minutes', async () => {
    bench.pod('web-1');
    await bench.issued();
    const live = bench.secret();
    const metadata = { ...live?.metadata, name: 'tabard-web', ownerReferences: [] };
    await bench.kube.delete(resources.pods, { namespace: 'shop', name: 'web-1' });
    bench.kube.seed(resources.secrets, { ...live, metadata });
    await bench.pass(9 * 60_000);
    expect(bench.secret()).toBeDefined();
    await bench.pass(2 * 60_000);
    await bench.until(
      () => bench.secret(),
      (secret) => secret === undefined,
    );
  });

  test('of a workload without pods stays, and is renewed in time', async () => {
    bench.pod('web-1');
    const serial = await bench.issued();
    await bench.kube.delete(resources.pods, { namespace: 'shop', name: 'web-1' });
    await bench.pass(hour);
    expect(bench.serial()).toBe(serial);
    await bench.pass(DAY_MS);
    const next = await bench.until(
      () => bench.serial(),
      (each) => each !== serial,
    );
    bench.pod('web-2');
    await bench.quiet();
    expect(bench.serial()).toBe(next);
  });
});

import { X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { KubeError } from '../../../../lib/kube/errors.ts';
import { resources } from '../../../../lib/kube/resources.ts';
import { chainVerdict } from '../../../../lib/pki/verify.ts';
import { renewalTime, type Times } from '../../../../operator/certificates/schedule.ts';
import { dataOf } from '../../../../operator/certificates/secret.ts';
import { CertificateBench } from '../../../support/certificates.ts';

const hour = 3_600_000;
// Keys are made in real time, which a busy machine stretches.
jest.setTimeout(20_000);

let bench: CertificateBench;

beforeEach(async () => {
  bench = await new CertificateBench().start();
});
afterEach(() => bench.stop());

const timesOf = (leaf: X509Certificate): Times => ({
  serial: leaf.serialNumber,
  notBefore: leaf.validFromDate,
  notAfter: leaf.validToDate,
});
const exists = (value: unknown): boolean => value !== undefined;
const ca = (): X509Certificate => new X509Certificate(bench.authority.current()?.authority.certificate ?? '');
const failing = (verb: string, resource: string, error: () => KubeError): void => {
  bench.kube.onCall = (call) => {
    if (call.verb === verb && call.resource === resource) throw error();
  };
};

describe('renewal', () => {
  test('happens by itself, with a new key and no gap', async () => {
    bench.service('web');
    bench.pod('web-1');
    await bench.issued();
    const before = { serial: bench.serial(), key: bench.leaf().publicKey, until: bench.leaf().validToDate };
    await bench.pass(15 * hour);
    expect(bench.serial()).toBe(before.serial === undefined ? '' : bench.serial());
    await bench.pass(2 * hour);
    await bench.until(
      () => bench.serial(),
      (serial) => serial !== before.serial,
    );
    expect(bench.leaf().publicKey.equals(before.key)).toBe(false);
    expect(bench.leaf().validFromDate < before.until).toBe(true);
    expect(bench.dnsNames()).toHaveLength(4);
  });

  test('over ten days never leaves the service without a valid certificate', async () => {
    bench.pod('web-1');
    await bench.issued();
    const serials = new Set<string>();
    for (let step = 0; step < 10 * 12; step += 1) {
      await bench.pass(2 * hour);
      // Signing takes real time, of which the test's clock knows nothing: it stands until what is due is done.
      await bench.until(
        () => bench.leaf(),
        (leaf) => renewalTime(timesOf(leaf), 66) > bench.clock.now(),
      );
      serials.add(bench.leaf().serialNumber);
    }
    // Due after 13.4 to 15.9 hours, so done at the step of 14 or 16.
    expect(serials.size).toBeGreaterThanOrEqual(15);
    expect(serials.size).toBeLessThanOrEqual(18);
  }, 20_000);

  test('that fails is tried again, and the valid certificate stays meanwhile', async () => {
    bench.policy('all');
    bench.pod('web-1');
    const serial = await bench.issued();
    failing('apply', 'secrets', () => new KubeError('Unavailable', 'the API server is away'));
    await bench.pass(20 * hour);
    await bench.until(
      () => bench.condition('all', 'Ready'),
      (condition) => condition === 'False IssuanceFailed',
    );
    expect(bench.serial()).toBe(serial);
    expect(bench.status('all')?.services).toMatchObject([{ name: 'web', ready: true }]);
    expect(bench.events.filter((event) => event === 'Warning IssuanceFailed TLSPolicy/all')).toHaveLength(1);
    bench.kube.onCall = () => undefined;
    await bench.pass(6 * 60_000);
    await bench.until(
      () => bench.serial(),
      (next) => next !== serial,
    );
    await bench.until(
      () => bench.condition('all', 'Ready'),
      (text) => text === 'True CertificatesValid',
    );
  });
});

describe('changes', () => {
  test('of the Services in front of a service change its names', async () => {
    bench.service('web');
    bench.pod('web-1');
    await bench.issued();
    bench.service('www', { app: 'web' });
    await bench.until(
      () => bench.dnsNames(),
      (seen) => seen.includes('www.shop.svc'),
    );
    await bench.kube.delete(resources.services, { namespace: 'shop', name: 'web' });
    await bench.until(
      () => bench.dnsNames(),
      (seen) => !seen.includes('web'),
    );
    expect(bench.dnsNames()).toEqual(['www', 'www.shop', 'www.shop.svc', 'www.shop.svc.cluster.local']);
  });

  test('of other Services change nothing', async () => {
    bench.service('web');
    bench.pod('web-1');
    const serial = await bench.issued();
    bench.service('api', { app: 'api' });
    await bench.quiet();
    expect(bench.serial()).toBe(serial);
  });

  test('a headless Service gives the names of its pods', async () => {
    bench.service('db', { app: 'db' }, 'None');
    bench.pod('db-0', 'db');
    await bench.issued('db');
    expect(bench.dnsNames('db')).toContain('*.db.shop.svc.cluster.local');
  });

  test('of the policy are followed', async () => {
    bench.policy('all');
    bench.pod('web-1');
    const serial = await bench.issued();
    bench.policy('all', { certificate: { key: 'Ed25519' } });
    await bench.until(
      () => bench.serial(),
      (next) => next !== serial,
    );
    expect(bench.leaf().publicKey.asymmetricKeyType).toBe('ed25519');
  });

  test("of a pod's status or of a policy's status ask for nothing", async () => {
    bench.policy('all');
    const pod = bench.pod('web-1');
    await bench.issued();
    await bench.quiet();
    const seen = bench.calls();
    bench.kube.seed(resources.pods, {
      ...pod,
      metadata: { ...pod.metadata },
      status: { phase: 'Running', podIP: '10.1.1.1' },
    });
    await bench.quiet();
    expect(seen).toEqual([]);
  });

  test('of the CA have every certificate issued anew', async () => {
    bench.pod('web-1');
    bench.pod('api-1', 'api');
    await bench.issued();
    await bench.issued('api');
    const before = ca();
    // An exchanged CA waits for the sidecars (authority/keeper.rotation.test.ts); one that is distrusted is replaced at once.
    const fingerprint = bench.authority.current()?.authority.fingerprint;
    const metadata = { annotations: { 'tabard.dev/distrust-now': fingerprint } };
    await bench.kube.patch(resources.tlsissuers, { name: 'cluster' }, { metadata });
    for (const service of ['web', 'api']) {
      await bench.until(
        () => bench.leaf(service).checkIssued(before),
        (old) => !old,
      );
      const verdict = chainVerdict({ leaf: bench.leaf(service), bundle: [ca()], now: bench.clock.now() });
      expect(verdict).toMatchObject({ ok: true });
      await bench.until(
        () => dataOf(bench.secret(service) ?? never(), 'ca.crt'),
        (bundle) => bundle === bench.authority.current()?.trustBundle,
      );
    }
  });

  test('to an issuer that is missing leave the good certificate and say so', async () => {
    bench.policy('all');
    bench.pod('web-1');
    const serial = await bench.issued();
    await bench.until(
      () => bench.condition('all', 'Ready'),
      (text) => text === 'True CertificatesValid',
    );
    bench.policy('all', { certificate: { issuer: 'nobody' } });
    await bench.until(
      () => bench.condition('all', 'Ready'),
      (text) => text === 'False IssuerMissing',
    );
    expect(bench.serial()).toBe(serial);
    expect(bench.status('all')?.services).toMatchObject([{ name: 'web', ready: true, serial }]);
    expect(bench.events).toContain('Warning IssuerMissing TLSPolicy/all');
    bench.policy('all');
    await bench.until(
      () => bench.condition('all', 'Ready'),
      (text) => text === 'True CertificatesValid',
    );
    expect(bench.serial()).toBe(serial);
  });

  test('another writer that was first is not overwritten with a second certificate', async () => {
    let once = true;
    bench.kube.onCall = ({ verb, resource }) => {
      if (!once || verb !== 'create' || resource !== 'secrets') return;
      once = false;
      throw new KubeError('Conflict', 'somebody else was first', { status: 409 });
    };
    bench.pod('web-1');
    await bench.issued();
    expect(once).toBe(false);
  });
});

describe('many services', () => {
  test('get their certificates at once, each its own', async () => {
    for (let index = 0; index < 60; index += 1) bench.pod(`s${index}-1`, `s${index}`);
    const serials = () => Array.from({ length: 60 }, (_, index) => bench.serial(`s${index}`));
    const seen = await bench.until(serials, (each) => each.every(exists));
    expect(new Set(seen).size).toBe(60);
  });

  test('are counted and timed in metrics', async () => {
    bench.pod('web-1');
    await bench.issued();
    await bench.quiet();
    const text = await bench.deps.registry.text();
    expect(text).toContain('tabard_certificates_issued_total{reason="Missing"} 1');
    expect(text).toContain(
      `tabard_certificate_expiration_timestamp_seconds{namespace="shop",service="web"} ${bench.leaf().validToDate.getTime() / 1_000}`,
    );
    expect(text).toMatch(/tabard_certificate_renewal_timestamp_seconds\{namespace="shop",service="web"\} \d+/);
    expect(text).toContain('tabard_certificates_waiting 0');
  });

  test('leave no key material in the log', async () => {
    bench.pod('web-1');
    await bench.issued();
    await bench.quiet();
    const log = JSON.stringify(bench.deps.lines);
    expect(log).toContain('certificate issued');
    expect(log).not.toContain('PRIVATE KEY');
    expect(log).not.toContain(bench.secret()?.data?.['tls.key']);
  });
});

function never(): never {
  throw new Error('the Secret is not there');
}

// One test per thread in which users of other certificate managers complained of Secrets, keys, keystores and many certificates at once, named
// after it (the project's issue or pull request). docs/conformance.md has all of them with what is answered where.
import { createPublicKey } from 'node:crypto';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { resources } from '../../../lib/kube/resources.ts';
import { opensWith } from '../../../lib/pki/pkcs12.ts';
import { CertificateBench } from '../../support/certificates.ts';
import { DAY_MS } from '../../support/pki.ts';

// Keys are made in real time, which a busy machine stretches.
jest.setTimeout(120_000);

const hour = 3_600_000;
let bench: CertificateBench;

afterEach(() => bench?.stop());

/** A service with its certificate. */
async function mesh(): Promise<void> {
  bench = await new CertificateBench({ caLifetimeMs: 90 * DAY_MS }).start();
  bench.pod('web-1');
  await bench.issued();
}

/** The public half of the key in the Secret, and that of the certificate beside it. */
function keys(): readonly [string, string] {
  const pem = (key: string): Buffer => Buffer.from(bench.secret()?.data?.[key] ?? '', 'base64');
  const spki = { type: 'spki', format: 'pem' } as const;
  return [createPublicKey(pem('tls.key')).export(spki), bench.leaf().publicKey.export(spki)];
}

const changed = (before: string | undefined) =>
  bench.until(
    () => bench.serial(),
    (serial) => serial !== undefined && serial !== before,
  );

describe('a Secret that is left behind, or deleted', () => {
  test.each([
    ['cert-manager#296: what nobody asks for any more goes'],
    ['cert-manager#897: it is cleaned up by Kubernetes, without a hand'],
    ['cert-manager#7463: it goes with its workload, and blocks nobody’s deletion'],
  ])('%s', async () => {
    await mesh();
    expect(bench.secret()?.metadata.ownerReferences).toEqual([
      { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'deployment-web' },
    ]);
  });

  test('cert-manager#4561: a workload that is only scaled to zero keeps it, and it stays valid', async () => {
    await mesh();
    await bench.kube.delete(resources.pods, { namespace: 'shop', name: 'web-1' });
    const serial = bench.serial();
    await bench.leap(2 * DAY_MS);
    await changed(serial);
    expect(bench.leaf().validToDate > bench.clock.now()).toBe(true);
  });

  test('cert-manager#4561: one that is deleted to have it renewed is back, with another key', async () => {
    await mesh();
    const [before] = keys();
    const serial = bench.serial();
    await bench.kube.delete(resources.secrets, { namespace: 'shop', name: 'tabard-web' });
    await changed(serial);
    const [key, certified] = keys();
    expect(key).toBe(certified);
    expect(key).not.toBe(before);
  });
});

describe('a key that is used again', () => {
  test.each([
    ['cert-manager#2402: a renewal brings a new key, without a setting'],
    ['cert-manager#7601: who has it issued anew after a leak gets another key'],
  ])('%s', async () => {
    await mesh();
    const seen = new Set<string>();
    for (let renewal = 0; renewal < 4; renewal += 1) {
      const [key, certified] = keys();
      expect(key).toBe(certified);
      seen.add(key);
      const serial = bench.serial();
      const calls = bench.calls();
      await bench.leap(17 * hour);
      await changed(serial);
      // Key and certificate change in one write: nobody ever finds the one without the other.
      expect(calls.filter((call) => call.endsWith('secrets tabard-web'))).toEqual(['apply secrets tabard-web']);
    }
    expect(seen.size).toBe(4);
  });
});

describe('many certificates', () => {
  test.each([
    ['cert-manager#7572: all that are due at once are issued, and none hangs'],
    ['cert-manager#3990: each is signed and written once, however many wait'],
    ['cert-manager#3971: nothing is listed for it, so that the cost of one does not grow with the others'],
  ])('%s', async () => {
    await mesh();
    const services = Array.from({ length: 50 }, (_, index) => `svc-${index}`);
    for (const service of services) bench.pod(`${service}-1`, service);
    const serials = (): readonly (string | undefined)[] => services.map((service) => bench.serial(service));
    await bench.until(serials, (all) => !all.includes(undefined));
    await bench.quiet();
    const before = serials();
    const calls = bench.calls();
    await bench.leap(20 * hour);
    await bench.until(
      () => serials().filter((serial, index) => serial === before[index]).length,
      (left) => left === 0,
    );
    await bench.quiet();
    const writes = calls.filter((call) => /^(create|apply|patch|update|delete) secrets/.test(call)).sort();
    expect(writes).toEqual(['web', ...services].map((service) => `apply secrets tabard-${service}`).sort());
    expect(calls.filter((call) => call.startsWith('list secrets'))).toEqual([]);
  });
});

describe('keystores', () => {
  const file = (name: string): Buffer => Buffer.from(bench.secret()?.data?.[name] ?? '', 'base64');
  const withPassword = async (password: string): Promise<void> => {
    bench = await new CertificateBench().start();
    const data = { password: Buffer.from(password).toString('base64') };
    bench.kube.seed(resources.secrets, { metadata: { namespace: 'shop', name: 'keystore' }, data });
    const passwordSecretRef = { name: 'keystore', key: 'password' };
    bench.policy('all', { certificate: { keystores: [{ format: 'PKCS12', passwordSecretRef }] } });
    bench.pod('web-1');
    await bench.issued();
  };

  test.each([
    ['cert-manager#2789: a truststore lies beside the keystore'],
    ['cert-manager#3373: so does one in PKCS#12'],
    ['trust-manager#17: whoever trusts finds it in the form that Java reads'],
    ['trust-manager#199: its password is the user’s, which Java 17 wants'],
    ['csi-driver#130: Java reads PKCS#12 wherever it reads JKS'],
  ])('%s', async () => {
    await withPassword('of my own');
    for (const name of ['keystore.p12', 'truststore.p12']) {
      expect([name, opensWith(file(name), 'of my own'), opensWith(file(name), 'changeit')]).toEqual([
        name,
        true,
        false,
      ]);
    }
  });

  test('cert-manager#6783: an empty password is refused with its reason, since Java opens no file of that kind', async () => {
    bench = await new CertificateBench().start();
    bench.kube.seed(resources.secrets, { metadata: { namespace: 'shop', name: 'keystore' }, data: { password: '' } });
    const passwordSecretRef = { name: 'keystore', key: 'password' };
    bench.policy('all', { certificate: { keystores: [{ format: 'PKCS12', passwordSecretRef }] } });
    bench.pod('web-1');
    await bench.until(
      () => bench.condition('all', 'Ready'),
      (ready) => ready === 'False KeystorePasswordMissing',
    );
    expect(bench.secret()).toBeUndefined();
  });
});

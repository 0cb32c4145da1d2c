// Certificates under a clock that is an hour off, on either side, and Secrets that somebody edited: services keep a valid certificate, and nothing is
// issued that nobody needs. (The same for rotations of CAs: authority/disturbed.test.ts.)
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { resources } from '../../../../lib/kube/resources.ts';
import { judgeCredentials, MemoryCertificateSource } from '../../../../lib/runtime/credentials.ts';
import { dataOf } from '../../../../operator/certificates/secret.ts';
import { CertificateBench } from '../../../support/certificates.ts';
import { DAY_MS, testAuthority } from '../../../support/pki.ts';

// Keys are made in real time, which a busy machine stretches.
jest.setTimeout(60_000);

const hour = 3_600_000;
let bench: CertificateBench;

beforeEach(async () => {
  bench = await new CertificateBench().start();
  // A CA that was made just now is not valid an hour ago; one in use has been for long.
  await bench.leap(5 * DAY_MS);
  bench.service('web');
  bench.pod('web-1');
  await bench.issued();
  await bench.quiet();
});
afterEach(() => bench.stop());

function texts() {
  const secret = bench.secret();
  if (secret === undefined) throw new Error('there is no Secret');
  const [certificate, key, trustBundle] = ['tls.crt', 'tls.key', 'ca.crt'].map((name) => dataOf(secret, name));
  return { certificate: certificate ?? '', key: key ?? '', trustBundle: trustBundle ?? '' };
}

const anew = (before: string | undefined) =>
  bench.until(
    () => bench.serial(),
    (serial) => serial !== undefined && serial !== before,
  );

describe('a clock of the operator', () => {
  test('that jumps an hour ahead has nothing issued', async () => {
    const serial = bench.serial();
    await bench.leap(hour);
    await bench.quiet();
    expect(bench.serial()).toBe(serial);
  });

  test('that is set back by an hour has one certificate made that is valid then and after', async () => {
    const first = bench.serial();
    await bench.leap(-hour);
    bench.pod('web-2');
    await anew(first);
    const second = bench.serial();
    expect(judgeCredentials(texts(), bench.clock.now())).toMatchObject({ good: true });
    await bench.leap(hour);
    await bench.quiet();
    expect(bench.serial()).toBe(second);
    expect(judgeCredentials(texts(), bench.clock.now())).toMatchObject({ good: true });
  });

  test('that is an hour ahead of the sidecars’ leaves them the old certificate until the new one’s time has come', async () => {
    const sidecar = new MemoryCertificateSource();
    const real = bench.clock.now();
    expect(sidecar.offer(texts(), real)).toMatchObject({ good: true });
    const old = bench.serial();
    await bench.leap(17 * hour);
    await anew(old);
    // Sixteen hours have really passed: the old one lives for eight more.
    const at = (hours: number): Date => new Date(real.getTime() + hours * hour);
    expect(sidecar.offer(texts(), at(16))).toMatchObject({ good: false, fault: 'not_yet_valid' });
    expect(sidecar.current()?.serial).toBe(old);
    expect(sidecar.offer(texts(), at(17.1))).toMatchObject({ good: true });
    expect(sidecar.current()?.serial).toBe(bench.serial());
  });

  test('that is an hour behind the sidecars’ issues what is good at once, and renews before theirs ends', async () => {
    const sidecar = new MemoryCertificateSource();
    const ahead = (): Date => new Date(bench.clock.now().getTime() + hour);
    expect(sidecar.offer(texts(), ahead())).toMatchObject({ good: true });
    for (let step = 0; step < 48; step += 1) {
      await bench.leap(hour / 2);
      await bench.quiet();
      expect(sidecar.offer(texts(), ahead())).toMatchObject({ good: true });
      expect((sidecar.current()?.notAfter ?? new Date(0)) > ahead()).toBe(true);
    }
  });
});

describe('a Secret that was edited', () => {
  const edit = async (data: Readonly<Record<string, string>>): Promise<void> => {
    const encoded = Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
    const ref = { namespace: 'shop', name: 'tabard-web' };
    await bench.kube.patch(resources.secrets, ref, { data: Object.fromEntries(encoded) });
  };

  test('to hold the good certificate of another service is made anew', async () => {
    bench.pod('other-1', 'other');
    await bench.issued('other');
    const other = bench.secret('other');
    if (other === undefined) throw new Error('there is no Secret of the other service');
    await edit({ 'tls.crt': dataOf(other, 'tls.crt'), 'tls.key': dataOf(other, 'tls.key') });
    await bench.until(
      () => bench.leaf().subjectAltName ?? '',
      (names) => names.includes('URI:spiffe://cluster.local/ns/shop/svc/web'),
    );
    expect(judgeCredentials(texts(), bench.clock.now())).toMatchObject({ good: true });
  });

  test('to trust a CA of somebody else has its bundle written again, and keeps its certificate', async () => {
    const serial = bench.leaf().serialNumber;
    const before = texts().trustBundle;
    const stranger = await testAuthority({ now: bench.clock.now() });
    await edit({ 'ca.crt': before + stranger.certificate });
    await bench.until(
      () => texts().trustBundle,
      (bundle) => bundle === before,
    );
    expect(bench.leaf().serialNumber).toBe(serial);
  });

  test('a hundred times in a row is made good after each, and the last time, too', async () => {
    for (let time = 0; time < 100; time += 1) {
      await edit({ 'tls.key': `garbage ${time}` });
      if (time % 10 === 0) await bench.pass(1_000);
    }
    await bench.until(
      () => judgeCredentials(texts(), bench.clock.now()).good,
      (good) => good,
    );
  });
});

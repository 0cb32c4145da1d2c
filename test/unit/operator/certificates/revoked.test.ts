// Certificates and revocations: nothing is issued to a revoked identity until it is lifted, and a revoked certificate is replaced at once.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { CertificateBench } from '../../../support/certificates.ts';

const web = 'spiffe://cluster.local/ns/shop/svc/web';
let bench: CertificateBench;

beforeEach(async () => {
  bench = await new CertificateBench().start();
  bench.policy('all');
});
afterEach(() => bench.stop());

describe('a revoked serial', () => {
  test('is replaced at once, with a new key, and the next Secret remembers it', async () => {
    bench.pod('web-0');
    const first = await bench.issued();
    const key = bench.secret()?.data?.['tls.key'];
    bench.revoke({ serial: first ?? '' });
    await bench.until(
      () => bench.serial(),
      (serial) => serial !== first,
    );
    expect(bench.secret()?.data?.['tls.key']).not.toBe(key);
    expect(bench.secret()?.metadata.annotations?.['tabard.dev/previous-serials']).toContain(`${first}/`);
    expect(bench.events).toContain('Normal Issued TLSPolicy/all');
  });
});

describe('a revoked identity', () => {
  test('gets no certificate, and its policy and events say so, until the revocation is lifted', async () => {
    const lift = bench.revoke({ identity: web });
    bench.pod('web-0');
    await bench.until(
      () => bench.condition('all', 'Ready'),
      (ready) => ready === 'False IdentityRevoked',
    );
    expect(bench.secret()).toBeUndefined();
    expect(bench.events).toContain('Warning IdentityRevoked TLSPolicy/all');
    lift();
    expect(await bench.issued()).toBeDefined();
    await bench.until(
      () => bench.condition('all', 'Ready'),
      (ready) => ready === 'True CertificatesValid',
    );
  });

  test('keeps what it has and gets no renewal; other services go on', async () => {
    bench.pod('web-0');
    bench.pod('api-0', 'api');
    const [own, other] = [await bench.issued(), await bench.issued('api')];
    bench.revoke({ identity: web });
    await bench.pass(20 * 3_600_000);
    await bench.until(
      () => bench.serial('api'),
      (serial) => serial !== other,
    );
    expect(bench.serial()).toBe(own);
  });
});

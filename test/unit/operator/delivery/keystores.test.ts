import { createSecureContext } from 'node:tls';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { resources } from '../../../../lib/kube/resources.ts';
import { opensWith } from '../../../../lib/pki/pkcs12.ts';
import { CertificateBench } from '../../../support/certificates.ts';

const hour = 3_600_000;
// Keys are made in real time, which a busy machine stretches.
jest.setTimeout(20_000);

let bench: CertificateBench;
beforeEach(async () => {
  bench = await new CertificateBench().start();
});
afterEach(() => bench.stop());

const ref = { name: 'keystore', key: 'password' };
const wanting = () =>
  bench.policy('all', { certificate: { keystores: [{ format: 'PKCS12', passwordSecretRef: ref }] } });
const passwordIs = (password: string, key = 'password') =>
  bench.kube.seed(resources.secrets, {
    metadata: { namespace: 'shop', name: 'keystore' },
    data: { [key]: Buffer.from(password).toString('base64') },
  });
const file = (name: string): Buffer | undefined => {
  const data = bench.secret()?.data?.[name];
  return data === undefined ? undefined : Buffer.from(data, 'base64');
};
/** Which of the passwords opens both files; `none` while there are none. */
const openedBy = (...passwords: readonly string[]): string => {
  const [keystore, truststore] = [file('keystore.p12'), file('truststore.p12')];
  if (keystore === undefined || truststore === undefined) return 'none';
  return passwords.find((each) => opensWith(keystore, each) && opensWith(truststore, each)) ?? 'neither';
};
const until = (see: () => unknown, wanted: unknown) => bench.until(see, (seen) => seen === wanted);
/** A key and its certificate, as OpenSSL sees it: it refuses a file whose key is of another certificate. */
const isWhole = () => createSecureContext({ pfx: file('keystore.p12') ?? '', passphrase: 'one' }) !== undefined;

describe('keystores', () => {
  test('stand beside the PEM files from the first write on, in one write', async () => {
    passwordIs('one');
    wanting();
    const calls = bench.calls();
    bench.pod('web-1');
    await bench.issued();
    await bench.quiet();
    expect(openedBy('one')).toBe('one');
    expect(isWhole()).toBe(true);
    expect(calls.filter((call) => call.endsWith(' secrets tabard-web'))).toEqual(['create secrets tabard-web']);
  });

  test('change with the certificate, in the same write', async () => {
    passwordIs('one');
    wanting();
    bench.pod('web-1');
    const serial = await bench.issued();
    const before = file('keystore.p12');
    await bench.quiet();
    const calls = bench.calls();
    await bench.pass(17 * hour);
    await bench.until(
      () => bench.serial(),
      (seen) => seen !== serial,
    );
    await bench.quiet();
    expect(file('keystore.p12')?.equals(before ?? Buffer.alloc(0))).toBe(false);
    expect(isWhole()).toBe(true);
    expect(calls.filter((call) => /^(create|apply|patch) secrets/.test(call))).toEqual(['apply secrets tabard-web']);
  });

  test('are written again as soon as the password changes, the certificate staying', async () => {
    passwordIs('one');
    wanting();
    bench.pod('web-1');
    const serial = await bench.issued();
    const before = bench.clock.now().getTime();
    passwordIs('two');
    await until(() => openedBy('one', 'two'), 'two');
    // Looks by time alone are five minutes apart.
    expect(bench.clock.now().getTime() - before).toBeLessThan(60_000);
    await until(() => openedBy('one', 'two'), 'two');
    expect(bench.serial()).toBe(serial);
  });

  test('are not written again while nothing changes', async () => {
    passwordIs('one');
    wanting();
    bench.pod('web-1');
    await bench.issued();
    await bench.quiet();
    const calls = bench.calls();
    await bench.pass(hour);
    await bench.quiet();
    expect(calls.filter((call) => /^(create|apply|patch|delete) secrets/.test(call))).toEqual([]);
  });

  test('come when the policy asks for them later, and go when it no longer does', async () => {
    passwordIs('one');
    bench.policy('all');
    bench.pod('web-1');
    const serial = await bench.issued();
    expect(openedBy('one')).toBe('none');
    wanting();
    await until(() => openedBy('one'), 'one');
    bench.policy('all');
    await until(() => openedBy('one'), 'none');
    expect(Object.keys(bench.secret()?.metadata.annotations ?? {}).filter((key) => key.includes('keystore'))).toEqual(
      [],
    );
    expect(bench.serial()).toBe(serial);
  });

  test('are renewed also while the workload is scaled to zero', async () => {
    passwordIs('one');
    wanting();
    bench.pod('web-1');
    const serial = await bench.issued();
    await bench.kube.delete(resources.pods, { namespace: 'shop', name: 'web-1' });
    await bench.pass(17 * hour);
    await bench.until(
      () => bench.serial(),
      (seen) => seen !== serial,
    );
    expect(openedBy('one')).toBe('one');
    expect(isWhole()).toBe(true);
  });

  test('that were damaged by hand come back', async () => {
    passwordIs('one');
    wanting();
    bench.pod('web-1');
    await bench.issued();
    await bench.kube.patch(
      resources.secrets,
      { namespace: 'shop', name: 'tabard-web' },
      { data: { 'truststore.p12': Buffer.from('x').toString('base64') } },
    );
    await until(() => openedBy('one'), 'one');
  });
});

describe('a password that cannot be used', () => {
  test.each([
    { name: 'the Secret is missing', give: () => undefined, says: 'Secret "shop/keystore" is not there' },
    { name: 'the key is missing', give: () => passwordIs('one', 'other'), says: 'has no key "password"' },
    { name: 'it is empty', give: () => passwordIs(''), says: 'is empty' },
    { name: 'it ends in a line break', give: () => passwordIs('one\n'), says: 'has a line break' },
    { name: 'it is not ASCII', give: () => passwordIs('p\u00e4ss'), says: 'Java opens no other' },
  ])('holds the first certificate back and says so: $name', async ({ give, says }) => {
    give();
    wanting();
    bench.pod('web-1');
    await until(() => bench.condition('all', 'Ready'), 'False KeystorePasswordMissing');
    expect(bench.status('all')?.conditions?.find(({ type }) => type === 'Ready')?.message).toContain(says);
    expect(bench.secret()).toBeUndefined();
    passwordIs('one');
    await bench.pass(15_000);
    await bench.issued();
    expect(openedBy('one')).toBe('one');
    await until(() => bench.condition('all', 'Ready'), 'True CertificatesValid');
  });

  test('holds no renewal back: the keystores stay those of the certificate before, until it is there again', async () => {
    passwordIs('one');
    wanting();
    bench.pod('web-1');
    const serial = await bench.issued();
    const before = file('keystore.p12');
    await bench.pass(13 * hour);
    await bench.kube.delete(resources.secrets, { namespace: 'shop', name: 'keystore' });
    await bench.pass(3 * hour);
    await bench.until(
      () => bench.serial(),
      (seen) => seen !== serial,
    );
    expect(file('keystore.p12')?.equals(before ?? Buffer.alloc(0))).toBe(true);
    await until(() => bench.condition('all', 'Ready'), 'False KeystorePasswordMissing');
    passwordIs('two');
    await bench.pass(15_000);
    await until(() => openedBy('one', 'two'), 'two');
    await until(() => bench.condition('all', 'Ready'), 'True CertificatesValid');
  });
});

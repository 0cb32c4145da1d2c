import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { resources } from '../../../../lib/kube/resources.ts';
import { CertificateBench } from '../../../support/certificates.ts';

// Keys are made in real time, which a busy machine stretches.
jest.setTimeout(20_000);

let bench: CertificateBench;

beforeEach(async () => {
  bench = await new CertificateBench().start();
});
afterEach(() => bench.stop());

const newer = '2026-06-01T00:00:00Z';
const becomes = (policy: string, type: string, expected: string) =>
  bench.until(
    () => bench.condition(policy, type),
    (text) => text === expected,
  );
const services = (policy: string): string[] => (bench.status(policy)?.services ?? []).map(({ name }) => name);

describe('the status of policies', () => {
  test('a policy without pods says so', async () => {
    bench.policy('all');
    await becomes('all', 'Ready', 'True NoServices');
    expect(bench.condition('all', 'Conflicted')).toBe('False NoConflict');
  });

  test('follows pods as they come and go', async () => {
    bench.policy('all');
    bench.pod('web-1');
    bench.pod('api-1', 'api');
    await becomes('all', 'Ready', 'True CertificatesValid');
    expect(services('all')).toEqual(['api', 'web']);
    expect(bench.status('all')?.servicesReady).toBe('2/2');
    await bench.kube.delete(resources.pods, { namespace: 'shop', name: 'api-1' });
    await bench.until(
      () => services('all').join(' '),
      (names) => names === 'web',
    );
  });

  test('shows the serial that is in the Secret', async () => {
    bench.policy('all');
    bench.pod('web-1');
    await bench.issued();
    await becomes('all', 'Ready', 'True CertificatesValid');
    expect(bench.status('all')?.services?.[0]?.serial).toBe(bench.serial());
    await bench.kube.delete(resources.secrets, { namespace: 'shop', name: 'tabard-web' });
    const old = bench.status('all')?.services?.[0]?.serial;
    await bench.until(
      () => bench.status('all')?.services?.[0]?.serial,
      (serial) => serial !== old && serial === bench.serial(),
    );
  });

  test('of two that select one pod the newer is in conflict, until the older goes', async () => {
    bench.policy('old', { selector: { matchLabels: { app: 'web' } } });
    bench.policy('new', { selector: { matchExpressions: [{ key: 'app', operator: 'Exists' }] } }, newer);
    bench.pod('web-1');
    bench.pod('api-1', 'api');
    await becomes('new', 'Conflicted', 'True OlderPolicyHolds');
    expect(bench.condition('old', 'Conflicted')).toBe('False NoConflict');
    await becomes('old', 'Ready', 'True CertificatesValid');
    await becomes('new', 'Ready', 'True CertificatesValid');
    expect([services('old'), services('new')]).toEqual([['web'], ['api']]);
    expect(bench.events).toContain('Warning OlderPolicyHolds TLSPolicy/new');
    await bench.kube.delete(resources.tlspolicies, { namespace: 'shop', name: 'old' });
    await becomes('new', 'Conflicted', 'False NoConflict');
    await bench.until(
      () => services('new').join(' '),
      (names) => names === 'api web',
    );
  });

  test('a selector takes pods from the default of the namespace without a conflict', async () => {
    bench.policy('all');
    bench.policy('web', { selector: { matchLabels: { app: 'web' } } }, newer);
    bench.pod('web-1');
    bench.pod('api-1', 'api');
    await bench.until(
      () => [...services('all'), ...services('web')].join(' '),
      (names) => names === 'api web',
    );
    expect([bench.condition('all', 'Conflicted'), bench.condition('web', 'Conflicted')]).toEqual([
      'False NoConflict',
      'False NoConflict',
    ]);
  });

  test('pods of one service under two policies: the older decides about the certificate, the other says so', async () => {
    bench.policy('old', { selector: { matchLabels: { part: 'a' } }, certificate: { key: 'ECDSA-P384' } });
    bench.policy('new', { selector: { matchLabels: { part: 'b' } }, certificate: { key: 'Ed25519' } }, newer);
    bench.pod('web-1', 'web', { labels: { part: 'a' } });
    bench.pod('web-2', 'web', { labels: { part: 'b' } });
    await bench.issued();
    await becomes('new', 'Conflicted', 'True SharedService');
    await bench.until(
      () => bench.leaf().publicKey.asymmetricKeyDetails?.namedCurve,
      (curve) => curve === 'secp384r1',
    );
    expect(bench.status('old')?.services).toMatchObject([{ name: 'web', pods: 1 }]);
  });

  test('a value out of bounds is named, and what holds instead', async () => {
    bench.policy('short', { certificate: { lifetime: '1s' } });
    await becomes('short', 'Accepted', 'False Adjusted');
    expect(bench.events).toContain('Warning Adjusted TLSPolicy/short');
  });

  test('plaintext clients of its services are listed', async () => {
    bench.plaintext.push({ address: '10.1.1.1', service: 'web', port: 8080, lastSeen: bench.clock.now() });
    bench.plaintext.push({ address: '10.1.1.2', service: 'other', port: 8080, lastSeen: bench.clock.now() });
    bench.policy('all', { mode: 'Permissive' });
    bench.pod('web-1');
    await bench.until(
      () => bench.status('all')?.plaintextClients?.map(({ address }) => address),
      (seen) => seen?.join() === '10.1.1.1',
    );
    expect(bench.status('all')?.strictReady).toBe(false);
  });

  test('who was let in is noted, and which pods look at no tokens', async () => {
    const identity = 'spiffe://cluster.local/ns/shop/svc/till';
    const at = bench.clock.now();
    bench.callers.push({ identity, port: 8080, count: 3, firstSeen: at, lastSeen: at });
    bench.policy('all', { authentication: { jwt: [{ issuer: 'i', jwks: '{"keys":[]}' }] } });
    bench.pod('web-1');
    await bench.until(
      () => bench.status('all')?.callers,
      (callers) => callers?.[0]?.identity === identity && callers[0].connections === 3,
    );
    expect(bench.status('all')?.callersSince).toBeDefined();
    await becomes('all', 'Accepted', 'False Adjusted');
    await becomes('all', 'TokensRead', 'True Read');
    const texts = { podName: 'web-1', podUid: 'pod-web-1', selfVersion: '', bundleFingerprint: '', serial: '' };
    bench.report({ ...texts, notAfter: '', plaintext: [] });
    await becomes('all', 'TokensRead', 'False PodsWithoutTokens');
    bench.report({ ...texts, notAfter: '', plaintext: [], authentication: 1 });
    await becomes('all', 'TokensRead', 'True Read');
  });

  test('strictReady turns after an hour in which every pod reported and nobody came', async () => {
    bench.policy('all', { mode: 'Permissive' });
    bench.pod('web-1');
    await becomes('all', 'Ready', 'True CertificatesValid');
    await bench.pass(3_600_000);
    await bench.pass(600_000);
    expect(bench.status('all')?.strictReady).toBe(false);
    const silent = {
      podName: 'web-1',
      podUid: 'pod-web-1',
      selfVersion: '',
      bundleFingerprint: '',
      serial: '',
      notAfter: '',
    };
    bench.reports.set('pod-web-1', { ...silent, plaintext: [] });
    await bench.pass(600_000);
    await bench.until(
      () => bench.status('all')?.strictReady,
      (ready) => ready === true,
    );
  });

  test('is written once for many changes at a time, and not at all for none', async () => {
    bench.policy('all');
    const calls = bench.calls();
    for (let index = 0; index < 20; index += 1) bench.pod(`web-${index}`);
    await bench.until(
      () => bench.status('all')?.services?.[0]?.pods,
      (pods) => pods === 20,
    );
    await bench.quiet();
    const writes = (): number => calls.filter((call) => call.startsWith('applyStatus tlspolicies')).length;
    expect(writes()).toBeLessThanOrEqual(4);
    const before = writes();
    await bench.pass(3_600_000);
    expect(writes()).toBe(before);
  });
});

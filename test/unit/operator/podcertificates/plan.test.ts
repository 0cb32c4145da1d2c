// What becomes of a service's Secret when its pods have certificates of their own, and what its policy says of them.
import { afterEach, describe, expect, test } from '@jest/globals';
import { resources } from '../../../../lib/kube/resources.ts';
import { deliveryProblem, podCertificateSummary } from '../../../../operator/podcertificates/summary.ts';
import { CertificateBench } from '../../../support/certificates.ts';
import { certificateVolume, podWithCertificate } from '../../../support/podcertificates.ts';

let bench: CertificateBench;

afterEach(() => bench?.stop());

/** A pod of service `web` with a certificate of its own. */
function seedOwn(name: string): void {
  const pod = bench.pod(name);
  bench.kube.seed(resources.pods, {
    ...pod,
    metadata: { ...pod.metadata },
    spec: { ...pod.spec, volumes: [certificateVolume] },
  });
}

const remove = async (name: string): Promise<void> => {
  await bench.kube.delete(resources.pods, { namespace: 'shop', name });
};

describe('the Secret of a service', () => {
  test('is never written for pods with certificates of their own', async () => {
    bench = await new CertificateBench().start();
    bench.policy('all', { certificate: { delivery: 'PodCertificate' } });
    seedOwn('web-1');
    const seen = bench.calls();
    await bench.quiet();
    expect(seen.filter((call) => call.includes('secrets'))).toEqual([]);
    expect(bench.secret()).toBeUndefined();
    expect(bench.condition('all', 'Ready')).toBe('False Issuing');
  });

  test('stays for as long as one pod reads it, and goes with the last', async () => {
    bench = await new CertificateBench().start();
    bench.policy('all');
    bench.pod('web-1');
    const serial = await bench.issued();
    bench.policy('all', { certificate: { delivery: 'PodCertificate' } });
    seedOwn('web-2');
    await bench.quiet();
    expect(bench.serial()).toBe(serial);
    expect(bench.condition('all', 'Ready')).toBe('False DeliveryMismatch');
    await remove('web-1');
    await bench.until(
      () => bench.secret(),
      (secret) => secret === undefined,
    );
  });

  test('is not made anew for pods that read it where the policy wants no key in a Secret', async () => {
    bench = await new CertificateBench().start();
    bench.policy('all', { certificate: { delivery: 'PodCertificate' } });
    bench.pod('web-1');
    await bench.until(
      () => bench.condition('all', 'Ready'),
      (condition) => condition === 'False DeliveryMismatch',
    );
    expect(bench.secret()).toBeUndefined();
    bench.policy('all', { certificate: { delivery: 'Secret' } });
    await bench.issued();
  });
});

describe('the status of a policy', () => {
  test('counts the certificates of the pods, with the first times of all', async () => {
    bench = await new CertificateBench().start();
    bench.policy('all', { certificate: { delivery: 'PodCertificate' } });
    const now = bench.clock.now().getTime();
    for (const [index, name] of ['web-1', 'web-2'].entries()) {
      seedOwn(name);
      bench.podCertificates.note({
        podUid: `pod-${name}`,
        namespace: 'shop',
        serial: `A${index}`,
        issuer: 'cluster',
        keyId: 'CA',
        notBefore: new Date(now),
        notAfter: new Date(now + (index + 1) * 7_200_000),
        refreshAt: new Date(now + (index + 1) * 3_600_000),
      });
    }
    const services = await bench.until(
      () => bench.status('all')?.services,
      (found) => found?.[0]?.ready === true,
    );
    const seconds = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
    expect(services).toEqual([
      {
        name: 'web',
        delivery: 'PodCertificate',
        certificates: 2,
        notBefore: seconds(now),
        notAfter: seconds(now + 7_200_000),
        renewAt: seconds(now + 3_600_000),
        issuer: 'cluster',
        pods: 2,
        ready: true,
      },
    ]);
    expect(bench.condition('all', 'Ready')).toBe('True CertificatesValid');
  });
});

describe('the summary of a service', () => {
  const now = new Date('2026-06-01T12:00:00Z');
  const [first, second] = [podWithCertificate('a-0'), podWithCertificate('a-1')];
  const nothing = { certificates: { ofPod: () => undefined }, reports: { ofPod: () => undefined } };
  const reported = (notAfter: string) => ({
    ...nothing,
    reports: { ofPod: (uid: string) => ({ report: { serial: `S-${uid}`, notAfter } as never }) },
  });

  test('takes what sidecars report where their requests are long gone', () => {
    expect(podCertificateSummary([first, second], reported('2026-06-02T00:00:00Z'), now)).toMatchObject({
      pods: 2,
      valid: 2,
      notAfter: new Date('2026-06-02T00:00:00Z'),
    });
    expect(podCertificateSummary([first, second], nothing, now)).toMatchObject({ pods: 2, valid: 0 });
  });

  test('does not count what has expired', () => {
    expect(podCertificateSummary([first], reported('2026-06-01T12:00:00Z'), now)).toMatchObject({ pods: 1, valid: 0 });
  });

  test('there is none for pods that read a Secret', () => {
    expect(podCertificateSummary([podWithCertificate('b-0', 'b', { volumes: [] })], nothing, now)).toBeUndefined();
  });

  test.each([
    { delivery: 'Secret', own: 2, readers: 0, says: /^2 of its pods ask for certificates of their own/ },
    { delivery: 'PodCertificate', own: 0, readers: 1, says: /^1 of its pods read a Secret/ },
    { delivery: 'PodCertificate', own: 1, readers: 0, says: undefined },
    { delivery: 'Secret', own: 0, readers: 1, says: undefined },
  ] as const)('with $own pods of their own, $readers readers and policy $delivery says what is wrong', (row) => {
    const pods = [
      ...Array.from({ length: row.own }, (_, index) => podWithCertificate(`own-${index}`)),
      ...Array.from({ length: row.readers }, (_, index) => podWithCertificate(`r-${index}`, 'vault', { volumes: [] })),
    ];
    const problem = deliveryProblem(pods, row.delivery);
    if (row.says === undefined) expect(problem).toBeUndefined();
    else expect(problem?.message).toMatch(row.says);
  });
});

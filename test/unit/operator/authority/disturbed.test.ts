// Rotations in a world that does not keep still: a clock an hour off either way, a CA Secret deleted, edited or garbled in each phase,
// an API server that is away when a step is due. The rotation comes to its end, with one new CA and no certificate too many.
import { X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { RotationPhase } from '../../../../lib/api/tlsissuer.ts';
import { KubeError } from '../../../../lib/kube/errors.ts';
import { resources } from '../../../../lib/kube/resources.ts';
import { fingerprint, parseCertificates } from '../../../../lib/pki/bundle.ts';
import { CertificateBench } from '../../../support/certificates.ts';
import { DAY_MS } from '../../../support/pki.ts';

jest.setTimeout(120_000);

const hour = 3_600_000;
const phases: readonly RotationPhase[] = ['Prepared', 'Active', 'Retiring'];
let bench: CertificateBench;
let follows: boolean;

beforeEach(async () => {
  bench = await new CertificateBench({ caLifetimeMs: 90 * DAY_MS, waits: { settleMs: 0, filesMs: 180_000 } }).start();
  follows = true;
  bench.pod('web-1');
  await bench.issued();
  // Older than any jump of the clock, as a CA and its certificates usually are.
  await bench.leap(5 * hour);
});

afterEach(() => bench.stop());

const status = () => bench.kube.all(resources.tlsissuers)[0]?.status;
const ca = () => bench.kube.all(resources.secrets).find(({ metadata }) => metadata.name === 'tabard-ca');
/** All that is in the Secret; the order of the bundle does not matter. */
const held = () => {
  const { 'ca.crt': bundle = '', ...rest } = ca()?.data ?? {};
  const members = parseCertificates(Buffer.from(bundle, 'base64').toString('utf8'));
  return [rest, members.map(fingerprint).sort()];
};
const made = new Set<string>();

/** The sidecar takes up all that it is told, but for what would let the rotation leave a phase that the test wants to see. */
function follow(upTo: RotationPhase | undefined): void {
  const secret = ca();
  for (const key of ['tls.crt', 'next.crt', 'previous.crt']) {
    const value = secret?.data?.[key];
    if (value === undefined) continue;
    try {
      made.add(new X509Certificate(Buffer.from(value, 'base64')).serialNumber);
    } catch {
      // A test garbled it.
    }
  }
  const phase = status()?.rotation?.phase;
  if (!follows || (upTo !== undefined && phase === upTo)) return;
  bench.report({
    podName: 'web-1',
    podUid: 'pod-web-1',
    selfVersion: 'x',
    bundleFingerprint: '',
    authorities: (bench.bundle?.members ?? []).map(fingerprint),
    serial: bench.leaf().serialNumber,
    notAfter: bench.leaf().validToDate.toISOString(),
    plaintext: [],
  });
}

/** Brings a rotation into a phase and keeps it there. */
async function into(phase: RotationPhase): Promise<void> {
  made.clear();
  follow(undefined);
  const metadata = { annotations: { 'tabard.dev/rotate': 'disturbed' } };
  await bench.kube.patch(resources.tlsissuers, { name: 'cluster' }, { metadata });
  await bench.until(
    () => (follow(phase), status()?.rotation?.phase),
    (at) => at === phase,
  );
}

/** Lets it come to its end. */
async function finish(): Promise<void> {
  await bench.until(
    () => (follow(undefined), [status()?.rotation?.phase, status()?.rotation?.handledReasons?.join()]),
    ([phase, handled]) => phase === 'Idle' && handled === 'rotate:disturbed',
  );
  follow(undefined);
  expect(made.size).toBe(2);
  expect(bench.bundle?.members.map(fingerprint)).toEqual([status()?.caFingerprint]);
  expect(bench.leaf().checkIssued(new X509Certificate(Buffer.from(ca()?.data?.['tls.crt'] ?? '', 'base64')))).toBe(
    true,
  );
}

describe.each(phases)('in phase %s', (phase) => {
  test.each([
    ['ahead', hour],
    ['back', -hour],
  ])('a clock that is set an hour %s changes nothing but the time', async (_, ms) => {
    await into(phase);
    await bench.leap(ms);
    // Back by an hour, a CA that was made just now has its time before it; all wait for that.
    const minutes = ms < 0 ? 65 : 0;
    for (let minute = 0; minute < minutes; minute += 1) await bench.pass(60_000);
    await finish();
    expect(bench.leaf().validToDate.getTime()).toBeGreaterThan(bench.clock.now().getTime());
    expect(bench.leaf().validFromDate.getTime()).toBeLessThanOrEqual(bench.clock.now().getTime());
  });

  test('a CA Secret that is deleted comes back with all that the rotation needs', async () => {
    await into(phase);
    const before = held();
    await bench.kube.delete(resources.secrets, { namespace: 'tabard-system', name: 'tabard-ca' });
    follows = false;
    await bench.until(ca, (secret) => secret !== undefined);
    expect(held()).toEqual(before);
    follows = true;
    await finish();
  });

  test('a CA Secret that was garbled stops the rotation with a reason; deleted, it comes back and goes on', async () => {
    await into(phase);
    const live = ca();
    bench.kube.seed(resources.secrets, {
      ...live,
      metadata: { ...live?.metadata, name: 'tabard-ca' },
      data: { ...live?.data, 'tls.key': 'AAAA' },
    });
    const ready = () => status()?.conditions?.find(({ type }) => type === 'Ready')?.reason;
    await bench.until(
      () => (follow(undefined), ready()),
      (reason) => reason === 'AuthorityBroken',
    );
    await bench.kube.delete(resources.secrets, { namespace: 'tabard-system', name: 'tabard-ca' });
    await finish();
  });

  test('an API server that is away when the step is due is a delay', async () => {
    await into(phase);
    let isAway = true;
    bench.kube.onCall = ({ verb }) => {
      if (isAway && verb !== 'watch') throw new KubeError('Unavailable', 'the server is away');
    };
    for (let minute = 0; minute < 30; minute += 1) {
      follow(undefined);
      await bench.pass(60_000);
    }
    isAway = false;
    await finish();
  });
});

// One test per thread in which users of other certificate managers complained, named after it (the project's issue or pull request).
// What is proved at length elsewhere is proved here once more, in the words of the complaint. More threads: add a test with its name.
import { X509Certificate } from 'node:crypto';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { KubeError } from '../../../lib/kube/errors.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { fingerprint, parseCertificates } from '../../../lib/pki/bundle.ts';
import { privateKeyPem } from '../../../lib/pki/keys.ts';
import { chainVerdict } from '../../../lib/pki/verify.ts';
import { renewalTime, retryWaitMs } from '../../../operator/certificates/schedule.ts';
import { dataOf } from '../../../operator/certificates/secret.ts';
import { CertificateBench } from '../../support/certificates.ts';
import { DAY_MS, testAuthority } from '../../support/pki.ts';

jest.setTimeout(120_000);

const hour = 3_600_000;
let bench: CertificateBench;

afterEach(() => bench?.stop());

/** A mesh with one service whose sidecar reports what it is given, and a CA of 90 days. */
async function mesh(lifetime = '24h'): Promise<void> {
  bench = await new CertificateBench({ caLifetimeMs: 90 * DAY_MS, waits: { settleMs: 0, filesMs: 180_000 } }).start();
  bench.policy('all', { certificate: { lifetime } });
  bench.pod('web-1');
  await bench.issued();
}

/** The sidecar takes up everything that it is told and given. */
function follow(): void {
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

const status = () => bench.kube.all(resources.tlsissuers).find(({ metadata }) => metadata.name === 'cluster')?.status;
const phase = () => status()?.rotation?.phase;
const caSecret = () => bench.kube.all(resources.secrets).find(({ metadata }) => metadata.name === 'tabard-ca');
const signer = (): string => status()?.caFingerprint ?? '';
const bundleOfLeaf = () => parseCertificates(dataOf(bench.secret() ?? never(), 'ca.crt'));
const now = (): Date => bench.clock.now();

function never(): never {
  throw new Error('there is no Secret');
}

async function rotate(reason: string): Promise<void> {
  const metadata = { annotations: { 'tabard.dev/rotate': reason } };
  await bench.kube.patch(resources.tlsissuers, { name: 'cluster' }, { metadata });
}

/** Until the rotation rests, with a sidecar that follows at once; `each` is asked at every moment. */
async function finish(former: string, each: () => void = () => undefined): Promise<void> {
  await bench.until(
    () => {
      if (bench.leaf() !== undefined) follow();
      each();
      return [phase(), signer() === former];
    },
    ([at, isFormer]) => at === 'Idle' && isFormer === false,
  );
}

describe('the CA rotates and leaves do not', () => {
  test.each([
    ['cert-manager#1869: certificates are signed again, and get the new CA, when their CA changes'],
    ['cert-manager#2478: a CA is rotated without a hand on the certificates below it'],
    ['cert-manager#2766: a certificate does not stay with a CA that is gone'],
    ['cert-manager#5851: the CA in the Secret follows when the self-signed CA is renewed'],
    ['cert-manager#6664: nothing has to be deleted to get certificates of the new CA'],
    ['cert-manager#8340: the whole way from one CA to the next is one thing that the product does'],
    ['percona-xtradb-cluster-operator#2412: no operator outside has to detect it'],
  ])('%s', async () => {
    await mesh();
    const [former, serial] = [signer(), bench.serial()];
    await rotate('the thread');
    await finish(former);
    expect(bench.serial()).not.toBe(serial);
    expect(bundleOfLeaf().map(fingerprint)).toEqual([signer()]);
    expect(bench.leaf().checkIssued(bundleOfLeaf()[0] ?? bench.leaf())).toBe(true);
  });

  test('cert-manager#9076: a leaf is stale when its AKI is not the SKI of the CA, though the names are equal', async () => {
    await mesh();
    const former = signer();
    const serial = bench.serial();
    await rotate('same name, other key');
    await bench.until(phase, (at) => at === 'Prepared');
    // The next CA is there and trusted, and the leaf of the present one is as good as before.
    await bench.quiet();
    expect([bench.serial(), signer()]).toEqual([serial, former]);
    await finish(former);
    expect(bench.serial()).not.toBe(serial);
  });

  test('cert-manager#4344: no moment in which a leaf and a bundle that are in use do not fit', async () => {
    await mesh();
    const former = signer();
    const leaves = new Set<string>([bench.leaf().toString()]);
    const bundles = new Set<string>([bench.bundle?.pem ?? '']);
    const retired = new Set<string>();
    await rotate('no downtime');
    await finish(former, () => {
      leaves.add(bench.leaf().toString());
      bundles.add(bench.bundle?.pem ?? '');
      const isOver = signer() !== former && (phase() === 'Retiring' || phase() === 'Idle');
      if (isOver) retired.add(bench.leaf().toString());
    });
    const [first, both, last] = [...bundles];
    const fits = (leaf: string, pem = ''): boolean =>
      chainVerdict({ leaf: new X509Certificate(leaf), bundle: parseCertificates(pem), now: now() }).ok;
    expect(bundles.size).toBe(3);
    expect([...leaves].every((leaf) => fits(leaf, both))).toBe(true);
    expect([...leaves].map((leaf) => fits(leaf, first))).toEqual([true, false]);
    // When the old root leaves nobody uses a leaf of it any more.
    expect([...retired].every((leaf) => fits(leaf, last))).toBe(true);
  });
});

describe('the trust bundle drops the old root', () => {
  test.each([
    ['trust-manager#144: the former CA stays in the bundle until nobody needs it'],
    ['trust-manager#560: a source that was rotated keeps its old certificate in the bundle'],
    ['trust-manager PR#946: old certificates leave by themselves, and are not kept for ever'],
  ])('%s', async () => {
    await mesh();
    const former = signer();
    await rotate('the thread');
    await bench.until(
      () => (follow(), phase()),
      (at) => at === 'Active',
    );
    // The sidecar still shows the old leaf: so long both are trusted.
    expect(bench.bundle?.members.map(fingerprint)).toContain(former);
    expect(bench.bundle?.members).toHaveLength(2);
    await finish(former);
    expect(bench.bundle?.members.map(fingerprint)).toEqual([signer()]);
  });

  test('trust-manager#242: what the bundle holds follows from objects alone, not from what one process remembers', async () => {
    await mesh();
    await rotate('the thread');
    await bench.until(phase, (at) => at === 'Prepared');
    const listed = parseCertificates(status()?.trustBundle ?? '').map(fingerprint);
    const secret = caSecret();
    if (secret === undefined) return never();
    expect(parseCertificates(dataOf(secret, 'ca.crt')).map(fingerprint)).toEqual(listed);
    expect(bench.bundle?.members.map(fingerprint)).toEqual(listed);
  });
});

describe('a herd at renewal', () => {
  /** Renewal times of certificates made in one second, in hours after it. */
  const renewals = (count: number, lifeMs: number): readonly number[] => {
    const madeMs = Date.parse('2026-11-22T10:00:00Z');
    const times = { notBefore: new Date(madeMs - 120_000), notAfter: new Date(madeMs + lifeMs) };
    return Array.from({ length: count }, (_, index) => {
      const serial = index.toString(16).padStart(32, 'A').toUpperCase();
      return (renewalTime({ ...times, serial }, 66).getTime() - madeMs) / hour;
    });
  };

  test.each([
    ['cert-manager#8402: a thousand certificates made in one second are not renewed in one', 24],
    ['spire#4268: renewals after a deployment are spread, not a spike', 24],
    ['ionfury/homelab#1341: hourly certificates are not renewed all at once', 1],
  ])('%s', (_, hours) => {
    const at = renewals(1_000, hours * hour);
    // Ten points of percent of the life, evenly: no tenth of that window has twice its share.
    const [from, to] = [hours * 0.56, hours * 0.66];
    expect(Math.min(...at)).toBeGreaterThanOrEqual(from - 0.01);
    expect(Math.max(...at)).toBeLessThanOrEqual(to);
    const tenths = Array.from(
      { length: 10 },
      (__, tenth) => at.filter((each) => Math.floor(((each - from) / (to - from)) * 10) === tenth).length,
    );
    expect(Math.max(...tenths)).toBeLessThan(200);
  });

  test('spire#4490: what is due all at once after an outage goes through a door of sixteen, the soonest to expire first', async () => {
    await mesh();
    for (let index = 0; index < 60; index += 1) bench.pod(`many-${index}`, `svc-${index}`);
    const first = (service: string) => bench.serial(service);
    await bench.until(
      () => first('svc-59'),
      (serial) => serial !== undefined,
    );
    const before = new Map(Array.from({ length: 60 }, (_, index) => [`svc-${index}`, first(`svc-${index}`)] as const));
    let open = 0;
    let most = 0;
    bench.kube.onCall = async ({ verb, resource }) => {
      if (verb !== 'apply' || resource !== 'secrets') return;
      open += 1;
      most = Math.max(most, open);
      await bench.clock.sleep(1);
      open -= 1;
    };
    await bench.leap(23 * hour);
    await bench.until(
      () => [...before].filter(([service, serial]) => bench.serial(service) === serial).length,
      (left) => left === 0,
    );
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(16);
  });
});

describe('a renewal that is stuck', () => {
  test.each([
    ['cert-manager#3941: an issuer that was away when a renewal was due is asked again when it is back'],
    ['cert-manager#6378: back-off after an outage does not outlast the certificate'],
    ['cert-manager#8847: no certificate stays in a failed state'],
  ])('%s', async () => {
    await mesh();
    const serial = bench.serial();
    let isAway = true;
    bench.kube.onCall = ({ verb, resource }) => {
      if (isAway && verb === 'apply' && resource === 'secrets')
        throw new KubeError('Unavailable', 'the server is away');
    };
    await bench.leap(17 * hour);
    for (let step = 0; step < 40; step += 1) await bench.pass(60_000);
    expect(bench.serial()).toBe(serial);
    expect(bench.leaf().validToDate > now()).toBe(true);
    isAway = false;
    const backMs = now().getTime();
    await bench.until(
      () => bench.serial(),
      (each) => each !== serial,
    );
    // Never more than a twentieth of what is left, nor five minutes.
    expect(now().getTime() - backMs).toBeLessThanOrEqual(7 * 60_000);
  });

  test('cert-manager#9128: whoever is stuck says so in a metric that time alone makes grow', async () => {
    await mesh();
    bench.kube.onCall = ({ verb, resource }) => {
      if (verb === 'apply' && resource === 'secrets') throw new KubeError('Unavailable', 'the server is away');
    };
    await bench.leap(20 * hour);
    await bench.until(
      () => bench.events.join(),
      (events) => events.includes('IssuanceFailed'),
    );
    const text = await bench.deps.registry.text();
    const due = /tabard_certificate_renewal_timestamp_seconds\{[^}]*service="web"[^}]*\} ([0-9.e+]+)/.exec(text)?.[1];
    expect(Number(due) * 1_000).toBeLessThan(now().getTime());
    expect(text).toContain('tabard_certificate_issue_failures_total{code="Unavailable"}');
  });

  test('cert-manager#9139: a try that failed waits at most a twentieth of the life that is left', () => {
    for (const remainingMs of [24 * hour, hour, 60_000, 10_000]) {
      for (let failures = 1; failures < 50; failures += 1) {
        const waitMs = retryWaitMs({ failures, remainingMs, seed: 'x' });
        expect(waitMs).toBeLessThanOrEqual(Math.max(100, Math.min(300_000, remainingMs / 20)) * 1.4);
      }
    }
  });
});

describe('a status that lies', () => {
  test('cert-manager#7895: an expired certificate is not called ready', async () => {
    await mesh();
    bench.kube.onCall = ({ verb, resource }) => {
      if (verb === 'apply' && resource === 'secrets') throw new KubeError('Unavailable', 'the server is away');
    };
    await bench.leap(25 * hour);
    const ready = await bench.until(
      () => bench.condition('all', 'Ready'),
      (text) => text.startsWith('False'),
    );
    expect(ready).toMatch(/^False (IssuanceFailed|Issuing)$/);
    expect(bench.status('all')?.services?.[0]?.ready).toBe(false);
  });

  test('cert-manager#4683: why nothing is issued is said on the policy, not in a log alone', async () => {
    await mesh();
    bench.policy('all', { certificate: { issuer: 'nobody' } });
    const said = await bench.until(
      () => bench.status('all')?.conditions?.find(({ type }) => type === 'Ready'),
      (condition) => condition?.reason === 'IssuerMissing',
    );
    expect(said).toMatchObject({ status: 'False', message: expect.stringContaining('nobody') });
    expect(bench.leaf().validToDate > now()).toBe(true);
  });

  test('cert-manager#9139: a rotation that waits says for whom, and since when', async () => {
    await mesh();
    bench.reports.clear();
    await rotate('the thread');
    await bench.until(
      () => status()?.rotation?.waitingFor,
      (names) => names?.join() === 'shop/web-1: its sidecar does not report',
    );
    expect(status()?.rotation).toMatchObject({ phase: 'Prepared', waitingCount: 1, reason: 'the thread' });
    expect(status()?.rotation?.phaseSince).toBeDefined();
  });
});

describe('a CA that is exchanged under a running operator', () => {
  test('linkerd2#15109: an exchanged CA is seen, and the one that signs is always the one that status names', async () => {
    await mesh();
    const former = signer();
    const { certificate, privateKey, fingerprint: put } = await testAuthority({ now: now(), lifetimeMs: 90 * DAY_MS });
    const live = caSecret() ?? never();
    const text = (value: string): string => Buffer.from(value).toString('base64');
    const pair = { 'tls.crt': text(certificate), 'tls.key': text(privateKeyPem(privateKey)) };
    bench.kube.seed(resources.secrets, { ...live, metadata: { ...live.metadata }, data: { ...live.data, ...pair } });
    await finish(former, () =>
      expect(bench.authority.current()?.authority.fingerprint).toMatch(new RegExp(`${former}|${put}`)),
    );
    expect([signer(), bench.authority.current()?.authority.fingerprint]).toEqual([put, put]);
    expect(bench.leaf().checkIssued(new X509Certificate(certificate))).toBe(true);
  });
});

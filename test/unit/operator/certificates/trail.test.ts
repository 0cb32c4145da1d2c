import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { KubeError } from '../../../../lib/kube/errors.ts';
import { fingerprint } from '../../../../lib/pki/bundle.ts';
import { Unrecorded } from '../../../../operator/audit/unrecorded.ts';
import { CertificateBench } from '../../../support/certificates.ts';

// Keys are made in real time, which a busy machine stretches.
jest.setTimeout(20_000);

let bench: CertificateBench;

beforeEach(async () => {
  bench = await new CertificateBench().start();
});
afterEach(() => bench.stop());

const records = (action: string) =>
  bench.deps.lines.filter((line) => line.msg === 'audit' && line['action'] === action);

describe('the audit trail of certificates', () => {
  test('says who asked for a first certificate, and which one it is', async () => {
    bench.policy('all');
    bench.pod('web-1');
    const serial = await bench.issued();
    expect(records('CertificateIssued')).toMatchObject([
      {
        askedBy: ['Deployment shop/web', 'TLSPolicy shop/all'],
        reason: 'Missing',
        identity: 'spiffe://cluster.local/ns/shop/svc/web',
        serial,
        sha256: fingerprint(bench.leaf()),
        keyKind: 'ECDSA-P256',
        notAfter: bench.leaf().validToDate.toISOString(),
        issuer: 'cluster',
      },
    ]);
  });

  test('says which certificate a renewal replaces, and that nobody but time asked', async () => {
    bench.pod('web-1');
    const first = await bench.issued();
    await bench.pass(16 * 3_600_000);
    const second = await bench.until(
      () => bench.serial(),
      (serial) => serial !== first,
    );
    expect(records('CertificateRenewed')).toMatchObject([
      { askedBy: ['Tabard', 'Deployment shop/web'], reason: 'NearingExpiry', replaces: first, serial: second },
    ]);
  });

  test('has a refusal once, however often it is looked at', async () => {
    bench.policy('all', { certificate: { issuer: 'nobody' } });
    bench.pod('web-1');
    await bench.until(
      () => records('CertificateRefused').length,
      (count) => count > 0,
    );
    await bench.pass(600_000);
    expect(records('CertificateRefused')).toMatchObject([
      {
        level: 'warn',
        reason: 'IssuerMissing',
        issuer: 'nobody',
        askedBy: ['Deployment shop/web', 'TLSPolicy shop/all'],
      },
    ]);
  });

  test('has each try that failed, with the class of the failure and the certificate that stays', async () => {
    bench.pod('web-1');
    const serial = await bench.issued();
    bench.kube.onCall = ({ verb, resource }) => {
      if (verb === 'apply' && resource === 'secrets') throw new KubeError('Forbidden', 'no');
    };
    await bench.pass(16 * 3_600_000);
    await bench.until(
      () => records('CertificateFailed').length,
      (count) => count > 1,
    );
    expect(records('CertificateFailed').slice(0, 2)).toMatchObject([
      { reason: 'Forbidden', serial, note: 'try 1: no' },
      { reason: 'Forbidden', serial, note: 'try 2: no' },
    ]);
  });

  test('holds no key, whatever happened', async () => {
    bench.pod('web-1');
    await bench.issued();
    const pem = Buffer.from(bench.secret()?.data?.['tls.key'] ?? '', 'base64').toString();
    const body = pem.split('\n').slice(1, 3).join('');
    expect(body.length).toBeGreaterThan(50);
    expect(JSON.stringify(bench.deps.lines)).not.toContain(body.slice(10, 50));
  });
});

describe('a certificate of which its writer could not tell', () => {
  test('because the answer to the write was lost, is recorded by its next look, once', async () => {
    const create = bench.kube.create.bind(bench.kube);
    let lost = 0;
    bench.kube.create = async (resource, input, options) => {
      const made = await create(resource, input, options);
      if (resource.kind !== 'Secret' || lost > 0) return made;
      lost += 1;
      throw new KubeError('Unavailable', 'the connection broke');
    };
    bench.pod('web-1');
    await bench.until(
      () => records('CertificateIssued').length,
      (count) => count > 0,
    );
    await bench.pass(60_000);
    expect(lost).toBe(1);
    expect(records('CertificateIssued')).toMatchObject([
      {
        askedBy: ['Deployment shop/web'],
        reason: 'Missing',
        identity: 'spiffe://cluster.local/ns/shop/svc/web',
        serial: bench.serial(),
        sha256: fingerprint(bench.leaf()),
        issuer: 'cluster',
        again: true,
      },
    ]);
  });

  test('because the write failed, is none: it is recorded when it is written', async () => {
    let failed = 0;
    bench.kube.onCall = ({ verb, resource }) => {
      if (verb !== 'create' || resource !== 'secrets' || failed > 0) return;
      failed += 1;
      throw new KubeError('Unavailable', 'no connection');
    };
    bench.pod('web-1');
    await bench.issued();
    await bench.pass(60_000);
    expect(records('CertificateIssued')).toHaveLength(1);
    expect(records('CertificateIssued')[0]).not.toHaveProperty('again');
  });

  test.each([
    ['was issued after its leader was last heard of', 5_000, 1],
    ['was issued just before that', -60_000, 1],
    ['was issued long before', -600_000, 0],
  ])('is recorded by the next leader if it %s', async (_, afterMs, count) => {
    bench.pod('web-1');
    await bench.issued();
    const secret = bench.secret();
    if (secret === undefined) throw new Error('there is no Secret');
    const found: unknown[] = [];
    const issuedMs = Date.parse(secret.metadata.annotations?.['tabard.dev/issued-at'] ?? '');
    new Unrecorded({ record: (entry) => found.push(entry) }).takeOver([secret], new Date(issuedMs - afterMs));
    expect(found).toHaveLength(count);
  });

  test('is not looked for in what no certificate of ours is in', () => {
    const found: unknown[] = [];
    const trail = new Unrecorded({ record: (entry) => found.push(entry) });
    const metadata = { name: 'x', uid: 'x', resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' };
    const annotations = { 'tabard.dev/issued-at': '2026-01-01T00:00:00Z' };
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { ...metadata, annotations } } as const;
    trail.takeOver([secret, { ...secret, metadata }, { ...secret, data: { 'tls.crt': 'eA==' } }], new Date(0));
    expect(found).toEqual([]);
  });
});

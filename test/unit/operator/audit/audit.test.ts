import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Writable } from 'node:stream';
import { describe, expect, test } from '@jest/globals';
import { fingerprint } from '../../../../lib/pki/bundle.ts';
import { createAuthority } from '../../../../lib/pki/ca.ts';
import { generateKey, privateKeyPem } from '../../../../lib/pki/keys.ts';
import { createLogger, type LogLevel } from '../../../../lib/runtime/logger.ts';
import { Metrics } from '../../../../lib/runtime/metrics.ts';
import { alarming, auditActions } from '../../../../operator/audit/actions.ts';
import { Audit, askedByObject, certificateDigest, certificateRecord } from '../../../../operator/audit/audit.ts';

function trail(level: LogLevel = 'info') {
  const lines: Record<string, unknown>[] = [];
  const destination = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      lines.push(JSON.parse(chunk.toString()) as Record<string, unknown>);
      done();
    },
  });
  const metrics = new Metrics();
  return { lines, metrics, audit: new Audit(createLogger({ name: 'operator', level, destination }), metrics) };
}

const issued = {
  action: 'CertificateIssued',
  askedBy: ['Deployment shop/web', 'TLSPolicy shop/web'],
  reason: 'Missing',
  identity: 'spiffe://cluster.local/ns/shop/svc/web',
  serial: 'AB12',
  sha256: 'ff00',
  keyKind: 'ECDSA-P256',
  notAfter: new Date('2026-01-02T00:00:00Z'),
  issuer: 'cluster',
  note: 'there is no Secret yet',
} as const;

describe('an audit record', () => {
  test('is one line that says who asked, for what, and what was made', () => {
    const { audit, lines } = trail();
    audit.record(issued);
    expect(lines).toEqual([
      {
        ...issued,
        notAfter: '2026-01-02T00:00:00.000Z',
        level: 'info',
        time: expect.any(String),
        process: 'operator',
        part: 'audit',
        msg: 'audit',
      },
    ]);
  });

  test.each<LogLevel>(['fatal', 'error', 'warn', 'info', 'debug'])('is written at log level %s', (level) => {
    const { audit, lines } = trail(level);
    audit.record(issued);
    expect(lines).toHaveLength(1);
  });

  test('is a warning where somebody may have to act', () => {
    const { audit, lines } = trail();
    for (const action of alarming) audit.record({ action, askedBy: ['Tabard'], reason: 'test' });
    expect(lines.map(({ level }) => level)).toEqual([...alarming].map(() => 'warn'));
  });

  test('leaves out what is not known', () => {
    const { audit, lines } = trail();
    audit.record({ action: 'CaPaused', askedBy: ['TLSIssuer cluster'], reason: 'paused' });
    expect(Object.keys(lines[0] ?? {}).sort()).toEqual(
      ['action', 'askedBy', 'level', 'msg', 'part', 'process', 'reason', 'time'].sort(),
    );
  });

  test('never holds a private key, wherever the text came from', async () => {
    const { audit, lines } = trail();
    const pem = privateKeyPem((await generateKey('ECDSA-P256')).privateKey);
    const half = pem.slice(0, 80);
    const more = { tlsKey: pem } as object;
    audit.record({ ...issued, ...more, askedBy: [pem], reason: pem, identity: pem, note: `the server said: ${half}` });
    const text = JSON.stringify(lines);
    expect(text).not.toContain('PRIVATE KEY');
    expect(text).not.toContain(pem.split('\n')[1]?.slice(0, 20));
    expect(text).toContain('the server said: [redacted]');
  });

  test('cuts text that somebody else made long', () => {
    const { audit, lines } = trail();
    audit.record({ ...issued, note: 'x'.repeat(100_000) });
    expect(JSON.stringify(lines).length).toBeLessThan(3_000);
  });
});

test('docs/audit.md names every action', () => {
  const page = readFileSync(resolve(import.meta.dirname, '../../../../docs/audit.md'), 'utf8');
  for (const action of Object.keys(auditActions)) expect(page).toContain(`\`${action}\``);
});

describe('the count of records', () => {
  test('has every action from the start, so that an alert sees the first one', async () => {
    const { audit, metrics } = trail();
    const before = await metrics.text();
    for (const action of Object.keys(auditActions)) {
      expect(before).toContain(`tabard_audit_records_total{action="${action}"} 0\n`);
    }
    audit.record(issued);
    expect(await metrics.text()).toContain('tabard_audit_records_total{action="CertificateIssued"} 1\n');
  });
});

describe('what a record says of a certificate', () => {
  test('is read from the certificate itself', async () => {
    const ca = await createAuthority({ trustDomain: 'cluster.local', lifetimeMs: 86_400_000, now: new Date() });
    const certificate = new X509Certificate(ca.certificate);
    expect(certificateRecord(ca.certificate)).toEqual({
      serial: certificate.serialNumber,
      sha256: fingerprint(certificate),
      notAfter: certificate.validToDate,
    });
    expect(certificateDigest(`a comment\n${ca.certificate}`)).toBe(fingerprint(certificate));
  });

  test('is no digest where there is no certificate', () => {
    expect(certificateDigest('nothing')).toBeUndefined();
  });
});

test('an object is named by kind, namespace and name', () => {
  const metadata = { name: 'web', uid: '', resourceVersion: '', creationTimestamp: '' };
  expect(askedByObject({ kind: 'TLSIssuer', metadata })).toBe('TLSIssuer web');
  expect(askedByObject({ kind: 'TLSPolicy', metadata: { ...metadata, namespace: 'shop' } })).toBe('TLSPolicy shop/web');
});

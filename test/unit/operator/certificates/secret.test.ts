import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Secret } from '../../../../lib/kube/object.ts';
import { generateKey } from '../../../../lib/pki/keys.ts';
import { currentSecret, rewrittenInput, secretInput, serviceOf } from '../../../../operator/certificates/secret.ts';
import type { Wanted } from '../../../../operator/certificates/snapshot.ts';
import { DAY_MS, testAuthority, testLeaf } from '../../../support/pki.ts';

const authority = await testAuthority();
const other = await testAuthority();
const leaf = await testLeaf(authority);
const { key: otherKey } = await testLeaf(authority);
const owners = [{ apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'd' }];
const wanted: Wanted = {
  issuer: 'cluster',
  uri: leaf.identity,
  dnsNames: [],
  key: 'ECDSA-P256',
  lifetimeMs: DAY_MS,
  renewAt: 66,
  owners,
};
const content = {
  namespace: 'shop',
  service: 'web',
  leaf: { ...leaf, chain: leaf.certificate },
  keyPem: leaf.key,
  trustBundle: authority.certificate,
  wanted,
  renewAt: leaf.notAfter,
  owners,
};

/** The Secret as the API server would store it. */
function stored(change: Partial<Omit<Secret, 'metadata'>> & { readonly metadata?: object } = {}): Secret {
  const input = secretInput(content);
  const metadata = { uid: 'u', resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z', ...input.metadata };
  return { ...input, apiVersion: 'v1', kind: 'Secret', ...change, metadata: { ...metadata, ...change.metadata } };
}
const data = (change: Readonly<Record<string, string>>): Secret =>
  stored({
    data: Object.fromEntries(
      Object.entries({
        'tls.crt': leaf.certificate,
        'tls.key': leaf.key,
        'ca.crt': authority.certificate,
        ...change,
      }).map(([name, text]) => [name, Buffer.from(text).toString('base64')]),
    ),
  });
const read = (secret: Secret | undefined) => currentSecret(secret, authority.certificate);

describe('what is in a Secret', () => {
  test('is read back as it was written', () => {
    expect(read(stored())).toMatchObject({
      kind: 'held',
      facts: {
        serial: leaf.serial,
        notAfter: leaf.notAfter,
        key: 'ECDSA-P256',
        uris: [leaf.identity],
        otherNames: 0,
        authorityKeyId: authority.keyId,
      },
      issuer: 'cluster',
      lifetimeMs: DAY_MS,
      trusted: true,
      owners,
    });
  });

  test.each<[string, Secret | undefined, string]>([
    ['no Secret', undefined, 'absent'],
    ['one without labels', stored({ metadata: { labels: {} } }), 'foreign'],
    [
      'one managed by somebody else',
      stored({ metadata: { labels: { 'app.kubernetes.io/managed-by': 'Helm', 'tabard.dev/service': 'web' } } }),
      'foreign',
    ],
    [
      'one of ours for another service',
      stored({ metadata: { labels: { 'app.kubernetes.io/managed-by': 'tabard', 'tabard.dev/service': 'api' } } }),
      'foreign',
    ],
    [
      'the CA',
      stored({ metadata: { name: 'tabard-ca', labels: { 'app.kubernetes.io/managed-by': 'tabard' } } }),
      'foreign',
    ],
    ['one of another type', stored({ type: 'Opaque' }), 'broken'],
    ['one that cannot be changed', stored({ immutable: true }), 'broken'],
    ['one without data', stored({ data: {} }), 'broken'],
    ['a garbled certificate', data({ 'tls.crt': 'rubbish' }), 'broken'],
    ['a certificate cut short', data({ 'tls.crt': leaf.certificate.slice(0, 100) }), 'broken'],
    ['a garbled key', data({ 'tls.key': 'rubbish' }), 'broken'],
    ['the key of another certificate', data({ 'tls.key': otherKey }), 'broken'],
    ['a garbled trust bundle', data({ 'ca.crt': 'rubbish' }), 'held'],
  ])('%s', (_, secret, kind) => {
    expect(read(secret).kind).toBe(kind);
  });

  test('a trust bundle that cannot be read has no fingerprint', () => {
    expect(read(data({ 'ca.crt': 'rubbish' }))).toMatchObject({ bundleFingerprint: undefined });
  });

  test('a certificate of a CA outside the bundle is not trusted', () => {
    expect(currentSecret(stored(), other.certificate)).toMatchObject({ kind: 'held', trusted: false });
  });

  test('without a bundle nothing is said against its signature', () => {
    expect(currentSecret(stored(), undefined)).toMatchObject({ kind: 'held', trusted: true });
  });

  test('annotations that were tampered with count as not written', () => {
    const annotations = { 'tabard.dev/renew-at': 'soon', 'tabard.dev/lifetime': 'long' };
    expect(read(stored({ metadata: { annotations } }))).toMatchObject({
      renewAt: undefined,
      lifetimeMs: undefined,
      issuer: '',
    });
  });

  test('what is wrong is said without any of the key', async () => {
    const { privateKey } = await generateKey('ECDSA-P256');
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
    const current = read(data({ 'tls.key': pem.replaceAll('\n', '').replace('BEGIN', 'BEGUN') }));
    expect(JSON.stringify(current)).not.toContain(pem.split('\n')[1]);
  });

  test('never throws, whatever bytes somebody put in', () => {
    const bytes = fc.uint8Array({ maxLength: 300 }).map((each) => Buffer.from(each).toString('base64'));
    const text = fc.string({ maxLength: 50 });
    const values = fc.dictionary(fc.constantFrom('tls.crt', 'tls.key', 'ca.crt'), fc.oneof(bytes, text));
    fc.assert(
      fc.property(values, (anything) => {
        expect(['broken', 'held']).toContain(read(stored({ data: anything })).kind);
      }),
    );
  });
});

describe('a Secret that is written', () => {
  test('is ours by its labels', () => {
    expect(serviceOf(stored())).toBe('web');
  });

  test('has owners that do not block the deletion of their workload', () => {
    const [owner] = stored().metadata.ownerReferences ?? [];
    expect(owner).toEqual({ apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'd' });
  });

  test('again, keeps certificate, key and notes byte for byte', () => {
    const before = stored();
    const next = rewrittenInput(before, {
      service: 'web',
      trustBundle: other.certificate,
      owners: [...owners, { apiVersion: 'batch/v1', kind: 'Job', name: 'j', uid: 'j' }],
      keystores: { data: {}, notes: {} },
    });
    expect(next.metadata['annotations']).toEqual(before.metadata.annotations);
    expect(next['data']).toEqual({ ...before.data, 'ca.crt': Buffer.from(other.certificate).toString('base64') });
    expect(next.metadata['ownerReferences']).toHaveLength(2);
  });
});

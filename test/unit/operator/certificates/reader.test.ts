// What an operator has just written it knows without reading it back; whatever is not certainly that, it reads from the certificate itself.
// Facts that were only told carry a serial that no certificate has.
import { describe, expect, test } from '@jest/globals';
import type { KeyAlgorithm } from '../../../../lib/api/tlspolicy.ts';
import type { Secret } from '../../../../lib/kube/object.ts';
import { extension, sequence, tagged } from '../../../../lib/pki/asn1.ts';
import { type Authority, loadAuthority } from '../../../../lib/pki/ca.ts';
import { generateKey, privateKeyPem } from '../../../../lib/pki/keys.ts';
import { extensionIds } from '../../../../lib/pki/names.ts';
import { SecretReader } from '../../../../operator/certificates/reader.ts';
import { currentSecret, factsAsOrdered, type Made, secretInput } from '../../../../operator/certificates/secret.ts';
import type { Wanted } from '../../../../operator/certificates/snapshot.ts';
import { SelfSignedIssuer } from '../../../../operator/issuers/selfsigned.ts';
import { foreign } from '../../../support/foreign.ts';
import { DAY_MS, testAuthority } from '../../../support/pki.ts';

const owners = [{ apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'd' }];
const told = 'TOLD';

/** Issues one certificate as the executor does: the answer of the API server, and what was noted of it. */
async function issue(authority: Authority, key: KeyAlgorithm = 'ECDSA-P256', version = '1') {
  const current = {
    authority,
    chain: '',
    trustBundle: authority.certificate,
    bundleFingerprint: authority.fingerprint,
  };
  const issuer = new SelfSignedIssuer({ current: () => current, subscribe: () => () => undefined });
  const keys = await generateKey(key);
  const identity = { trustDomain: 'cluster.local', namespace: 'shop', service: 'web' };
  const wanted: Wanted = {
    issuer: 'cluster',
    uri: 'spiffe://cluster.local/ns/shop/svc/web',
    dnsNames: ['web', 'web.shop', 'web.shop.svc'],
    key,
    lifetimeMs: DAY_MS,
    renewAt: 66,
    owners,
  };
  const { dnsNames, lifetimeMs } = wanted;
  const leaf = await issuer.sign({ ...keys, identity, dnsNames, lifetimeMs, now: new Date() });
  const input = secretInput({
    namespace: 'shop',
    service: 'web',
    leaf,
    keyPem: privateKeyPem(keys.privateKey),
    trustBundle: authority.certificate,
    wanted,
    renewAt: leaf.notAfter,
    owners,
  });
  const facts = factsAsOrdered(leaf, wanted);
  if (facts === undefined) throw new Error('the issuer does not say which CA signed');
  const made: Made = { input, facts: { ...facts, serial: told } };
  return { made, facts, secret: answer(input, { uid: 'u', resourceVersion: version }), bundle: authority.certificate };
}

function answer(input: Made['input'], known: object, data: Readonly<Record<string, string>> = input.data): Secret {
  const stored: unknown = {
    ...input,
    apiVersion: 'v1',
    kind: 'Secret',
    data,
    metadata: { ...input.metadata, ...known },
  };
  return stored as Secret;
}

function serialOf(reader: SecretReader, secret: Secret, bundle: string): string {
  const current = reader.read(secret, bundle);
  return current.kind === 'held' ? current.facts.serial : current.kind;
}

/** A reader that has seen a leaf of the CA, and a second one that was just written. */
async function written(authority: Authority) {
  const reader = new SecretReader();
  const first = await issue(authority, 'ECDSA-P256', '0');
  reader.read(first.secret, first.bundle);
  const second = await issue(authority);
  reader.written(second.secret, second.made, second.bundle);
  return { reader, ...second };
}

const authority = await testAuthority();

describe('a Secret that was just written', () => {
  test.each(['ECDSA-P256', 'ECDSA-P384', 'RSA-2048', 'Ed25519'] as const)(
    'says of itself what its writer knows, with a key of kind %s',
    async (key) => {
      const { facts, secret, bundle } = await issue(authority, key);
      expect(currentSecret(secret, bundle)).toMatchObject({ kind: 'held', trusted: true, facts });
      expect(Object.keys(facts).sort()).toEqual(Object.keys(held(secret, bundle)).sort());
    },
  );

  test('is not parsed again, neither as answered nor as it comes by the watch', async () => {
    const { reader, secret, bundle, made } = await written(authority);
    expect(serialOf(reader, secret, bundle)).toBe(told);
    expect(serialOf(reader, structuredClone(secret), bundle)).toBe(told);
    const parsed = currentSecret(secret, bundle);
    expect(reader.read(secret, bundle)).toEqual({ ...parsed, facts: made.facts });
  });

  test('is parsed when it is the first of its CA: nothing has shown yet that its leaves are trusted', async () => {
    const { secret, made, bundle, facts } = await issue(authority);
    const reader = new SecretReader();
    reader.written(secret, made, bundle);
    expect(serialOf(reader, secret, bundle)).toBe(facts.serial);
  });

  test.each<[string, (secret: Secret) => Secret]>([
    ['has another version, whatever its annotations say', (secret) => changed(secret, { resourceVersion: '2' })],
    ['is another object of that name', (secret) => changed(secret, { uid: 'v' })],
  ])('is parsed when what comes by the watch %s', async (_, change) => {
    const { reader, secret, bundle, facts } = await written(authority);
    expect(serialOf(reader, change(secret), bundle)).toBe(facts.serial);
  });

  test.each(['tls.crt', 'tls.key', 'ca.crt'])('is parsed when %s was stored otherwise than sent', async (name) => {
    const { reader, made, bundle } = await written(authority);
    const data = { ...made.input.data, [name]: Buffer.from('something else').toString('base64') };
    const secret = answer(made.input, { uid: 'w', resourceVersion: '7' }, data);
    reader.written(secret, made, bundle);
    expect(reader.read(secret, bundle)).toEqual(currentSecret(secret, bundle));
  });

  test.each<[string, object]>([
    ['was made immutable', { immutable: true }],
    ['was given another type', { type: 'Opaque' }],
  ])('is judged anew when it %s', async (_, change) => {
    const { reader, made, bundle } = await written(authority);
    const secret = { ...answer(made.input, { uid: 'w', resourceVersion: '7' }), ...change };
    reader.written(secret, made, bundle);
    expect(reader.read(secret, bundle)).toMatchObject({ kind: 'broken', recreate: true });
  });

  test('is parsed, and not trusted, when the bundle changed meanwhile', async () => {
    const { reader, secret, facts } = await written(authority);
    const other = await testAuthority();
    expect(reader.read(secret, other.certificate)).toMatchObject({ kind: 'held', trusted: false, facts });
  });

  test('is parsed each time when the CA limits DNS names, so that a forbidden one is seen', async () => {
    const limited = limitedTo('allowed.example');
    const { reader, secret, bundle, facts } = await written(limited);
    expect(reader.read(secret, bundle)).toMatchObject({ kind: 'held', trusted: false, facts });
    const wide = await written(limitedTo('web'));
    // Trusted or not: what it says comes from itself.
    expect(serialOf(wide.reader, wide.secret, wide.bundle)).toBe(wide.facts.serial);
  });
});

function held(secret: Secret, bundle: string): object {
  const current = currentSecret(secret, bundle);
  return current.kind === 'held' ? current.facts : {};
}

function changed(secret: Secret, metadata: object): Secret {
  return { ...secret, metadata: { ...secret.metadata, ...metadata } };
}

/** A CA whose leaves may have only DNS names below one. */
function limitedTo(dns: string): Authority {
  const notBefore = new Date(Date.now() - DAY_MS);
  const notAfter = new Date(Date.now() + 90 * DAY_MS);
  const permitted = sequence(tagged(0, [sequence(tagged(2, dns))]));
  const extensions = [extension(extensionIds.nameConstraints, true, permitted)];
  const { certificate, key } = foreign({ name: 'limited', notBefore, notAfter, extensions });
  return loadAuthority(certificate.toString(), privateKeyPem(key), 'cluster.local');
}

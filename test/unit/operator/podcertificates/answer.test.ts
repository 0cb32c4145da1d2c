// Answers stay within what the API server takes, whatever policy and issuer say.
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Authority } from '../../../../lib/pki/ca.ts';
import { issueLeaf } from '../../../../lib/pki/ca.ts';
import { generateKey } from '../../../../lib/pki/keys.ts';
import type { SignedLeaf } from '../../../../operator/issuers/issuer.ts';
import { deniedStatus, issuedStatus, refreshTime, unfitness } from '../../../../operator/podcertificates/answer.ts';
import { certificateOf, PodCertificates } from '../../../../operator/podcertificates/issued.ts';
import { testAuthority } from '../../../support/pki.ts';
import { askFor, podWithCertificate } from '../../../support/podcertificates.ts';

const now = new Date('2026-06-01T12:00:00.700Z');
const minute = 60_000;
const hour = 60 * minute;
const identity = { trustDomain: 'cluster.local', namespace: 'shop', service: 'vault' };
let authority: Authority;

beforeAll(async () => {
  authority = await testAuthority({ now: new Date('2026-01-01T00:00:00Z') });
});

async function leaf(lifetimeMs: number, at: Date = now): Promise<SignedLeaf> {
  const { publicKey } = await generateKey('ECDSA-P256');
  const { certificate: chain, ...facts } = issueLeaf({
    authority,
    publicKey,
    identity,
    dnsNames: [],
    now: at,
    lifetimeMs,
  });
  return { chain, ...facts };
}

describe('the begin of a refresh', () => {
  test.each([
    { lifeMs: 24 * hour, renewAt: 66, from: 0.55, to: 0.66 },
    { lifeMs: 24 * hour, renewAt: 10, from: 0.05, to: 0.1 },
    { lifeMs: 2_160 * hour, renewAt: 66, from: 0.55, to: 0.66 },
  ])('is at renewAt $renewAt of a life of $lifeMs ms, minus jitter', async ({ lifeMs, renewAt, from, to }) => {
    const part = (refreshTime(await leaf(lifeMs), renewAt).getTime() - now.getTime()) / lifeMs;
    expect(part).toBeGreaterThan(from);
    expect(part).toBeLessThanOrEqual(to);
  });

  test('is never nearer than ten minutes to either end', async () => {
    const short = await leaf(hour);
    expect(refreshTime(short, 1).getTime()).toBe(short.notBefore.getTime() + 10 * minute);
    expect(refreshTime(short, 99).getTime()).toBeLessThanOrEqual(short.notAfter.getTime() - 10 * minute);
  });
});

describe('a leaf', () => {
  test.each<[string, number, number, string | undefined]>([
    ['of an hour fits', hour, 86_400, undefined],
    ['of exactly what is allowed fits', hour - 2 * minute, 3_600, undefined],
    ['of less than an hour does not', 40 * minute, 86_400, 'less than an hour'],
    ['of more than is allowed does not', hour, 3_600, 'longer than the request allows'],
  ])('%s', async (_, lifetimeMs, maxExpirationSeconds, says) => {
    const { request } = await askFor(podWithCertificate(), { maxExpirationSeconds });
    const found = unfitness(await leaf(lifetimeMs), request, now);
    if (says === undefined) expect(found).toBeUndefined();
    else expect(found).toContain(says);
  });

  test('that begins too long ago does not fit', async () => {
    const { request } = await askFor(podWithCertificate());
    expect(unfitness(await leaf(hour, new Date(now.getTime() - 4 * minute)), request, now)).toContain('five minutes');
  });
});

describe('a status', () => {
  test('says what the leaf says, in whole seconds, and who signed it can be read from it again', async () => {
    const { request } = await askFor(podWithCertificate());
    const signed = await leaf(24 * hour);
    const refreshAt = refreshTime(signed, 66);
    const status = issuedStatus(signed, 'cluster', { refreshAt, now });
    expect(status).toMatchObject({
      notBefore: '2026-06-01T11:58:00Z',
      notAfter: '2026-06-02T12:00:00Z',
      conditions: [{ type: 'Issued', status: 'True', lastTransitionTime: '2026-06-01T12:00:00Z' }],
    });
    expect(certificateOf({ ...request, status })).toMatchObject({
      podUid: 'pod-vault-0',
      serial: signed.serial,
      issuer: 'cluster',
      keyId: authority.keyId,
      notAfter: signed.notAfter,
    });
  });

  test('of a denial holds its reason and nothing else', async () => {
    const { request } = await askFor(podWithCertificate());
    const status = deniedStatus('PodMismatch', 'another pod', now);
    expect(status).toEqual({
      conditions: [expect.objectContaining({ type: 'Denied', status: 'True', reason: 'PodMismatch' })],
    });
    expect(certificateOf({ ...request, status })).toBeUndefined();
  });
});

describe('the index of pod certificates', () => {
  const certificate = (serial: string, podUid: string, minutes: number) => ({
    podUid,
    namespace: 'shop',
    serial,
    issuer: 'cluster',
    keyId: `CA-${serial}`,
    notBefore: new Date(now.getTime() + minutes * minute),
    notAfter: new Date(now.getTime() + hour),
    refreshAt: now,
  });

  test('knows the newest of a pod and the one before, whichever order they are seen in', () => {
    const index = new PodCertificates();
    for (const [serial, minutes] of [
      ['B', 2],
      ['C', 3],
      ['A', 1],
    ] as const)
      index.note(certificate(serial, 'p', minutes));
    expect(index.ofPod('p')?.serial).toBe('C');
    expect(['A', 'B', 'C'].map((serial) => index.ofSerial(serial)?.keyId)).toEqual([undefined, 'CA-B', 'CA-C']);
    expect(index.ofPod('other')).toBeUndefined();
  });

  test('tells each new one once', () => {
    const index = new PodCertificates();
    const told: string[] = [];
    index.subscribe(({ serial }) => told.push(serial));
    for (const serial of ['A', 'A', 'B', 'A']) index.note(certificate(serial, 'p', serial === 'A' ? 1 : 2));
    expect(told).toEqual(['A', 'B']);
    const later: string[] = [];
    index.subscribe(({ serial }) => later.push(serial));
    expect(later).toEqual(['A', 'B']);
  });
});

import { describe, expect, test } from '@jest/globals';
import type { TLSPolicy } from '../../../../lib/api/tlspolicy.ts';
import type { Outcome } from '../../../../operator/certificates/outcomes.ts';
import { mergeClients } from '../../../../operator/certificates/plaintext.ts';
import { type GovernedService, policyStatus, type StatusInput } from '../../../../operator/certificates/status.ts';
import { testPolicy } from '../../../support/policies.ts';

const now = new Date('2026-11-22T12:00:00Z');
const at = (hours: number): Date => new Date(now.getTime() + hours * 3_600_000);

const good: Outcome = {
  current: {
    kind: 'held',
    facts: {
      serial: 'AB12',
      notBefore: at(-1),
      notAfter: at(23),
      key: 'ECDSA-P256',
      uris: [],
      dnsNames: [],
      otherNames: 0,
      authorityKeyId: 'CA',
    },
    issuer: 'cluster',
    lifetimeMs: undefined,
    renewAt: undefined,
    bundleFingerprint: undefined,
    trusted: true,
    owners: [],
  },
  blocked: undefined,
  renewAt: at(14),
  failure: undefined,
};
const expired: Outcome = {
  ...good,
  current:
    good.current.kind === 'held'
      ? { ...good.current, facts: { ...good.current.facts, notAfter: at(-0.5) } }
      : good.current,
};
const absent: Outcome = { ...good, current: { kind: 'absent' }, renewAt: undefined };
const blocked = (reason: 'SecretNotOurs' | 'IssuerMissing', outcome: Outcome = good): Outcome => ({
  ...outcome,
  blocked: { reason, message: 'it is in the way' },
});
const failing = (count: number, outcome: Outcome = good): Outcome => ({
  ...outcome,
  failure: { count, lastAt: now, wantedKey: '', message: 'quota exceeded' },
});

const service = (
  name: string,
  outcome: Outcome | undefined = good,
  change: Partial<GovernedService> = {},
): GovernedService => ({
  name,
  pods: 2,
  outcome,
  decidedBy: undefined,
  ...change,
});
const input = (change: Partial<StatusInput> = {}): StatusInput => ({
  policy: testPolicy('all'),
  now,
  faults: [],
  services: [],
  overruledBy: [],
  clients: [],
  watched: false,
  ...change,
});
const condition = (change: Partial<StatusInput>, type: string): string => {
  const found = policyStatus(input(change)).conditions?.find((each) => each.type === type);
  return `${found?.status} ${found?.reason}`;
};
const message = (change: Partial<StatusInput>, type: string): string =>
  policyStatus(input(change)).conditions?.find((each) => each.type === type)?.message ?? '';

describe('Ready', () => {
  test.each<[string, readonly GovernedService[], string]>([
    ['is true where there is nothing to do', [], 'True NoServices'],
    ['is true when every service has a valid certificate', [service('a'), service('b')], 'True CertificatesValid'],
    ['is false while a first certificate is on its way', [service('a'), service('b', absent)], 'False Issuing'],
    ['is false before the first look at a service', [{ ...service('a'), outcome: undefined }], 'False Issuing'],
    ['is false when a certificate has expired', [service('a', expired)], 'False Issuing'],
    ['names a foreign Secret', [service('a', blocked('SecretNotOurs', absent))], 'False SecretNotOurs'],
    [
      'names a missing issuer although the certificate is valid',
      [service('a', blocked('IssuerMissing'))],
      'False IssuerMissing',
    ],
    ['stays true while a renewal fails for the first times', [service('a', failing(2))], 'True CertificatesValid'],
    ['is false when a renewal fails again and again', [service('a', failing(3))], 'False IssuanceFailed'],
    [
      'is false at once when the first certificate cannot be written',
      [service('a', failing(1, absent))],
      'False IssuanceFailed',
    ],
    [
      'prefers what lasts to what is on its way',
      [service('a', absent), service('b', blocked('IssuerMissing'))],
      'False IssuerMissing',
    ],
  ])('%s', (_, services, expected) => {
    expect(condition({ services }, 'Ready')).toBe(expected);
  });

  test('names three services and counts the rest', () => {
    const services = ['a', 'b', 'c', 'd', 'e'].map((name) => service(name, blocked('IssuerMissing')));
    expect(message({ services }, 'Ready')).toBe(
      'a: it is in the way; b: it is in the way; c: it is in the way; and 2 more services',
    );
  });
});

describe('Accepted', () => {
  test('is true when all holds as written', () => {
    expect(condition({}, 'Accepted')).toBe('True Accepted');
  });

  test('is false with the fields that do not', () => {
    const faults = [{ field: 'spec.certificate.lifetime', message: '1s is not from 10m to 90d; 10m holds' }];
    expect(condition({ faults }, 'Accepted')).toBe('False Adjusted');
    expect(message({ faults }, 'Accepted')).toBe('spec.certificate.lifetime: 1s is not from 10m to 90d; 10m holds');
  });
});

describe('Conflicted', () => {
  test('is false by default', () => {
    expect(condition({ services: [service('a')] }, 'Conflicted')).toBe('False NoConflict');
  });

  test('names the older policies that hold instead', () => {
    const overruledBy = [
      { name: 'old', pods: 1 },
      { name: 'older', pods: 3 },
    ];
    expect(condition({ overruledBy }, 'Conflicted')).toBe('True OlderPolicyHolds');
    expect(message({ overruledBy }, 'Conflicted')).toContain('"old" (1 pod), "older" (3 pods)');
  });

  test('says when another policy decides about the certificate of a shared service', () => {
    const services = [service('a', good, { decidedBy: 'other' })];
    expect(condition({ services }, 'Conflicted')).toBe('True SharedService');
    expect(message({ services }, 'Conflicted')).toContain('a by "other"');
  });
});

describe('the rest of the status', () => {
  test('lists the services with their certificates', () => {
    const status = policyStatus(input({ services: [service('a'), service('b', absent)] }));
    expect(status.services).toEqual([
      {
        name: 'a',
        serial: 'AB12',
        notBefore: '2026-11-22T11:00:00Z',
        notAfter: '2026-11-23T11:00:00Z',
        renewAt: '2026-11-23T02:00:00Z',
        issuer: 'cluster',
        pods: 2,
        ready: true,
      },
      { name: 'b', pods: 2, ready: false },
    ]);
    expect(status).toMatchObject({ servicesReady: '1/2', expires: '2026-11-23T11:00:00Z', observedGeneration: 1 });
  });

  test('lists two hundred services, those that are not ready first, and counts all', () => {
    const services = Array.from({ length: 300 }, (_, index) =>
      service(`s${1_000 + index}`, index >= 290 ? absent : good),
    );
    const status = policyStatus(input({ services }));
    expect(status.servicesReady).toBe('290/300');
    const names = status.services?.map(({ name }) => name) ?? [];
    expect([names.length, names[0], names[189], names[190], names[199]]).toEqual([
      200,
      's1000',
      's1189',
      's1290',
      's1299',
    ]);
  });

  test('gives every condition the generation that it is about', () => {
    const status = policyStatus(input({ policy: testPolicy('all', {}, { generation: 7 }) }));
    expect(status.conditions?.map(({ observedGeneration }) => observedGeneration)).toEqual([7, 7, 7]);
  });

  test('keeps transition times while a status does not turn', () => {
    const first = policyStatus(input({ services: [service('a')] }));
    const policy: TLSPolicy = { ...testPolicy('all'), status: first };
    const later = policyStatus(input({ policy, now: at(1), services: [service('a'), service('b')] }));
    expect(later.conditions?.map(({ lastTransitionTime }) => lastTransitionTime)).toEqual(
      first.conditions?.map(({ lastTransitionTime }) => lastTransitionTime),
    );
    const turned = policyStatus(input({ policy, now: at(1), services: [service('a', absent)] }));
    expect(turned.conditions?.[0]?.lastTransitionTime).toBe('2026-11-22T13:00:00Z');
  });

  test('has no end and nothing ready without services', () => {
    const status = policyStatus(input());
    expect(status.servicesReady).toBe('0/0');
    expect(status).not.toHaveProperty('expires');
  });
});

describe('plaintext clients', () => {
  const client = (address: string, lastSeen: Date) => ({ address, service: 'web', port: 8080, lastSeen });
  const permissive = testPolicy('all', { mode: 'Permissive' });
  const ready = (change: Partial<StatusInput>): boolean | undefined =>
    policyStatus(input({ policy: permissive, services: [service('web')], watched: true, ...change })).strictReady;

  test('strictReady is true when the sidecars were watched and nobody came', () => {
    expect(ready({})).toBe(true);
  });

  test.each<[string, Partial<StatusInput>]>([
    ['somebody came', { clients: [client('10.0.0.1', now)] }],
    ['the sidecars were not watched for long enough', { watched: false }],
    ['there is no service', { services: [] }],
  ])('strictReady is false when %s', (_, change) => {
    expect(ready(change)).toBe(false);
  });

  test('strictReady counts what an earlier leader saw', () => {
    const before = policyStatus(input({ policy: permissive, clients: [client('10.0.0.1', now)] }));
    expect(ready({ policy: { ...permissive, status: before }, now: at(1) })).toBe(false);
    expect(ready({ policy: { ...permissive, status: before }, now: at(8 * 24) })).toBe(true);
  });

  test('strictReady is left out of a policy that lets no plaintext in', () => {
    expect(ready({ policy: testPolicy('all') })).toBeUndefined();
    expect(ready({ policy: testPolicy('all', { ports: [{ port: 1, mode: 'Permissive' }] }) })).toBe(true);
  });

  test('are listed once each with the latest time, the latest first', () => {
    const before = [{ address: '10.0.0.1', service: 'web', port: 8080, lastSeen: '2026-11-22T10:00:00Z' }];
    const seen = [client('10.0.0.2', at(-1)), client('10.0.0.1', now)];
    expect(mergeClients(before, seen, now).map(({ address, lastSeen }) => `${address} ${lastSeen}`)).toEqual([
      '10.0.0.1 2026-11-22T12:00:00Z',
      '10.0.0.2 2026-11-22T11:00:00Z',
    ]);
  });

  test('are forgotten after a week and never more than a hundred', () => {
    expect(mergeClients(undefined, [client('10.0.0.1', at(-7 * 24 - 1))], now)).toEqual([]);
    const many = Array.from({ length: 150 }, (_, index) => client(`10.0.1.${index}`, at(-index / 10)));
    const listed = mergeClients(undefined, many, now);
    expect(listed).toHaveLength(100);
    expect(listed[0]?.address).toBe('10.0.1.0');
  });
});

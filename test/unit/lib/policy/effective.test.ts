import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import type { TLSPolicySpec } from '../../../../lib/api/tlspolicy.ts';
import { parseDuration } from '../../../../lib/clock.ts';
import { authorityLifetimeMs, defaultCertificate, defaultPolicy } from '../../../../lib/policy/defaults.ts';
import { certificateSettings, effectivePolicy, policyFaults } from '../../../../lib/policy/effective.ts';
import { type PodPorts, portProtocols, type ServicePorts } from '../../../../lib/policy/protocols.ts';
import { testPolicy } from '../../../support/policies.ts';

const minute = 60_000;
const effective = (spec: TLSPolicySpec) => effectivePolicy(testPolicy('api', spec), []);

describe('what holds for a pod', () => {
  test('without a policy is the defaults', () => {
    expect(effectivePolicy(undefined, [])).toEqual(defaultPolicy);
  });

  test('with an empty policy is the defaults, by that policy', () => {
    expect(effective({})).toEqual({ ...defaultPolicy, source: 'shop/api' });
  });

  test.each<[string, TLSPolicySpec, object]>([
    ['the mode', { mode: 'Permissive' }, { mode: 'Permissive' }],
    ['a lower TLS version alone', { tls: { minVersion: '1.2' } }, { tls: { ...defaultPolicy.tls, minVersion: '1.2' } }],
    ['groups alone', { tls: { groups: ['P-384'] } }, { tls: { ...defaultPolicy.tls, groups: ['P-384'] } }],
    ['the access log', { http: { accessLog: 'All' } }, { accessLog: 'All' }],
    [
      'a connection of its own for each connection',
      { connections: { transport: 'Direct' } },
      { connections: { ...defaultPolicy.connections, transport: 'Direct' } },
    ],
    ['names with underscores', { http: { underscoresInHeaders: 'Pass' } }, { underscoresInHeaders: 'Pass' }],
    ['no names with underscores', { http: { underscoresInHeaders: 'Refuse' } }, {}],
    ['HSTS', { http: { hsts: { maxAge: '1m' } } }, { http: { hsts: 'max-age=60' } }],
    [
      'durations in milliseconds',
      { connections: { maxAge: '1d', idleTimeout: '90s', handshakeTimeout: '2s', maxConcurrent: 5 } },
      {
        connections: {
          maxAgeMs: 86_400_000,
          idleTimeoutMs: 90_000,
          handshakeTimeoutMs: 2_000,
          maxConcurrent: 5,
          transport: 'Tunnel',
        },
      },
    ],
    [
      'a port with a mode of its own',
      { ports: [{ port: 9090, mode: 'ServerOnly' }] },
      { ports: [{ port: 9090, mode: 'ServerOnly', protocol: 'TCP' }] },
    ],
    [
      'a port with a protocol alone, in the mode of the policy',
      { mode: 'Permissive', ports: [{ port: 3306, protocol: 'TCP' }] },
      { ports: [{ port: 3306, mode: 'Permissive', protocol: 'TCP' }] },
    ],
  ])('takes %s from the policy', (_, spec, expected) => {
    expect(effective(spec)).toEqual({ ...defaultPolicy, source: 'shop/api', ...expected, mode: spec.mode ?? 'Mutual' });
  });

  test('ports that Services name join those of the policy, in order; the policy wins', () => {
    const policy = testPolicy('api', {
      ports: [
        { port: 9090, mode: 'ServerOnly' },
        { port: 80, protocol: 'TCP' },
      ],
    });
    const spoken = [
      { port: 80, protocol: 'HTTP' as const },
      { port: 443, protocol: 'GRPC' as const },
    ];
    expect(effectivePolicy(policy, spoken).ports).toEqual([
      { port: 80, mode: 'Mutual', protocol: 'TCP' },
      { port: 443, mode: 'Mutual', protocol: 'GRPC' },
      { port: 9090, mode: 'ServerOnly', protocol: 'TCP' },
    ]);
  });

  test('the same input gives the same text, whatever the order of ports', () => {
    const ports = [
      { port: 2, mode: 'Disabled' as const },
      { port: 1, mode: 'ServerOnly' as const },
    ];
    const turned = [...ports].reverse();
    expect(JSON.stringify(effective({ ports }))).toBe(JSON.stringify(effective({ ports: turned })));
  });

  test('a duration that cannot be read is replaced by the default and named', () => {
    const policy = testPolicy('api', { connections: { maxAge: 'soon' } });
    expect(effectivePolicy(policy, []).connections).toEqual(defaultPolicy.connections);
    expect(policyFaults(policy)).toEqual([expect.objectContaining({ field: 'spec.connections.maxAge' })]);
  });
});

describe('the certificate of a service', () => {
  const settings = (certificate: TLSPolicySpec['certificate'], shortestMs?: number) =>
    certificateSettings(testPolicy('api', certificate === undefined ? {} : { certificate }), shortestMs);

  test('without a policy and with an empty one is the default', () => {
    expect(certificateSettings(undefined)).toEqual(defaultCertificate);
    expect(settings({})).toEqual(defaultCertificate);
  });

  test('is as the policy says', () => {
    const certificate = {
      issuer: 'own',
      lifetime: '1d12h',
      renewAt: 50,
      key: 'RSA-3072' as const,
      dnsNames: ['api.example.com'],
    };
    expect(settings(certificate)).toEqual({
      issuer: 'own',
      lifetimeMs: 36 * 60 * minute,
      renewAt: 50,
      key: 'RSA-3072',
      dnsNames: ['api.example.com'],
      delivery: 'Secret',
    });
  });

  test.each([
    ['10m', undefined, 10 * minute, 0],
    ['9m59s', undefined, 10 * minute, 1],
    ['0s', undefined, 10 * minute, 1],
    ['20s', 15_000, 20_000, 0],
    ['10s', 15_000, 15_000, 1],
    ['90d', undefined, 90 * 24 * 60 * minute, 0],
    ['91d', undefined, 90 * 24 * 60 * minute, 1],
    ['tomorrow', undefined, 24 * 60 * minute, 1],
  ])('with lifetime %s and the shortest %s lives %s ms', (lifetime, shortestMs, expected, faults) => {
    expect(settings({ lifetime }, shortestMs).lifetimeMs).toBe(expected);
    expect(policyFaults(testPolicy('api', { certificate: { lifetime } }), shortestMs)).toHaveLength(faults);
  });

  test('says that a name of another namespace is left out', () => {
    const certificate = { dnsNames: ['api.payments.svc', 'other.shop.svc', 'api.payments.svc.cluster.local'] };
    const faults = policyFaults(testPolicy('api', { certificate }));
    expect(faults.map(({ message }) => message.split(' ')[0])).toEqual([
      '"api.payments.svc"',
      '"api.payments.svc.cluster.local"',
    ]);
  });

  test('leaves out names that no certificate should hold, and says so', () => {
    const certificate = { dnsNames: ['good.example.com', '*.example.com', 'BAD.example.com', 'a b'] };
    expect(settings(certificate).dnsNames).toEqual(['good.example.com']);
    expect(policyFaults(testPolicy('api', { certificate }))).toHaveLength(3);
  });

  test.each<[string, NonNullable<TLSPolicySpec['certificate']>, readonly string[]]>([
    ['nothing of what a pod certificate can be', { lifetime: '1h', key: 'ECDSA-P256' }, []],
    ['a life below the hour that the API server wants', { lifetime: '30m' }, ['spec.certificate.lifetime']],
    ['a key of another kind than kubelets are asked for', { key: 'RSA-3072' }, ['spec.certificate.key']],
  ])('with delivery PodCertificate it finds fault with %s', (_, certificate, fields) => {
    const policy = testPolicy('api', { certificate: { delivery: 'PodCertificate', ...certificate } });
    expect(certificateSettings(policy).delivery).toBe('PodCertificate');
    expect(policyFaults(policy).map(({ field }) => field)).toEqual(fields);
  });
});

describe('what ports speak by their Services', () => {
  const pod: PodPorts = {
    spec: {
      containers: [{ ports: [{ name: 'web', containerPort: 8080 }] }],
      initContainers: [{ ports: [{ name: 'side', containerPort: 9000 }] }],
    },
  };
  const service = (...ports: NonNullable<NonNullable<ServicePorts['spec']>['ports']>): ServicePorts => ({
    spec: { ports },
  });

  test.each<[string, readonly ServicePorts[], readonly object[]]>([
    ['no Service', [], []],
    ['no appProtocol', [service({ port: 80, targetPort: 8080 })], []],
    [
      'a number as target',
      [service({ port: 80, targetPort: 8080, appProtocol: 'http' })],
      [{ port: 8080, protocol: 'HTTP' }],
    ],
    ['no target: the port itself', [service({ port: 80, appProtocol: 'http' })], [{ port: 80, protocol: 'HTTP' }]],
    [
      'a named target',
      [service({ port: 80, targetPort: 'web', appProtocol: 'grpc' })],
      [{ port: 8080, protocol: 'GRPC' }],
    ],
    [
      'a named target of a sidecar',
      [service({ port: 80, targetPort: 'side', appProtocol: 'kubernetes.io/h2c' })],
      [{ port: 9000, protocol: 'HTTP2' }],
    ],
    ['a name that the pod has not', [service({ port: 80, targetPort: 'nope', appProtocol: 'http' })], []],
    ['upper-case letters', [service({ port: 80, appProtocol: 'HTTP' })], [{ port: 80, protocol: 'HTTP' }]],
    ['a websocket', [service({ port: 80, appProtocol: 'kubernetes.io/ws' })], [{ port: 80, protocol: 'HTTP' }]],
    [
      'TLS of the application, which stays protected',
      [service({ port: 443, appProtocol: 'https' })],
      [{ port: 443, protocol: 'TCP' }],
    ],
    ['an unknown word', [service({ port: 5432, appProtocol: 'postgresql' })], [{ port: 5432, protocol: 'TCP' }]],
    ['a UDP port', [service({ port: 53, appProtocol: 'http', protocol: 'UDP' })], []],
    [
      'two Services that agree',
      [
        service({ port: 80, targetPort: 8080, appProtocol: 'http' }),
        service({ port: 81, targetPort: 'web', appProtocol: 'http' }),
      ],
      [{ port: 8080, protocol: 'HTTP' }],
    ],
    [
      'two Services that disagree: bytes',
      [
        service({ port: 80, targetPort: 8080, appProtocol: 'http' }),
        service({ port: 81, targetPort: 8080, appProtocol: 'grpc' }),
      ],
      [{ port: 8080, protocol: 'TCP' }],
    ],
  ])('%s', (_, services, expected) => {
    expect(portProtocols(services, pod)).toEqual(expected);
  });
});

describe('the defaults', () => {
  interface Schema {
    readonly default?: unknown;
    readonly properties?: Readonly<Record<string, Schema>>;
  }
  const schemaOf = (file: string): Schema =>
    (
      parse(readFileSync(new URL(`../../../../crds/${file}`, import.meta.url), 'utf8')) as {
        spec: { versions: { schema: { openAPIV3Schema: Schema } }[] };
      }
    ).spec.versions[0]?.schema.openAPIV3Schema ?? {};
  const at = (schema: Schema, path: string): unknown =>
    path.split('.').reduce<Schema>((level, name) => level.properties?.[name] ?? {}, schema).default;

  test('are those that the schema of TLSPolicy states', () => {
    const schema = schemaOf('tabard.dev_tlspolicies.yaml');
    const stated = Object.fromEntries(
      [
        'mode',
        'tls.minVersion',
        'tls.ciphers',
        'tls.groups',
        'http.accessLog',
        'connections.maxConcurrent',
        'connections.transport',
      ].map((path) => [path, at(schema, `spec.${path}`)]),
    );
    expect(stated).toEqual({
      mode: defaultPolicy.mode,
      'tls.minVersion': defaultPolicy.tls.minVersion,
      'tls.ciphers': defaultPolicy.tls.ciphers,
      'tls.groups': defaultPolicy.tls.groups,
      'http.accessLog': defaultPolicy.accessLog,
      'connections.maxConcurrent': defaultPolicy.connections.maxConcurrent,
      'connections.transport': defaultPolicy.connections.transport,
    });
    const duration = (path: string): number => parseDuration(String(at(schema, `spec.${path}`)));
    expect(duration('connections.maxAge')).toBe(defaultPolicy.connections.maxAgeMs);
    expect(duration('connections.idleTimeout')).toBe(defaultPolicy.connections.idleTimeoutMs);
    expect(duration('connections.handshakeTimeout')).toBe(defaultPolicy.connections.handshakeTimeoutMs);
    expect(duration('certificate.lifetime')).toBe(defaultCertificate.lifetimeMs);
    expect(at(schema, 'spec.certificate.renewAt')).toBe(defaultCertificate.renewAt);
    expect(at(schema, 'spec.certificate.key')).toBe(defaultCertificate.key);
    expect(at(schema, 'spec.certificate.issuer')).toBe(defaultCertificate.issuer);
    expect(at(schema, 'spec.certificate.dnsNames')).toEqual(defaultCertificate.dnsNames);
  });

  test('are those that the schema of TLSIssuer states', () => {
    const schema = schemaOf('tabard.dev_tlsissuers.yaml');
    expect(parseDuration(String(at(schema, 'spec.selfSigned.lifetime')))).toBe(authorityLifetimeMs);
  });
});

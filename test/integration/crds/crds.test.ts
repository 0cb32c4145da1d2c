// The CRDs on a real API server: what it accepts, refuses and fills in, and what kubectl shows of it.
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { type ControlPlane, startControlPlane } from '../../../hack/cluster/api.ts';
import type { TLSPolicy } from '../../../lib/api/tlspolicy.ts';
import { type Refused, refusedIssuers, refusedPolicies, refusedRevocations } from './refused.ts';

// Each test starts processes, beside whatever else this machine does.
jest.setTimeout(60_000);

const root = resolve(import.meta.dirname, '../../..');
let api: ControlPlane;

beforeAll(async () => {
  api = await startControlPlane();
  await api.kubectl(['apply', '--server-side', '-f', `${root}/crds`]);
  await api.kubectl([
    'wait',
    '--for=condition=Established',
    'crd/tlspolicies.tabard.dev',
    'crd/tlsissuers.tabard.dev',
    'crd/tlsrevocations.tabard.dev',
    'crd/tlsbaselines.tabard.dev',
    'crd/tlsroles.tabard.dev',
  ]);
}, 900_000);

afterAll(async () => {
  await api?.stop();
});

const policy = (name: string, spec: string) =>
  `{apiVersion: tabard.dev/v1alpha1, kind: TLSPolicy, metadata: {name: ${name}, namespace: default}, spec: ${spec}}`;
const issuer = (name: string, spec: string) =>
  `{apiVersion: tabard.dev/v1alpha1, kind: TLSIssuer, metadata: {name: ${name}}, spec: ${spec}}`;
const tryOut = (input: string) => api.kubectl(['apply', '--dry-run=server', '-f', '-'], { input });
const refusal = async (input: string): Promise<string> =>
  await tryOut(input).then(
    (said) => `accepted: ${said}`,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );

const revocation = (name: string, spec: string) =>
  `{apiVersion: tabard.dev/v1alpha1, kind: TLSRevocation, metadata: {name: ${name}}, spec: ${spec}}`;

async function expectRefusal(input: string, { field, says }: Refused): Promise<void> {
  const said = await refusal(input);
  expect(said).toContain(field);
  expect(said).toContain(says);
  expect(said).not.toContain('accepted:');
}

describe('an impossible TLSPolicy is refused at apply', () => {
  test.each(refusedPolicies)('$what', (refused) => expectRefusal(policy('bad', refused.spec), refused));

  test('in more than thirty ways', () => {
    expect(refusedPolicies.length).toBeGreaterThan(30);
  });
});

describe('an impossible TLSIssuer is refused at apply', () => {
  test.each(refusedIssuers)('$what', (refused) => expectRefusal(issuer('bad', refused.spec), refused));
});

describe('an impossible TLSRevocation is refused at apply', () => {
  test.each(refusedRevocations)('$what', (refused) => expectRefusal(revocation('bad', refused.spec), refused));

  test('also by changing what is revoked', async () => {
    await api.kubectl(['apply', '-f', '-'], { input: revocation('fixed', '{serial: AB}') });
    await expectRefusal(revocation('fixed', '{serial: CD}'), {
      what: '',
      spec: '',
      field: 'spec',
      says: 'what is revoked cannot be changed',
    });
    expect(await tryOut(revocation('fixed', '{serial: AB, comment: lost}'))).toContain('configured');
  });
});

describe('a TLSIssuer is accepted', () => {
  test.each([
    ['self-signed', '{selfSigned: {}}'],
    [
      'with a CA from a Secret and an imported list',
      '{ca: {secretRef: {name: a}}, crl: {importFrom: {url: "http://x/a.crl"}}}',
    ],
    [
      'with a CA from AWS',
      '{ca: {awsSecretsManager: {secretId: a/b, region: eu-central-1, endpoint: "http://127.0.0.1:5000"}}}',
    ],
    [
      'with Vault',
      '{vault: {server: "https://vault:8200", path: pki/mesh, role: mesh, auth: {kubernetes: {role: tabard}}}, rotation: {paused: true}}',
    ],
    [
      'with ACME',
      '{acme: {server: "https://acme:14000/dir", accountKeySecretRef: {name: a}, solvers: [{http01: {}}, {dnsZones: [example.com], dns01: {rfc2136: {nameserver: "10.0.0.2:53", tsigKeyName: k, tsigSecretRef: {name: a, key: b}}}}]}}',
    ],
    ['with a Kubernetes signer', '{kubernetesCSR: {signerName: example.com/mesh, caBundle: YQ==}}'],
    [
      'with roots and sinks',
      '{selfSigned: {}, trust: {roots: [{name: a, pem: x, trustDomain: other.example}]}, sinks: [{name: aws, awsSecretsManager: {region: r, prefix: p}}]}',
    ],
  ])('%s', async (_, spec) => {
    expect(await tryOut(issuer('good', spec))).toContain('created');
  });
});

describe('a TLSPolicy is accepted', () => {
  test.each([
    ['with the shortest lifetime', '{certificate: {lifetime: 10m}}'],
    ['with the shortest lifetime in other units', '{certificate: {lifetime: 9m60s}}'],
    ['with the longest lifetime', '{certificate: {lifetime: 90d}}'],
    ['with the longest lifetime in hours', '{certificate: {lifetime: 2160h}}'],
    ['with a lifetime of several units', '{certificate: {lifetime: 1d12h30m15s500ms}}'],
    ['that renews at the bounds', '{certificate: {renewAt: 10}}'],
    [
      'with TLS 1.2 and its suites',
      '{tls: {minVersion: "1.2", ciphers: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]}}',
    ],
    ['with a public name', '{certificate: {dnsNames: [api.example.com, svc.example.com, a.svc-1.example]}}'],
    ['with a passthrough port', '{ports: [{port: 443, protocol: Passthrough}]}'],
    ['with prefixed label keys', '{selector: {matchLabels: {app.kubernetes.io/name: web, tier: ""}}}'],
    ['with an empty list of keystores', '{certificate: {keystores: []}}'],
    [
      'with the bounds of connections',
      '{connections: {maxAge: 30d, idleTimeout: 1s, handshakeTimeout: 60s, maxConcurrent: 1000000}}',
    ],
  ])('%s', async (_, spec) => {
    await expect(tryOut(policy('good', spec))).resolves.toContain('tlspolicy.tabard.dev/good');
  });

  const samples = readdirSync(`${root}/samples`, { recursive: true, encoding: 'utf8' });
  test.each(samples.filter((name) => name.endsWith('.yaml')))('as samples/%s', async (name) => {
    const input = readFileSync(`${root}/samples/${name}`, 'utf8');
    await expect(api.kubectl(['apply', '-n', 'default', '-f', '-'], { input })).resolves.toContain(' created');
  });
});

describe('the API server', () => {
  test('fills in every default', async () => {
    await api.kubectl(['apply', '-f', '-'], { input: policy('whole', '{}') });
    const stored = JSON.parse(await api.kubectl(['get', 'tlsp', 'whole', '-o', 'json'])) as TLSPolicy;
    expect(stored.spec).toEqual({
      mode: 'Mutual',
      tls: { minVersion: '1.3', ciphers: [], groups: ['X25519MLKEM768', 'X25519', 'P-256'] },
      certificate: {
        issuer: 'cluster',
        lifetime: '24h',
        renewAt: 66,
        key: 'ECDSA-P256',
        delivery: 'Secret',
        dnsNames: [],
        sinks: [],
      },
      revocation: { mode: 'Soft', maxAge: '1h' },
      http: { accessLog: 'Denied', accessLogOneIn: 1, underscoresInHeaders: 'Refuse' },
      connections: {
        maxAge: '12h',
        idleTimeout: '1h',
        handshakeTimeout: '10s',
        maxConcurrent: 10000,
        transport: 'Tunnel',
      },
    });
  });

  test('writes status only through the status subresource, and keeps one condition per type', async () => {
    const status = (reason: string) => ({
      conditions: [
        {
          type: 'Ready',
          status: 'True',
          reason,
          message: 'all certificates are valid',
          lastTransitionTime: '2026-11-22T10:00:00Z',
          observedGeneration: 1,
        },
      ],
      services: [{ name: 'web', pods: 2, ready: true, serial: 'AB', notAfter: '2026-11-23T10:00:00Z' }],
      servicesReady: '1/1',
      expires: '2026-11-23T10:00:00Z',
    });
    await api.kubectl(['apply', '-f', '-'], { input: policy('told', '{}') });
    const patch = (reason: string, ...more: readonly string[]) =>
      api.kubectl(['patch', 'tlsp', 'told', '--type=merge', '-p', JSON.stringify({ status: status(reason) }), ...more]);
    await patch('Ignored');
    expect(await api.kubectl(['get', 'tlsp', 'told', '-o', 'jsonpath={.status}'])).toBe('');
    await patch('Issued', '--subresource=status');
    expect(await api.kubectl(['get', 'tlsp', 'told', '-o', 'jsonpath={.status.conditions[*].reason}'])).toBe('Issued');
    const twice = { status: { conditions: [...status('A').conditions, ...status('B').conditions] } };
    await expect(
      api.kubectl(['patch', 'tlsp', 'told', '--subresource=status', '--type=merge', '-p', JSON.stringify(twice)]),
    ).rejects.toThrow('Duplicate value: {"type":"Ready"}');
  });
});

describe('kubectl', () => {
  test('shows mode, services, readiness, expiry and age of a policy', async () => {
    const table = await api.kubectl(['get', 'tlsp', 'told']);
    const [head = '', row = ''] = table.trim().split('\n');
    expect(head.split(/\s+/)).toEqual(['NAME', 'MODE', 'SERVICES', 'READY', 'EXPIRES', 'AGE']);
    expect(row.split(/\s+/).slice(0, 5)).toEqual(['told', 'Mutual', '1/1', 'True', '2026-11-23T10:00:00Z']);
  });

  test('shows readiness, expiry and age of an issuer', async () => {
    await api.kubectl(['apply', '-f', '-'], { input: issuer('cluster', '{selfSigned: {}}') });
    const status = {
      caNotAfter: '2036-11-20T10:00:00Z',
      conditions: [
        {
          type: 'Ready',
          status: 'True',
          reason: 'Made',
          message: 'it signs',
          lastTransitionTime: '2026-11-22T10:00:00Z',
        },
      ],
    };
    await api.kubectl([
      'patch',
      'tlsi',
      'cluster',
      '--subresource=status',
      '--type=merge',
      '-p',
      JSON.stringify({ status }),
    ]);
    const [head = '', row = ''] = (await api.kubectl(['get', 'tlsi'])).trim().split('\n');
    expect(head.split(/\s+/)).toEqual(['NAME', 'READY', 'EXPIRES', 'ROTATION', 'AGE']);
    expect(row.split(/\s+/).slice(0, 3)).toEqual(['cluster', 'True', '2036-11-20T10:00:00Z']);
    expect(await api.kubectl(['get', 'tlsi', 'cluster', '-o', 'jsonpath={.spec.selfSigned.lifetime}'])).toBe('90d');
  });

  test('lists policies and issuers as the category tabard', async () => {
    const names = await api.kubectl(['get', 'tabard', '-o', 'name']);
    expect(names).toContain('tlsissuer.tabard.dev/cluster');
    expect(names).toContain('tlspolicy.tabard.dev/whole');
  });

  test.each([
    ['tlspolicy', 'mutual TLS 1.3 for every injected pod of the namespace'],
    ['tlspolicy.spec.mode', 'plaintext and callers without a certificate'],
    ['tlspolicy.spec.certificate.lifetime', 'from 10m to 90d'],
    ['tlspolicy.spec.certificate.renewAt', 'in percent of its lifetime'],
    ['tlspolicy.spec.ports.protocol', 'Passthrough when the application speaks TLS itself'],
    ['tlspolicy.spec.authorization', 'judged for every connection after the peer proved itself'],
    ['tlspolicy.spec.authorization.rules.from.serviceAccounts', 'of which all pods run with the account'],
    ['tlsbaseline.spec.mode', 'in the order Mutual, ServerOnly, Permissive, Disabled'],
    ['tlsrole.spec.permissions', 'one entry must match'],
    ['tlspolicy.status.conditions', 'Ready: everything asked for holds'],
    ['tlsissuer.spec.selfSigned.lifetime', 'Default 90d'],
  ])('explains %s', async (path, words) => {
    const text = await api.kubectl(['explain', path]);
    expect(text.replaceAll(/\s+/g, ' ')).toContain(words);
  });

  test('finds a description for every field', async () => {
    const text = await api.kubectl(['explain', 'tlspolicy', '--recursive']);
    expect(text).not.toContain('<no description>');
    for (const part of [
      'spec',
      'spec.certificate',
      'spec.ports',
      'spec.tls',
      'spec.connections',
      'status',
      'status.services',
    ]) {
      expect(await api.kubectl(['explain', `tlspolicy.${part}`])).not.toContain('<no description>');
    }
  });
});

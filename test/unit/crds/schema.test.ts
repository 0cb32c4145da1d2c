import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import type { Crd, Schema } from '../../../hack/manifests/api-reference.ts';
import type { AuthorizationRule, AuthorizationTarget } from '../../../lib/api/authorization.ts';
import type { TLSBaseline, TLSRole } from '../../../lib/api/tlsbaseline.ts';
import type { TLSIssuer } from '../../../lib/api/tlsissuer.ts';
import type { TLSPolicySpec, TLSPolicyStatus } from '../../../lib/api/tlspolicy.ts';
import type { TLSRevocation } from '../../../lib/api/tlsrevocation.ts';
import { parseDuration } from '../../../lib/clock.ts';
import { authorityLifetimeMs, defaultCertificate, defaultPolicy, lifetimes } from '../../../lib/policy/defaults.ts';

const root = resolve(import.meta.dirname, '../../..');

function schemaOf(plural: string): Schema {
  const crd = parse(readFileSync(`${root}/crds/tabard.dev_${plural}.yaml`, 'utf8')) as Crd;
  return crd.spec.versions[0].schema.openAPIV3Schema;
}

/** Paths of every field, as in `spec.ports[].mode`. */
function paths(schema: Schema, prefix: string): string[] {
  const inner = schema.items ?? schema;
  const here = schema.items === undefined ? prefix : `${prefix}[]`;
  const names = Object.entries(inner.properties ?? {});
  return names.length === 0 ? [prefix] : names.flatMap(([name, field]) => paths(field, `${here}.${name}`));
}

function pathsOfValue(value: unknown, prefix: string): string[] {
  if (Array.isArray(value)) {
    return typeof value[0] === 'object' ? pathsOfValue(value[0], `${prefix}[]`) : [prefix];
  }
  if (typeof value !== 'object' || value === null) return [prefix];
  const members = Object.entries(value);
  return members.length === 0 ? [prefix] : members.flatMap(([name, field]) => pathsOfValue(field, `${prefix}.${name}`));
}

type Whole<T> = T extends readonly (infer Item)[]
  ? readonly [Whole<Item>]
  : T extends object
    ? { readonly [Key in keyof T]-?: Whole<Exclude<T[Key], undefined>> }
    : T;

const target: Whole<AuthorizationTarget> = {
  ports: [1],
  methods: [''],
  paths: [''],
  hosts: [''],
  grpcMethods: [''],
};
const rule: Whole<AuthorizationRule> = {
  name: '',
  effect: 'Allow',
  audit: false,
  from: [{ services: [''], namespaces: [''], serviceAccounts: [''], identities: [''], ipBlocks: [''] }],
  to: [target],
  roles: [''],
  when: '',
};

// The compiler sees to it that these values have every field of the types, and none besides.
const policy: Whole<TLSPolicySpec> = {
  selector: { matchLabels: {}, matchExpressions: [{ key: '', operator: 'In', values: [''] }] },
  mode: 'Mutual',
  ports: [{ port: 1, mode: 'Mutual', protocol: 'TCP' }],
  tls: { minVersion: '1.3', ciphers: [''], groups: ['X25519'] },
  certificate: {
    issuer: '',
    lifetime: '',
    renewAt: 1,
    key: 'ECDSA-P256',
    delivery: 'Secret',
    dnsNames: [''],
    keystores: [{ format: 'PKCS12', passwordSecretRef: { name: '', key: '' } }],
    sinks: [''],
  },
  edge: { issuer: '', dnsNames: [''] },
  revocation: { mode: 'Hard', maxAge: '' },
  authentication: {
    required: true,
    ports: [1],
    jwt: [
      {
        issuer: '',
        audiences: [''],
        jwksUri: '',
        caBundle: '',
        jwks: '',
        fromHeaders: [{ name: '', prefix: '' }],
        forward: true,
        clockSkew: '',
      },
    ],
  },
  authorization: { audit: true, rules: [rule] },
  http: {
    hsts: { maxAge: '', includeSubDomains: true, preload: true, preloadConfirmation: 'HardlyReversible' },
    securityHeaders: [{ name: 'Referrer-Policy', value: 'no-referrer' }],
    clientCertificate: { headers: ['Client-Cert'], trustedForwarders: [''] },
    accessLog: 'All',
    accessLogOneIn: 1,
    underscoresInHeaders: 'Pass',
  },
  connections: { maxAge: '', idleTimeout: '', handshakeTimeout: '', maxConcurrent: 1, transport: 'Tunnel' },
};

const condition = {
  type: '',
  status: 'True',
  reason: '',
  message: '',
  lastTransitionTime: '',
  observedGeneration: 1,
} as const;

const policyStatus: Whole<TLSPolicyStatus> = {
  observedGeneration: 1,
  conditions: [condition],
  services: [
    {
      name: '',
      serial: '',
      notBefore: '',
      notAfter: '',
      renewAt: '',
      issuer: '',
      delivery: 'Secret',
      certificates: 1,
      pods: 1,
      ready: true,
    },
  ],
  servicesReady: '',
  expires: '',
  plaintextClients: [{ address: '', service: '', port: 1, lastSeen: '' }],
  rules: [{ name: '', since: '', lastHit: '' }],
  callersSince: '',
  callers: [{ service: '', identity: '', port: 1, connections: 1, since: '', lastSeen: '' }],
  requestsSince: '',
  requests: [
    { service: '', identity: '', port: 1, method: '', host: '', path: '', requests: 1, since: '', lastSeen: '' },
  ],
  strictReady: true,
};

const keyRef = { name: '', key: '' } as const;
const aws = { region: '', endpoint: '', credentialsSecretRef: { name: '' } } as const;
const vault = {
  server: '',
  namespace: '',
  caBundle: '',
  timeout: '',
  auth: { kubernetes: { role: '', mountPath: '', audience: '' }, tokenSecretRef: keyRef },
} as const;

const issuer: Whole<Pick<TLSIssuer, 'spec' | 'status'>> = {
  spec: {
    selfSigned: { lifetime: '' },
    ca: { secretRef: { name: '' }, awsSecretsManager: { ...aws, secretId: '' } },
    vault: { ...vault, path: '', role: '' },
    acme: {
      server: '',
      email: '',
      caBundle: '',
      profile: '',
      accountKeySecretRef: { name: '' },
      externalAccountBinding: { keyID: '', keySecretRef: keyRef },
      solvers: [
        {
          dnsZones: [''],
          http01: {},
          tlsAlpn01: {},
          dns01: {
            rfc2136: { nameserver: '', tsigKeyName: '', tsigAlgorithm: 'HMACSHA256', tsigSecretRef: keyRef },
          },
        },
      ],
    },
    kubernetesCSR: { signerName: '', approve: false, caBundle: '' },
    rotation: { paused: false },
    crl: { distributionPoint: false, importFrom: { configMapRef: keyRef, url: '' } },
    trust: { roots: [{ name: '', pem: '', configMapRef: keyRef, trustDomain: '' }] },
    sinks: [{ name: '', awsSecretsManager: { ...aws, prefix: '' }, vaultKV: { ...vault, mount: '', prefix: '' } }],
  },
  status: {
    conditions: [condition],
    caNotAfter: '',
    caFingerprint: '',
    trustBundle: '',
    authorities: [{ keyId: '', fingerprint: '', notAfter: '', role: 'Active' }],
    rotation: {
      phase: 'Idle',
      reason: '',
      startedAt: '',
      phaseSince: '',
      waitingFor: [''],
      waitingCount: 1,
      message: '',
      handledReasons: [''],
    },
  },
};

const revocation: Whole<Pick<TLSRevocation, 'spec' | 'status'>> = {
  spec: {
    identity: '',
    serial: '',
    pod: { namespace: '', name: '', uid: '' },
    reason: 'unspecified',
    until: '',
    comment: '',
  },
  status: {
    observedGeneration: 1,
    conditions: [condition],
    number: 1,
    serials: [''],
    enforcedAt: '',
    sidecars: { total: 1, enforcing: 1 },
    enforced: '',
    lagging: [''],
    upstream: [{ serial: '', issuer: '', state: 'Pending', message: '', certificate: '' }],
  },
};

const baseline: Whole<Pick<TLSBaseline, 'spec' | 'status'>> = {
  spec: {
    audit: true,
    mode: 'Mutual',
    tls: { minVersion: '1.3', ciphers: [''] },
    certificate: { maxLifetime: '' },
    authorization: { rules: [rule] },
  },
  status: { observedGeneration: 1, conditions: [condition], overrides: [''], overridesCount: 1 },
};

const role: Whole<Pick<TLSRole, 'spec' | 'status'>> = {
  spec: { permissions: [target] },
  status: { observedGeneration: 1, conditions: [condition], usedBy: [''], usedByCount: 1 },
};

describe('the CRDs and the types', () => {
  const known = (plural: string, part: string) => paths(schemaOf(plural).properties?.[part] ?? {}, part);

  test('state the same fields of a policy', () => {
    const wanted = pathsOfValue(policy, 'spec').concat('spec.selector.matchLabels');
    expect(known('tlspolicies', 'spec').sort()).toEqual([...new Set(wanted)].sort());
  });

  test("state the same fields of a policy's status", () => {
    expect(known('tlspolicies', 'status').sort()).toEqual(pathsOfValue(policyStatus, 'status').sort());
  });

  test.each([
    ['tlsissuers', issuer],
    ['tlsrevocations', revocation],
    ['tlsbaselines', baseline],
    ['tlsroles', role],
  ] as const)('state the same fields of %s', (plural, value) => {
    const fields = [...known(plural, 'spec'), ...known(plural, 'status')];
    expect(fields.sort()).toEqual(
      [...pathsOfValue(value.spec, 'spec'), ...pathsOfValue(value.status, 'status')].sort(),
    );
  });
});

describe('every field', () => {
  function undescribed(schema: Schema, path: string): string[] {
    return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => [
      ...(field.description === undefined && `${path}.${name}` !== '.metadata' ? [`${path}.${name}`] : []),
      ...undescribed(field, `${path}.${name}`),
      ...undescribed(field.items ?? {}, `${path}.${name}[]`),
    ]);
  }

  test.each(['tlspolicies', 'tlsissuers', 'tlsrevocations', 'tlsbaselines', 'tlsroles'])(
    'of %s is described',
    (plural) => {
      expect(undescribed(schemaOf(plural), '')).toEqual([]);
    },
  );

  test('with a default names it in its description, where kubectl explain shows it', () => {
    const shown = (field: Schema) => `Default ${JSON.stringify(field.default)}`.replaceAll('"', '');
    const plain = (field: Schema) => field.default !== undefined && field.type !== 'object' && field.type !== 'array';
    function unnamed(schema: Schema, path: string): string[] {
      return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => [
        ...(plain(field) && !field.description?.replaceAll('"', '').includes(shown(field)) ? [`${path}.${name}`] : []),
        ...unnamed(field, `${path}.${name}`),
        ...unnamed(field.items ?? {}, `${path}.${name}[]`),
      ]);
    }
    const kinds = ['tlspolicies', 'tlsissuers', 'tlsbaselines', 'tlsroles'];
    expect(kinds.flatMap((plural) => unnamed(schemaOf(plural), ''))).toEqual([]);
  });
});

describe('the defaults of the CRDs', () => {
  const at = (plural: string, ...names: readonly string[]): unknown =>
    names.reduce((schema, name) => schema.properties?.[name] ?? {}, schemaOf(plural)).default;
  const ofPolicy = (...names: readonly string[]) => at('tlspolicies', 'spec', ...names);
  const ms = (value: unknown) => parseDuration(String(value));

  test('are those that hold for pods without a policy', () => {
    expect({
      mode: ofPolicy('mode'),
      tls: {
        minVersion: ofPolicy('tls', 'minVersion'),
        ciphers: ofPolicy('tls', 'ciphers'),
        groups: ofPolicy('tls', 'groups'),
      },
      connections: {
        maxAgeMs: ms(ofPolicy('connections', 'maxAge')),
        idleTimeoutMs: ms(ofPolicy('connections', 'idleTimeout')),
        handshakeTimeoutMs: ms(ofPolicy('connections', 'handshakeTimeout')),
        maxConcurrent: ofPolicy('connections', 'maxConcurrent'),
        transport: ofPolicy('connections', 'transport'),
      },
      accessLog: ofPolicy('http', 'accessLog'),
    }).toEqual({
      mode: defaultPolicy.mode,
      tls: defaultPolicy.tls,
      connections: defaultPolicy.connections,
      accessLog: defaultPolicy.accessLog,
    });
  });

  test('of the certificate are those that hold without a policy', () => {
    expect({
      issuer: ofPolicy('certificate', 'issuer'),
      lifetimeMs: ms(ofPolicy('certificate', 'lifetime')),
      renewAt: ofPolicy('certificate', 'renewAt'),
      key: ofPolicy('certificate', 'key'),
      dnsNames: ofPolicy('certificate', 'dnsNames'),
      delivery: ofPolicy('certificate', 'delivery'),
    }).toEqual({ ...defaultCertificate });
  });

  test('of the issuer is the lifetime that Tabard gives a CA', () => {
    expect(ms(at('tlsissuers', 'spec', 'selfSigned', 'lifetime'))).toBe(authorityLifetimeMs);
  });

  test('lie within the range of lifetimes, which is the one that the code knows', () => {
    const certificate = schemaOf('tlspolicies').properties?.['spec']?.properties?.['certificate'];
    const rule = certificate?.properties?.['lifetime']?.['x-kubernetes-validations']?.[0]?.rule ?? '';
    const [lowest = '', highest = ''] = [...rule.matchAll(/timestamp\(0\) \+ duration\('(\w+)'\)/g)].map(
      (match) => match[1],
    );
    expect({ shortestMs: ms(lowest), longestMs: ms(highest) }).toEqual(lifetimes);
    expect(defaultCertificate.lifetimeMs).toBeGreaterThanOrEqual(lifetimes.shortestMs);
    expect(defaultCertificate.lifetimeMs).toBeLessThanOrEqual(lifetimes.longestMs);
  });
});

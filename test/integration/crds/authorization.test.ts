// Authorization on a real API server: which rules, baselines and roles it refuses and in which words, and what a baseline keeps from
// being applied at all.
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { type ControlPlane, startControlPlane } from '../../../hack/cluster/api.ts';
import { openHelm } from '../../support/helm.ts';

// Each test starts processes, beside whatever else this machine does.
jest.setTimeout(120_000);

const root = resolve(import.meta.dirname, '../../..');
let api: ControlPlane;

beforeAll(async () => {
  api = await startControlPlane();
  await api.kubectl(['apply', '--server-side', '-f', `${root}/crds`]);
  const crds = ['tlspolicies', 'tlsbaselines', 'tlsroles'].map((plural) => `crd/${plural}.tabard.dev`);
  await api.kubectl(['wait', '--for=condition=Established', ...crds]);
}, 900_000);

afterAll(async () => {
  await api?.stop();
});

const object = (kind: string, spec: string, name = 'tried') =>
  `{apiVersion: tabard.dev/v1alpha1, kind: ${kind}, metadata: {name: ${name}${kind === 'TLSPolicy' ? ', namespace: default' : ''}}, spec: ${spec}}`;
const tryOut = (input: string): Promise<string> =>
  api.kubectl(['apply', '--dry-run=server', '-f', '-'], { input }).then(
    (said) => `accepted: ${said}`,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );

const policy = (rule: string): string => object('TLSPolicy', `{authorization: {rules: [${rule}]}}`);
const baseline = (rule: string): string => object('TLSBaseline', `{authorization: {rules: [${rule}]}}`);

describe('refused, with the field and what is accepted,', () => {
  test.each<readonly [string, string, string, string]>([
    [
      'is a method in lower case',
      policy('{name: a, to: [{methods: [get]}]}'),
      'spec.authorization.rules[0].to[0].methods[0]',
      'should match',
    ],
    [
      'is an empty list of methods',
      policy('{name: a, to: [{methods: []}]}'),
      'spec.authorization.rules[0].to[0].methods',
      'at least 1 items',
    ],
    [
      'is a path that does not begin at the root',
      policy('{name: a, to: [{paths: [items]}]}'),
      'spec.authorization.rules[0].to[0].paths[0]',
      'should match',
    ],
    [
      'is a path with a star in the middle',
      policy('{name: a, to: [{paths: [/items/*/x]}]}'),
      'spec.authorization.rules[0].to[0].paths[0]',
      'should match',
    ],
    [
      'is a path with a star behind a letter',
      policy('{name: a, to: [{paths: [/items*]}]}'),
      'spec.authorization.rules[0].to[0].paths[0]',
      'should match',
    ],
    [
      'is a path with a query',
      policy('{name: a, to: [{paths: ["/items?a"]}]}'),
      'spec.authorization.rules[0].to[0].paths[0]',
      'should match',
    ],
    [
      'is a path with dot segments',
      policy('{name: a, to: [{paths: [/a/../b]}]}'),
      'spec.authorization.rules[0].to[0].paths[0]',
      'should match',
    ],
    [
      'is a path with an empty segment',
      policy('{name: a, to: [{paths: [/a//b]}]}'),
      'spec.authorization.rules[0].to[0].paths[0]',
      'should match',
    ],
    [
      'is a path with a parameter',
      policy('{name: a, to: [{paths: [/a;b]}]}'),
      'spec.authorization.rules[0].to[0].paths[0]',
      'should match',
    ],
    [
      'is a host with a port',
      policy('{name: a, to: [{hosts: ["x:80"]}]}'),
      'spec.authorization.rules[0].to[0].hosts[0]',
      'should match',
    ],
    [
      'is any host',
      policy('{name: a, to: [{hosts: ["*"]}]}'),
      'spec.authorization.rules[0].to[0].hosts[0]',
      'should match',
    ],
    [
      'is a gRPC method with a slash in front',
      policy('{name: a, to: [{grpcMethods: [/a.B/C]}]}'),
      'spec.authorization.rules[0].to[0].grpcMethods[0]',
      'should match',
    ],
    [
      'are gRPC methods beside paths',
      policy('{name: a, to: [{grpcMethods: [a.B/C], paths: [/x]}]}'),
      'spec.authorization.rules[0].to[0].grpcMethods',
      'cannot stand beside methods and paths',
    ],
    ['is an empty condition', policy('{name: a, when: ""}'), 'spec.authorization.rules[0].when', 'at least 1 chars'],
    [
      'is a baseline rule by path for every port',
      baseline('{name: a, to: [{paths: [/x]}]}'),
      'spec.authorization.rules[0].to[0].ports',
      'must be stated beside what is asked of requests',
    ],
    [
      'is a baseline rule with a condition for every port',
      baseline('{name: a, when: "true"}'),
      'spec.authorization.rules[0].when',
      'needs to with ports',
    ],
    [
      'is a role by a path that is none',
      object('TLSRole', '{permissions: [{paths: [x]}]}'),
      'spec.permissions[0].paths[0]',
      'should match',
    ],
    [
      'is an effect that is none',
      policy('{name: a, effect: Log}'),
      'spec.authorization.rules[0].effect',
      '"Allow", "Deny"',
    ],
    ['is a rule without a name', policy('{effect: Deny}'), 'spec.authorization.rules[0].name', 'Required'],
    ['is a name that could be read as two', policy('{name: a/b}'), 'spec.authorization.rules[0].name', 'should match'],
    ['are two rules of one name', policy('{name: a}, {name: a}'), 'spec.authorization.rules[1]', 'Duplicate'],
    [
      'is a caller that says nothing',
      policy('{name: a, from: [{}]}'),
      'spec.authorization.rules[0].from[0]',
      'leave from out to mean anyone',
    ],
    [
      'is an empty list of services',
      policy('{name: a, from: [{services: []}]}'),
      'spec.authorization.rules[0].from[0].services',
      'at least 1 items',
    ],
    [
      'is a wildcard for services',
      policy('{name: a, from: [{services: ["*"]}]}'),
      'spec.authorization.rules[0].from[0].services[0]',
      'should match',
    ],
    [
      'is a pattern for identities',
      policy('{name: a, from: [{identities: ["spiffe://x/ns/.*/svc/*"]}]}'),
      'spec.authorization.rules[0].from[0].identities[0]',
      'should match',
    ],
    [
      'is an address without a length',
      policy('{name: a, from: [{ipBlocks: [10.0.0.1]}]}'),
      'spec.authorization.rules[0].from[0].ipBlocks[0]',
      'should match',
    ],
    [
      'is a range of 33 bits',
      policy('{name: a, from: [{ipBlocks: [10.0.0.0/33]}]}'),
      'spec.authorization.rules[0].from[0].ipBlocks[0]',
      'should match',
    ],
    [
      'is a target that says nothing',
      policy('{name: a, to: [{}]}'),
      'spec.authorization.rules[0].to[0]',
      'needs ports',
    ],
    [
      'is port 0',
      policy('{name: a, to: [{ports: [0]}]}'),
      'spec.authorization.rules[0].to[0].ports[0]',
      'greater than or equal to 1',
    ],
    ['is a baseline that allows', baseline('{name: a, effect: Allow}'), 'spec.authorization.rules[0].effect', '"Deny"'],
    [
      'is a service of no namespace in a baseline',
      baseline('{name: a, from: [{services: [web]}]}'),
      'spec.authorization.rules[0].from[0]',
      'needs namespaces beside services',
    ],
    [
      'is a baseline without a suite of TLS 1.3',
      object('TLSBaseline', '{tls: {ciphers: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]}}'),
      'spec.tls.ciphers',
      'needs at least one TLS 1.3 suite',
    ],
    [
      'is a ceiling of 91 days',
      object('TLSBaseline', '{certificate: {maxLifetime: 91d}}'),
      'spec.certificate.maxLifetime',
      'must be a duration from 10m to 90d',
    ],
    ['is a role without permissions', object('TLSRole', '{permissions: []}'), 'spec.permissions', 'at least 1 items'],
  ])('%s', async (_, input, field, says) => {
    const said = await tryOut(input);
    expect(said).toContain(field);
    expect(said).toContain(says);
    expect(said).not.toContain('accepted:');
  });
});

describe('accepted', () => {
  test.each<readonly [string, string]>([
    ['is a rule that denies everybody', policy('{name: nobody, effect: Deny}')],
    [
      'is every kind of caller',
      policy(
        '{name: a, from: [{services: [web], namespaces: [shop], serviceAccounts: [web.v1], identities: ["spiffe://istio.example/ns/a/sa/b"], ipBlocks: [10.0.0.0/8, "fd00::/8", "::ffff:10.0.0.0/104", 0.0.0.0/0]}], to: [{ports: [80, 8080]}], roles: [metrics], audit: true}',
      ),
    ],
    [
      'are a hundred rules',
      policy(Array.from({ length: 100 }, (_, index) => `{name: r${index}, from: [{namespaces: [a]}]}`).join(', ')),
    ],
    [
      'is a baseline',
      object(
        'TLSBaseline',
        '{audit: true, mode: Mutual, tls: {minVersion: "1.3", ciphers: [TLS_AES_256_GCM_SHA384]}, certificate: {maxLifetime: 7d}, authorization: {rules: [{name: a, from: [{namespaces: [dev]}]}]}}',
      ),
    ],
    ['is an empty baseline', object('TLSBaseline', '{}')],
    ['is a role', object('TLSRole', '{permissions: [{ports: [9090]}]}')],
    [
      'is everything that a rule may ask of requests',
      policy(
        '{name: a, to: [{ports: [80], methods: [GET, M-SEARCH], paths: [/, "/*", /a/b, /a/, "/a/*", /.well-known/x, /a%20b, "/a(b)=c@d:e", /...], hosts: [shop, shop.example, "*.example", 10.0.0.1]}, {grpcMethods: [shop.v1.Cart/Add, "Cart/*"]}], when: "request.method == \\"GET\\""}',
      ),
    ],
    [
      'is a baseline that asks for requests to ports',
      baseline('{name: a, to: [{ports: [80], paths: [/x]}], when: "true"}'),
    ],
    ['is a role for requests', object('TLSRole', '{permissions: [{methods: [GET]}]}')],
  ])('%s', async (_, input) => {
    expect(await tryOut(input)).toContain('accepted:');
  });
});

describe('a policy below a baseline', () => {
  beforeAll(async () => {
    const helm = await openHelm();
    const rendered = await helm.render();
    helm.close();
    const admission = rendered.filter(({ kind }) => kind.startsWith('ValidatingAdmissionPolicy'));
    expect(admission).toHaveLength(2);
    await api.kubectl(['apply', '-f', '-'], {
      input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: admission }),
    });
    const floor =
      '{mode: ServerOnly, tls: {minVersion: "1.3", ciphers: [TLS_AES_256_GCM_SHA384]}, certificate: {maxLifetime: 7d}}';
    await api.kubectl(['apply', '-f', '-'], { input: object('TLSBaseline', floor, 'floor') });
    await api.kubectl(['apply', '-f', '-'], { input: object('TLSBaseline', '{audit: true, mode: Mutual}', 'wish') });
    // The API server takes up admission policies and what they are given when it next looks.
    await expect(
      (async () => {
        while ((await tryOut(object('TLSPolicy', '{mode: Disabled}'))).includes('accepted:')) {
          await new Promise((resolve) => setTimeout(resolve, 500));
        }
        return 'refused';
      })(),
    ).resolves.toBe('refused');
  }, 600_000);

  test.each<readonly [string, string, string]>([
    [
      'by its mode',
      '{mode: Permissive}',
      'spec.mode: Permissive is below TLSBaseline "floor", which asks for ServerOnly or stricter',
    ],
    [
      'by the mode of a port',
      '{ports: [{port: 80, mode: Disabled}]}',
      'spec.ports: a mode is below TLSBaseline "floor"',
    ],
    [
      'by going past the sidecar',
      '{ports: [{port: 80, protocol: Passthrough}]}',
      'protocol Passthrough goes past the sidecar',
    ],
    ['by its TLS version', '{tls: {minVersion: "1.2"}}', 'spec.tls.minVersion: 1.2 is below TLSBaseline "floor"'],
    ['by its suites', '{tls: {ciphers: [TLS_AES_128_GCM_SHA256]}}', 'allows only TLS_AES_256_GCM_SHA384'],
    [
      'by the life of its certificates',
      '{certificate: {lifetime: 7d1h}}',
      'spec.certificate.lifetime: 7d1h is above TLSBaseline "floor", which allows up to 7d',
    ],
  ])('is refused %s', async (_, spec, says) => {
    const said = await tryOut(object('TLSPolicy', spec));
    expect(said).toContain(says);
    expect(said).not.toContain('accepted:');
  });

  test.each([
    '{mode: ServerOnly}',
    '{ports: [{port: 80, mode: ServerOnly}, {port: 81, protocol: TCP}]}',
    '{tls: {ciphers: [TLS_AES_256_GCM_SHA384]}}',
    '{certificate: {lifetime: 168h}}',
    '{}',
  ])('is not one that says %s', async (spec) => {
    expect(await tryOut(object('TLSPolicy', spec))).toContain('accepted:');
  });

  test('that was there before can still be labelled, and changed for the better alone', async () => {
    await api.kubectl(['delete', 'tlsb', 'floor', '--wait']);
    const lax = object('TLSPolicy', '{mode: Disabled}', 'lax');
    const appliedAs = (input: string): Promise<string> => api.kubectl(['apply', '-f', '-'], { input });
    for (let made = false; !made; )
      made = await appliedAs(lax).then(
        () => true,
        () => false,
      );
    await appliedAs(object('TLSBaseline', '{mode: Mutual}', 'floor'));
    while ((await tryOut(object('TLSPolicy', '{mode: Disabled}'))).includes('accepted:')) {
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    await expect(api.kubectl(['label', 'tlsp', 'lax', 'team=a'])).resolves.toContain('labeled');
    expect(await tryOut(object('TLSPolicy', '{mode: Permissive}', 'lax'))).toContain('is below TLSBaseline "floor"');
    expect(await tryOut(object('TLSPolicy', '{mode: Mutual}', 'lax'))).toContain('accepted:');
  });
});

import { describe, expect, test } from '@jest/globals';
import { parseDestination, parseSelf } from '../../../../sidecar/control/parse.ts';
import { testSelf } from '../../../support/sidecar.ts';

const self = { version: 'v1', ...testSelf('web', 'PEM') };
const destination = {
  version: 'v1',
  known: true,
  serverName: 'api.shop.svc.cluster.local',
  endpoints: [
    { address: '10.0.0.1', port: 80, transport: 'mutual', identity: 'spiffe://cluster.local/ns/shop/svc/api' },
    { address: 'fd00::1', port: 80, transport: 'plain', why: 'policy_disabled' },
  ],
};

/** The value with one member, named by its path, replaced. */
function changed(value: object, path: string, replacement: unknown): unknown {
  const copy: unknown = structuredClone(value);
  const steps = path.split('.');
  const last = steps.pop() ?? '';
  let at = copy as Record<string, unknown>;
  for (const step of steps) at = at[step] as Record<string, unknown>;
  at[last] = replacement;
  return copy;
}

describe('a snapshot of this pod', () => {
  test('is taken over as it is', () => {
    expect(parseSelf(self)).toEqual(self);
  });

  test('may hold what this version does not know', () => {
    const newer = {
      ...self,
      revocations: [],
      policy: { ...self.policy, jwt: {}, tls: { ...self.policy.tls, groups: ['X448', 'X25519'] } },
    };
    expect(parseSelf(newer)).toEqual({
      ...self,
      policy: { ...self.policy, tls: { ...self.policy.tls, groups: ['X25519'] } },
    });
  });

  test.each([
    ['Tunnel', 'Tunnel'],
    ['Direct', 'Direct'],
    ['Datagram', 'Direct'],
  ])(
    'with transport %s has connections carried %s: one that is not known goes the way that every version knows',
    (told, used) => {
      const { connections } = parseSelf(changed(self, 'policy.connections.transport', told)).policy;
      expect(connections).toEqual({ ...self.policy.connections, transport: used });
    },
  );

  test('may ask for HSTS', () => {
    const secure = changed(self, 'policy.http', { hsts: 'max-age=60; includeSubDomains' });
    expect(parseSelf(secure)).toEqual(secure);
  });

  test.each([
    ['Pass', { underscoresInHeaders: 'Pass' }],
    ['a word of a later version', {}],
  ])('refuses names with underscores unless it says otherwise: %s', (told, expected) => {
    const { policy } = parseSelf(changed(self, 'policy.underscoresInHeaders', told));
    expect(policy).toEqual({ ...self.policy, ...expected });
  });

  test('lets nobody in where its authorization rules cannot be read', () => {
    const newer = { ...self, policy: { ...self.policy, authorization: { form: 2 } } };
    expect(parseSelf(newer).policy.authorization?.rules).toEqual([{ name: 'unreadable-rules', effect: 'Deny' }]);
  });

  test('tells the trust domains whose members may be clients', () => {
    const other = { ...self, federated: [{ trustDomain: 'istio.example', bundle: 'PEM' }] };
    expect(parseSelf(other)).toEqual(other);
  });

  test.each<[string, unknown]>([
    ['policy.http', { hsts: 'max-age=1\r\nX: y' }],
    ['policy.http', {}],
    ['federated', {}],
    ['federated', [{ trustDomain: 'x.example' }]],
    ['federated', [{ trustDomain: '', bundle: 'PEM' }]],
    ['version', ''],
    ['trustDomain', 7],
    ['identity', undefined],
    ['policy', null],
    ['policy.mode', 'Strict'],
    ['policy.ports', {}],
    ['policy.ports', [{ port: 80, mode: 'Mutual', protocol: 'QUIC' }]],
    ['policy.ports', [{ port: 0, mode: 'Mutual', protocol: 'TCP' }]],
    ['policy.tls.minVersion', '1.1'],
    ['policy.connections.maxAgeMs', -1],
    ['policy.connections.maxConcurrent', '10'],
    ['policy.connections.transport', 7],
    ['policy.accessLog', 'Some'],
    ['clusterRanges', [4]],
    ['trustBundle', ''],
  ])('is refused when %s is %j', (path, value) => {
    expect(() => parseSelf(changed(self, path, value))).toThrow(/the control API sent a snapshot/);
  });

  test.each([null, 7, 'text', []])('is refused when it is %j', (value) => {
    expect(() => parseSelf(value)).toThrow(/self is not an object/);
  });
});

describe('a snapshot of a destination', () => {
  test('is taken over as it is', () => {
    expect(parseDestination(destination)).toEqual(destination);
    expect(parseDestination({ version: 'v', known: false, endpoints: [] })).toEqual({
      version: 'v',
      known: false,
      endpoints: [],
    });
  });

  test.each<[string, unknown]>([
    ['known', 'yes'],
    ['known', undefined],
    ['endpoints', undefined],
    ['endpoints.0.address', 'api.shop'],
    ['endpoints.0.port', 70_000],
    ['endpoints.0.identity', ''],
    ['endpoints.0.transport', 'quic'],
    ['endpoints.1.why', 'because'],
  ])('is refused when %s is %j', (path, value) => {
    expect(() => parseDestination(changed(destination, path, value))).toThrow(/the control API sent a snapshot/);
  });
});

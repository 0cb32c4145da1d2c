import { describe, expect, test } from '@jest/globals';
import type { Mode, Protocol } from '../../../lib/api/tlspolicy.ts';
import { type InboundRule, inboundRule, portSettings, ruleBreach } from '../../../sidecar/rule.ts';
import { testSelf } from '../../support/sidecar.ts';

const { policy } = testSelf('web', 'PEM');
const rule = (mode: Mode, protocol: Protocol = 'TCP'): InboundRule =>
  inboundRule({ ...policy, ports: [{ port: 80, mode, protocol }] }, 80);

describe('the rule of a port', () => {
  test.each<[Mode, Protocol, Partial<Extract<InboundRule, { kind: 'inspect' }>> | { kind: 'untouched' }]>([
    [
      'Mutual',
      'TCP',
      { clientCertificate: 'required', plaintext: 'refused', firstByteMs: 2_000, silence: 'handshake_timeout' },
    ],
    ['Mutual', 'GRPC', { clientCertificate: 'required', plaintext: 'refused', protocol: 'GRPC' }],
    ['ServerOnly', 'HTTP', { clientCertificate: 'optional', plaintext: 'refused', silence: 'handshake_timeout' }],
    [
      'Permissive',
      'HTTP',
      { clientCertificate: 'optional', plaintext: 'passed', firstByteMs: 2_000, silence: 'handshake_timeout' },
    ],
    [
      'Permissive',
      'TCP',
      { clientCertificate: 'optional', plaintext: 'passed', firstByteMs: 300, silence: 'plaintext' },
    ],
    ['Disabled', 'TCP', { kind: 'untouched' }],
    ['Mutual', 'Passthrough', { kind: 'untouched' }],
  ])('%s and %s', (mode, protocol, expected) => {
    expect(rule(mode, protocol)).toMatchObject(expected);
  });

  test('is the own one of the port, else that of the policy', () => {
    const mixed = {
      ...policy,
      mode: 'Permissive' as const,
      ports: [{ port: 80, mode: 'Mutual' as const, protocol: 'HTTP' as const }],
    };
    expect(portSettings(mixed, 80)).toMatchObject({ mode: 'Mutual', protocol: 'HTTP' });
    expect(portSettings(mixed, 81)).toMatchObject({ mode: 'Permissive', protocol: 'TCP' });
  });
});

describe('a live connection under a new rule', () => {
  test.each([
    ['Mutual', 'mutual', undefined],
    ['Mutual', 'anonymous', 'no_client_certificate'],
    ['Mutual', 'plaintext', 'plaintext'],
    ['Mutual', 'untouched', 'plaintext'],
    ['ServerOnly', 'anonymous', undefined],
    ['ServerOnly', 'plaintext', 'plaintext'],
    ['Permissive', 'plaintext', undefined],
    ['Permissive', 'untouched', undefined],
    ['Permissive', 'anonymous', undefined],
    ['Disabled', 'untouched', undefined],
    ['Disabled', 'mutual', undefined],
  ] as const)('%s: %s', (mode, transport, reason) => {
    expect(ruleBreach(rule(mode), transport)).toBe(reason);
  });
});

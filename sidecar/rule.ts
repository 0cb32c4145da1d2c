// What a policy asks of inbound connections to one port. Pure: a table from mode and protocol to what is accepted.
import type { EffectivePolicy } from '../lib/api/control.ts';
import type { Reason } from '../lib/api/reasons.ts';
import type { Mode, Protocol } from '../lib/api/tlspolicy.ts';
import type { LiveFacts } from './relay/live.ts';

/** How an inbound connection is treated. */
export type InboundRule =
  /** Bytes pass as they are: mode Disabled, or an application that speaks TLS itself. */
  | { readonly kind: 'untouched' }
  | {
      readonly kind: 'inspect';
      readonly protocol: Protocol;
      readonly clientCertificate: 'required' | 'optional';
      readonly plaintext: 'refused' | 'passed';
      /** How long the first byte is waited for, and what silence means. */
      readonly firstByteMs: number;
      readonly silence: 'plaintext' | 'handshake_timeout';
    };

/**
 * In Permissive a client of a server-first protocol says nothing until the server has spoken. A TLS client speaks at once, so
 * after this long a silent connection to a TCP port is taken for plaintext. Longer than the first retransmission of a lost ClientHello (RFC 6298:
 * 200 ms on Linux once the round trip is known).
 */
export const SERVER_FIRST_WAIT_MS = 300;

/** Mode and protocol of a container port. */
export function portSettings(
  policy: EffectivePolicy,
  port: number,
): { readonly mode: Mode; readonly protocol: Protocol } {
  return policy.ports.find((each) => each.port === port) ?? { mode: policy.mode, protocol: 'TCP' };
}

/** The rule for a container port. */
export function inboundRule(policy: EffectivePolicy, port: number): InboundRule {
  const { mode, protocol } = portSettings(policy, port);
  if (mode === 'Disabled' || protocol === 'Passthrough') return { kind: 'untouched' };
  const permissive = mode === 'Permissive';
  const serverFirst = permissive && protocol === 'TCP';
  const { handshakeTimeoutMs } = policy.connections;
  return {
    kind: 'inspect',
    protocol,
    clientCertificate: mode === 'Mutual' ? 'required' : 'optional',
    plaintext: permissive ? 'passed' : 'refused',
    firstByteMs: serverFirst ? Math.min(SERVER_FIRST_WAIT_MS, handshakeTimeoutMs) : handshakeTimeoutMs,
    silence: serverFirst ? 'plaintext' : 'handshake_timeout',
  };
}

/** Why a live inbound connection may not go on under the present rule of its port; undefined when it may. */
export function ruleBreach(rule: InboundRule, transport: LiveFacts['transport']): Reason | undefined {
  if (rule.kind === 'untouched') return undefined;
  if (transport === 'plaintext' || transport === 'untouched')
    return rule.plaintext === 'passed' ? undefined : 'plaintext';
  if (transport === 'anonymous' && rule.clientCertificate === 'required') return 'no_client_certificate';
  return undefined;
}

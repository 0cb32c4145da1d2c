// The sidecar's metric families. Labels come from closed sets; no peer, pod or address is ever one.
import type { RuleHits } from '../lib/api/authorization.ts';
import type { PlainReason } from '../lib/api/control.ts';
import type { Reason } from '../lib/api/reasons.ts';
import type { Metrics } from '../lib/runtime/metrics.ts';
import type { Direction } from './relay/live.ts';
import type { TunnelCause } from './tunnel/session.ts';

/** How a connection crossed this proxy. */
export type Carriage = 'direct' | 'tunnel' | 'plaintext' | 'untouched' | 'none';

/** Values that are read when somebody asks. */
export interface Observed {
  active(direction: Direction): number;
  tunnels(direction: Direction): number;
  certificate():
    | {
        readonly serial: string;
        readonly notAfter: Date;
        readonly parts: { readonly credentials: { readonly notBefore: Date } };
      }
    | undefined;
  controlConnected(): boolean;
  /** Undefined while nothing was ever told of revocations. */
  revocations(): RevocationFigures | undefined;
}

/** What is known of revocations. */
export interface RevocationFigures {
  readonly size: number;
  readonly number: number;
  readonly ageMs: number;
}

/** The counters that connections feed. */
export interface SidecarMetrics {
  /** A connection is over, or was refused (`reason`). */
  connection(labels: {
    direction: Direction;
    transport: Carriage;
    result: 'ok' | 'refused' | 'failed';
    reason?: Reason;
  }): void;
  bytes(direction: Direction, received: number, sent: number): void;
  /** A TLS handshake has ended. `seconds` is measured from the first byte or the connect to the verdict. */
  handshake(labels: { direction: Direction; resumed: boolean; reason?: Reason }, seconds: number): void;
  /** An authorization rule matched; `rule` is empty where no Allow rule did. */
  rule(rule: string, outcome: RuleHits['outcome']): void;
  /** The condition of a rule failed. */
  conditionFailed(rule: string): void;
  passthrough(why: PlainReason | 'own_pod'): void;
  /** A tunnel has ended. */
  tunnelEnded(direction: Direction, cause: TunnelCause): void;
  credentialsRejected(): void;
  /** An inbound connection had to wait, or was refused, because its address floods. */
  heldBack(): void;
  /** A line of the access log was left out. */
  logLeftOut(why: 'repeated' | 'sampled'): void;
}

/** Declares the families. */
export function sidecarMetrics(metrics: Metrics, observed: Observed): SidecarMetrics {
  observe(metrics, observed);
  const connections = metrics.counter({
    name: 'tabard_connections_total',
    help: 'Connections that ended or were refused, by direction, transport, result and reason (empty when orderly).',
    labels: ['direction', 'transport', 'result', 'reason'],
  });
  const bytes = metrics.counter({
    name: 'tabard_connection_bytes_total',
    help: 'Application bytes, received from and sent to the side that opened the connection.',
    labels: ['direction', 'way'],
  });
  const handshakes = metrics.counter({
    name: 'tabard_handshakes_total',
    help: 'TLS handshakes by direction, result and reason.',
    labels: ['direction', 'result', 'reason'],
  });
  const handshakeSeconds = metrics.histogram({
    name: 'tabard_handshake_seconds',
    help: 'Time of successful TLS handshakes.',
    labels: ['direction', 'resumed'],
  });
  const rules = metrics.counter({
    name: 'tabard_authorization_decisions_total',
    help: 'Connections and requests by the authorization rule that decided (empty: no Allow rule matched) and what came of it.',
    labels: ['rule', 'outcome'],
  });
  const failures = metrics.counter({
    name: 'tabard_authorization_condition_failures_total',
    help: 'Conditions of rules that failed: an Allow rule then did not match, a Deny rule did.',
    labels: ['rule'],
  });
  const passthrough = metrics.counter({
    name: 'tabard_passthrough_total',
    help: 'Outbound connections that were not encrypted by this proxy, by why.',
    labels: ['why'],
  });
  const tunnels = metrics.counter({
    name: 'tabard_tunnels_ended_total',
    help: 'Tunnels that ended, by direction and cause.',
    labels: ['direction', 'cause'],
  });
  const rejected = metrics.counter({
    name: 'tabard_credentials_rejected_total',
    help: 'Certificates, bundles or TLS settings that could not be used; the last good ones stayed.',
  });
  const heldBack = metrics.counter({
    name: 'tabard_connections_held_back_total',
    help: 'Inbound connections that had to wait, or were refused, because connections of their address were ended for floods.',
  });
  const leftOut = metrics.counter({
    name: 'tabard_log_lines_left_out_total',
    help: 'Lines of the access log that were left out: repeated within ten seconds, or not drawn when sampling.',
    labels: ['why'],
  });
  const orderly = { inbound: new Map<Carriage, () => void>(), outbound: new Map<Carriage, () => void>() };
  const ways = (direction: Direction) => ({
    received: bytes.of({ direction, way: 'received' }),
    sent: bytes.of({ direction, way: 'sent' }),
  });
  const carried = { inbound: ways('inbound'), outbound: ways('outbound') };
  return {
    connection: ({ direction, transport, result, reason = '' }) => {
      if (result !== 'ok') return connections.inc({ direction, transport, result, reason });
      const count = orderly[direction].get(transport) ?? connections.of({ direction, transport, result, reason });
      orderly[direction].set(transport, count);
      return count();
    },
    bytes: (direction, received, sent) => {
      carried[direction].received(received);
      carried[direction].sent(sent);
    },
    handshake: ({ direction, resumed, reason }, seconds) => {
      handshakes.inc({ direction, result: reason === undefined ? 'ok' : 'failed', reason: reason ?? '' });
      if (reason === undefined) handshakeSeconds.observe(seconds, { direction, resumed: String(resumed) });
    },
    rule: (rule, outcome) => rules.inc({ rule, outcome }),
    conditionFailed: (rule) => failures.inc({ rule }),
    passthrough: (why) => passthrough.inc({ why }),
    tunnelEnded: (direction, cause) => tunnels.inc({ direction, cause }),
    credentialsRejected: () => rejected.inc(),
    heldBack: () => heldBack.inc(),
    logLeftOut: (why) => leftOut.inc({ why }),
  };
}

function observe(metrics: Metrics, observed: Observed): void {
  metrics.observedGauge(
    { name: 'tabard_connections_active', help: 'Live connections.', labels: ['direction'] },
    (set) => {
      for (const direction of ['inbound', 'outbound'] as const) set(observed.active(direction), { direction });
    },
  );
  metrics.observedGauge(
    { name: 'tabard_tunnels_active', help: 'Tunnels that stand.', labels: ['direction'] },
    (set) => {
      for (const direction of ['inbound', 'outbound'] as const) set(observed.tunnels(direction), { direction });
    },
  );
  metrics.observedGauge(
    { name: 'tabard_certificate_not_after_timestamp_seconds', help: "Expiry of this proxy's own certificate." },
    (set) => {
      const certificate = observed.certificate();
      if (certificate !== undefined) set(certificate.notAfter.getTime() / 1000);
    },
  );
  metrics.observedGauge(
    { name: 'tabard_certificate_not_before_timestamp_seconds', help: "Begin of this proxy's own certificate." },
    (set) => {
      const certificate = observed.certificate();
      if (certificate !== undefined) set(certificate.parts.credentials.notBefore.getTime() / 1000);
    },
  );
  metrics.observedGauge(
    { name: 'tabard_certificate_info', help: 'Serial of the certificate in use; always 1.', labels: ['serial'] },
    (set) => {
      const certificate = observed.certificate();
      if (certificate !== undefined) set(1, { serial: certificate.serial });
    },
  );
  observeRevocations(metrics, observed);
  metrics.observedGauge({ name: 'tabard_control_connected', help: '1 while the control API is connected.' }, (set) =>
    set(observed.controlConnected() ? 1 : 0),
  );
}

function observeRevocations(metrics: Metrics, observed: Observed): void {
  const gauge = (name: string, help: string, of: (figures: RevocationFigures) => number): void =>
    metrics.observedGauge({ name, help }, (set) => {
      const figures = observed.revocations();
      if (figures !== undefined) set(of(figures));
    });
  gauge('tabard_revocations_enforced', 'Revoked identities and serials that this proxy enforces.', ({ size }) => size);
  gauge('tabard_revocations_number', 'Number of the revocations in force; a higher one is newer.', (of) => of.number);
  gauge(
    'tabard_revocations_age_seconds',
    'For how long revocations may have changed without the knowledge of this proxy; 0 while it is connected.',
    ({ ageMs }) => ageMs / 1_000,
  );
}

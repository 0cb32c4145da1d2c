// Inbound connections: TLS is terminated with the newest certificate and the peer judged; plaintext is refused or passed as the
// port's mode says; then bytes go to the application at the pod's own address and port.
import type { EffectivePolicy } from '../lib/api/control.ts';
import type { Reason } from '../lib/api/reasons.ts';
import type { Clock } from '../lib/clock.ts';
import type { ChallengeAnswers } from './acme/answer.ts';
import type { Authorizer } from './authorize.ts';
import type { Conveyor, Passage } from './convey.ts';
import type { EdgeFront } from './edge/front.ts';
import type { Captured } from './listener.ts';
import { refusePlaintext } from './plaintext.ts';
import type { Half, OpenHalf } from './relay/half.ts';
import { type InboundRule, inboundRule } from './rule.ts';
import { type Accepted, TlsAcceptor } from './tls/accept.ts';
import { type Hello, readClientHello } from './tls/clienthello.ts';
import { type Generation, preferredProtocol } from './tls/generation.ts';
import { peek, peekUntil } from './tls/peek.ts';
import { tlsFailure } from './tls/reason.ts';
import { openPlain, reset } from './transport/plain.ts';

/** What inbound needs from the rest. */
export interface InboundDeps {
  readonly clock: Clock;
  readonly conveyor: Conveyor;
  /** The policy in force; undefined until it is known. */
  policy(): EffectivePolicy | undefined;
  generation(): Generation | undefined;
  /** Answers to ACME CAs. */
  readonly challenges: ChallengeAnswers;
  /** The edge certificate. */
  readonly edge: EdgeFront;
  readonly openHalf: OpenHalf;
  /** Authorization rules. */
  readonly authorizer: Pick<Authorizer, 'admit'>;
  /** A client was seen without TLS. */
  onPlaintext(seen: { readonly address: string; readonly port: number; readonly refused: boolean }): void;
}

/** The application is in this pod: it answers at once or not at all. */
const APPLICATION_CONNECT_MS = 5_000;

type Inspect = Extract<InboundRule, { kind: 'inspect' }>;

/** Handles connections captured on their way into the pod. */
export class Inbound {
  readonly #deps: InboundDeps;
  readonly #acceptor: TlsAcceptor;

  constructor(deps: InboundDeps) {
    this.#deps = deps;
    this.#acceptor = new TlsAcceptor(deps.clock);
  }

  /** Takes a connection from its first byte to its end. */
  async handle(captured: Captured): Promise<void> {
    const policy = this.#deps.policy();
    if (policy === undefined) return this.#refuse(captured, 'control_unavailable', 'the policy is not known yet');
    const rule = inboundRule(policy, captured.destination.port);
    if (rule.kind === 'untouched') {
      return this.#deliver(captured, { half: this.#deps.openHalf(captured.socket), transport: 'untouched' });
    }
    const startedAt = performance.now();
    const { outcome, bytes } = await peek(captured.socket, rule.firstByteMs);
    const leftMs = policy.connections.handshakeTimeoutMs - (performance.now() - startedAt);
    switch (outcome) {
      case 'closed':
        reset(captured.socket);
        return undefined;
      case 'silent':
        if (rule.silence === 'plaintext') return this.#plaintext(captured, rule, bytes);
        return this.#refuse(captured, 'handshake_timeout', 'nothing was sent');
      case 'plaintext':
        if (await this.#deps.challenges.plaintext(captured.socket, leftMs)) return undefined;
        return this.#plaintext(captured, rule, bytes);
      case 'tls':
        return this.#tls(captured, rule, leftMs);
    }
  }

  async #tls(captured: Captured, rule: Inspect, allowedMs: number): Promise<void> {
    const begunAt = performance.now();
    const hello = await this.#hello(captured, allowedMs);
    const deadlineMs = allowedMs - (performance.now() - begunAt);
    if (this.#deps.challenges.tls(captured.socket, hello, deadlineMs)) return undefined;
    const generation = this.#deps.generation();
    const now = this.#deps.clock.now();
    if (generation === undefined || generation.expired(now)) {
      return this.#refuse(
        captured,
        'own_certificate_expired',
        generation?.notAfter.toISOString() ?? 'no certificate yet',
      );
    }
    const own = generation.revoked();
    if (own !== undefined) return this.#refuse(captured, own.reason, own.detail);
    const startedAt = performance.now();
    const { protocol, clientCertificate } = rule;
    const preferred = preferredProtocol(protocol);
    const front = this.#deps.edge.choose(hello, generation, { clientCertificate, preferred });
    const accepted = await this.#acceptor.accept(captured.socket, {
      generation,
      protocol,
      clientCertificate,
      deadlineMs,
      front,
    });
    this.#count(accepted, (performance.now() - startedAt) / 1000);
    if (!accepted.ok) return this.#refuse(captured, accepted.reason, accepted.detail, accepted.told);
    const { socket, facts, peer } = accepted;
    return this.#deliver(captured, {
      half: this.#deps.openHalf(socket, {
        under: captured.socket,
        explain: (error) => tlsFailure(error).reason,
      }),
      transport: peer === undefined ? 'anonymous' : 'mutual',
      tls: facts,
      ...(peer === undefined ? {} : { peer }),
      ownNotAfter: (front ?? generation).notAfter,
    });
  }

  /** What the client asks for; read only where something hangs on it, and waited for only as long as a handshake may take. */
  async #hello({ socket }: Captured, deadlineMs: number): Promise<Hello> {
    const { challenges, edge } = this.#deps;
    if (!challenges.expectsTls() && !edge.hasCertificate()) return { kind: 'incomplete' };
    const { verdict } = await peekUntil(socket, deadlineMs, (held) => {
      const hello = readClientHello(held);
      return hello.kind === 'incomplete' ? undefined : hello;
    });
    return typeof verdict === 'string' ? { kind: 'incomplete' } : verdict;
  }

  async #plaintext(captured: Captured, rule: Inspect, bytes: Buffer): Promise<void> {
    const refused = rule.plaintext === 'refused';
    this.#deps.onPlaintext({ address: captured.source.address, port: captured.destination.port, refused });
    if (!refused)
      return this.#deliver(captured, { half: this.#deps.openHalf(captured.socket), transport: 'plaintext' });
    this.#deps.conveyor.refused({ direction: 'inbound', ...placesOf(captured), reason: 'plaintext' });
    refusePlaintext(captured.socket, bytes);
    return undefined;
  }

  async #deliver(
    captured: Captured,
    near: Pick<Passage, 'transport' | 'tls' | 'peer' | 'ownNotAfter'> & { half: Half },
  ): Promise<void> {
    captured.admitted();
    const { half, ...facts } = near;
    const { conveyor, openHalf, authorizer } = this.#deps;
    const [{ address }, { port }] = [captured.source, captured.destination];
    const refused = authorizer.admit({ identity: facts.peer?.identity, address, port });
    if (refused !== undefined) return this.#refuse(captured, refused.reason, refused.detail);
    const application = await openPlain(captured.destination, APPLICATION_CONNECT_MS, openHalf);
    if (!application.ok) {
      return this.#refuse(captured, 'upstream_unreachable', `the application does not accept: ${application.detail}`);
    }
    await conveyor.convey(half, application.leg.half, {
      direction: 'inbound',
      ...placesOf(captured),
      ...facts,
      port: captured.destination.port,
    });
  }

  #refuse(captured: Captured, reason: Reason, detail: string, told: boolean = false): void {
    this.#deps.conveyor.refused({ direction: 'inbound', ...placesOf(captured), reason, detail, told });
    reset(captured.socket);
  }

  #count(accepted: Accepted, seconds: number): void {
    const labels = accepted.ok ? { resumed: accepted.facts.resumed } : { resumed: false, reason: accepted.reason };
    this.#deps.conveyor.metrics.handshake({ direction: 'inbound', ...labels }, seconds);
  }
}

function placesOf({ source, destination }: Captured) {
  return { source, destination };
}

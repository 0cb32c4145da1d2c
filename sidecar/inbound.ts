// Inbound connections: TLS is terminated with the newest certificate and the peer judged; plaintext is refused or passed as the
// port's mode says; then bytes go to the application at the pod's own address and port.
import { ALPN_DIRECT, ALPN_TUNNEL } from '../lib/api/contract.ts';
import type { EffectivePolicy } from '../lib/api/control.ts';
import type { Reason } from '../lib/api/reasons.ts';
import type { Clock } from '../lib/clock.ts';
import type { ChallengeAnswers } from './acme/answer.ts';
import type { Conveyor } from './convey.ts';
import type { Arrival, Delivery } from './deliver.ts';
import type { EdgeFront } from './edge/front.ts';
import type { NearSocket } from './incoming.ts';
import type { Captured as CapturedAs, Places } from './listener.ts';
import type { Offenders } from './offenders.ts';
import { refusePlaintext } from './plaintext.ts';
import type { OpenHalf } from './relay/half.ts';
import { type InboundRule, inboundRule } from './rule.ts';
import { TlsAcceptor } from './tls/accept.ts';
import { type Hello, readClientHello } from './tls/clienthello.ts';
import { type Generation, preferredProtocol } from './tls/generation.ts';
import { peek, peekUntil } from './tls/peek.ts';
import { tlsFailure } from './tls/reason.ts';
import { HandshakeTurns } from './tls/turns.ts';
import { reset } from './transport/plain.ts';
import { tunnelId } from './tunnel/made.ts';
import type { Tunnels } from './tunnels.ts';

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
  readonly delivery: Delivery;
  readonly tunnels: Pick<Tunnels, 'take'>;
  /** Whose connections are held back. */
  readonly offenders: Pick<Offenders, 'entrance'>;
  /** A client was seen without TLS. */
  onPlaintext(seen: { readonly address: string; readonly port: number; readonly refused: boolean }): void;
}

type Captured = CapturedAs<NearSocket>;
type Inspect = Extract<InboundRule, { kind: 'inspect' }>;

/** Handles connections captured on their way into the pod. */
export class Inbound {
  readonly #deps: InboundDeps;
  readonly #turns = new HandshakeTurns();
  readonly #acceptor: TlsAcceptor;

  constructor(deps: InboundDeps) {
    this.#deps = deps;
    this.#acceptor = new TlsAcceptor(deps.clock, this.#turns);
  }

  /** Takes a connection from its first byte to its end. */
  async handle(captured: Captured): Promise<void> {
    if (!(await this.#letIn(captured))) {
      return this.#refuse(captured, 'overload', 'connections of this address were ended for floods');
    }
    const policy = this.#deps.policy();
    if (policy === undefined) return this.#refuse(captured, 'control_unavailable', 'the policy is not known yet');
    const rule = inboundRule(policy, captured.destination.port);
    if (rule.kind === 'untouched') {
      return this.#deliver(captured, { half: this.#deps.openHalf(captured.near.socket), transport: 'untouched' });
    }
    const startedAt = performance.now();
    const { outcome, bytes } = await peek(captured.near.socket, rule.firstByteMs);
    const leftMs = left(policy.connections.handshakeTimeoutMs, startedAt);
    switch (outcome) {
      case 'closed':
        reset(captured.near.socket);
        return undefined;
      case 'silent':
        if (rule.silence === 'plaintext') return this.#plaintext(captured, rule, bytes);
        return this.#refuse(captured, 'handshake_timeout', 'nothing was sent');
      case 'plaintext':
        if (await this.#deps.challenges.plaintext(captured.near.socket, leftMs)) return undefined;
        return this.#plaintext(captured, rule, bytes);
      case 'tls':
        return this.#tls(captured, { rule, policy, allowedMs: leftMs });
    }
  }

  /** Whether it is let in, sooner or later. What is not looked into costs no handshake. */
  async #letIn({ source, destination, near: { socket } }: Captured): Promise<boolean> {
    const policy = this.#deps.policy();
    if (policy === undefined || inboundRule(policy, destination.port).kind === 'untouched') return true;
    const entrance = this.#deps.offenders.entrance(source.address, () => socket.destroyed);
    return entrance === undefined || (await entrance) === 'admitted';
  }

  async #tls(
    captured: Captured,
    {
      rule,
      policy,
      allowedMs,
    }: { readonly rule: Inspect; readonly policy: EffectivePolicy; readonly allowedMs: number },
  ): Promise<void> {
    const begunAt = performance.now();
    const hello = await this.#hello(captured, allowedMs);
    // What it waits for its turn is not its own time.
    const deadlineMs = left(allowedMs, begunAt);
    if (!(await this.#turns.begin(captured.source.address))) {
      return this.#refuse(captured, 'overload', 'too many handshakes wait for their turn');
    }
    if (captured.near.socket.destroyed) return undefined;
    if (this.#deps.challenges.tls(captured.near.socket, hello, deadlineMs)) return undefined;
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
    const accepted = await this.#acceptor.accept(captured.near.socket, {
      generation,
      protocol,
      clientCertificate,
      deadlineMs,
      tunnels: policy.connections.transport !== 'Direct',
      front,
    });
    const ms = performance.now() - startedAt;
    if (!accepted.ok) {
      this.#deps.conveyor.handshake({ direction: 'inbound', reason: accepted.reason, ms });
      return this.#refuse(captured, accepted.reason, accepted.detail, accepted.told);
    }
    const { socket, facts, peer } = accepted;
    const id = facts.alpn === ALPN_TUNNEL ? tunnelId(socket) : undefined;
    this.#deps.conveyor.handshake({
      direction: 'inbound',
      ...placesOf(captured),
      tls: facts,
      peer,
      ms,
      tunnel: id === undefined ? undefined : { id },
    });
    const half = this.#deps.openHalf(socket, {
      under: captured.near.socket,
      explain: (error) => tlsFailure(error).reason,
      peerSaysEnd: facts.alpn === ALPN_DIRECT,
    });
    if (id !== undefined) {
      // Only members of the mesh dial tunnels, and they prove themselves whatever the port asks for.
      if (peer === undefined) return this.#refuse(captured, 'no_client_certificate', 'a tunnel without a certificate');
      captured.admitted();
      const tunnel = { id, half, tls: facts, peer, generation };
      return this.#deps.tunnels.take({ ...placesOf(captured), ...tunnel });
    }
    return this.#deliver(captured, {
      half,
      transport: peer === undefined ? 'anonymous' : 'mutual',
      tls: facts,
      ...(peer === undefined ? {} : { peer }),
      ownNotAfter: (front ?? generation).notAfter,
    });
  }

  /** What the client asks for; read only where something hangs on it, and waited for only as long as a handshake may take. */
  async #hello({ near: { socket } }: Captured, deadlineMs: number): Promise<Hello> {
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
      return this.#deliver(captured, { half: this.#deps.openHalf(captured.near.socket), transport: 'plaintext' });
    this.#deps.conveyor.refused({ direction: 'inbound', ...placesOf(captured), reason: 'plaintext' });
    refusePlaintext(captured.near.socket, bytes);
    return undefined;
  }

  #deliver(captured: Captured, near: Pick<Arrival, 'half' | 'transport' | 'tls' | 'peer' | 'ownNotAfter'>): void {
    captured.admitted();
    this.#deps.delivery.deliver({
      ...placesOf(captured),
      ...near,
      accepted: () => true,
      refuse: (reason, detail) => {
        this.#deps.conveyor.refused({ direction: 'inbound', ...placesOf(captured), peer: near.peer, reason, detail });
        reset(captured.near.socket);
      },
      failed: (error) => captured.failed(error),
    });
  }

  #refuse(captured: Captured, reason: Reason, detail: string, told: boolean = false): void {
    this.#deps.conveyor.refused({ direction: 'inbound', ...placesOf(captured), reason, detail, told });
    reset(captured.near.socket);
  }
}

/** Milliseconds that are left. A timer must not be given less than one: Node writes a warning past the log. */
function left(allowedMs: number, sinceMs: number): number {
  return Math.max(1, allowedMs - (performance.now() - sinceMs));
}

function placesOf({ source, destination }: Captured): Places {
  return { source, destination };
}

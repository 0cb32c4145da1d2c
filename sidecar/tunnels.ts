// The tunnels of this proxy: the transport that dials them, the acceptor that takes them, and what ends them. Puts the parts together.
import { ALPN_TUNNEL } from '../lib/api/contract.ts';
import type { EffectivePolicy } from '../lib/api/control.ts';
import type { Reason } from '../lib/api/reasons.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/runtime/logger.ts';
import type { Handshake } from './accesslog.ts';
import type { Conveyor } from './convey.ts';
import type { Delivery } from './deliver.ts';
import type { OpenHalf } from './relay/half.ts';
import type { Direction, LiveConnections, LiveFacts } from './relay/live.ts';
import { inboundRule } from './rule.ts';
import type { Generation } from './tls/generation.ts';
import { type Handshaken, MeshDialer } from './transport/dial.ts';
import type { Transport } from './transport/transport.ts';
import { TunnelTransport } from './transport/tunnel.ts';
import { type AcceptedStream, type AcceptedTunnel, type Refused, TunnelAcceptor } from './tunnel/acceptor.ts';
import { tunnelId } from './tunnel/made.ts';
import { TunnelRegistry } from './tunnel/registry.ts';
import { CLOSE_WITHIN_MS } from './tunnel/session.ts';

/** What tunnels need from the rest. */
export interface TunnelsDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly conveyor: Conveyor;
  readonly delivery: Delivery;
  readonly live: LiveConnections;
  readonly openHalf: OpenHalf;
  generation(): Generation | undefined;
  policy(): EffectivePolicy | undefined;
  limits(): EffectivePolicy['connections'];
  readonly isSamePort: (named: number, captured: number) => boolean;
}

/** The last bytes of a tunnel (a GOAWAY, the ends of streams) may take so long to leave. */
const CLOSE_MS = CLOSE_WITHIN_MS + 200;

/** Everything about tunnels. */
export class Tunnels {
  readonly transport: Transport;
  readonly #deps: TunnelsDeps;
  readonly #registry: TunnelRegistry;
  readonly #acceptor: TunnelAcceptor;
  readonly #dialled: TunnelTransport;

  constructor(deps: TunnelsDeps) {
    this.#deps = deps;
    const { clock, logger, openHalf, conveyor } = deps;
    const registry = new TunnelRegistry({
      clock,
      logger,
      onEnd: (direction, end) => conveyor.metrics.tunnelEnded(direction, end.cause),
    });
    const dialer = new MeshDialer({
      clock,
      generation: () => deps.generation(),
      onHandshake: (handshake) => conveyor.handshake(outboundHandshake(handshake)),
    });
    this.#registry = registry;
    this.#dialled = new TunnelTransport({ clock, dialer, openHalf, registry, limits: () => deps.limits() });
    this.transport = this.#dialled;
    this.#acceptor = new TunnelAcceptor({
      clock,
      registry,
      isSamePort: deps.isSamePort,
      generation: () => deps.generation(),
      idleTimeoutMs: () => deps.limits().idleTimeoutMs,
      admit: (tunnel) => this.#admit(tunnel),
      carry: (accepted) => this.#carry(accepted),
      refused: (tunnel, stream, refused) => this.#refused(tunnel, stream, refused),
    });
  }

  /** How many stand in one direction. */
  count(direction: Direction): number {
    return this.#registry.count(direction);
  }

  /** Takes a tunnel that another proxy has dialled. */
  take(accepted: AcceptedTunnel): void {
    this.#acceptor.take(accepted);
  }

  /** Cuts every tunnel for which `judge` gives a reason, with all of its streams. Requests are a matter of each stream. */
  enforce(judge: (facts: LiveFacts) => Reason | undefined): void {
    this.#registry.enforce((facts) => judge({ ...facts, recheck: () => undefined }));
  }

  /** Other credentials are in use: new streams go through tunnels that were made with them. */
  renewed(): void {
    this.#acceptor.refresh();
    this.#dialled.refresh();
  }

  /** Another policy is in use. */
  policyChanged(): void {
    if (this.#deps.limits().transport !== 'Direct') return;
    this.#acceptor.refresh();
    this.#dialled.refresh();
  }

  /** This proxy stops: others are asked to open their streams elsewhere. */
  drain(): void {
    this.#acceptor.refresh();
  }

  /** Ends all that are left, in order. */
  close(): Promise<void> {
    return this.#registry.close(CLOSE_MS);
  }

  /** Looks after all tunnels until the signal is aborted. */
  run(signal: AbortSignal): Promise<void> {
    return this.#registry.run(signal);
  }

  #admit({ destination: { port } }: AcceptedTunnel): Refused | undefined {
    const policy = this.#deps.policy();
    if (policy === undefined) return { reason: 'control_unavailable', detail: 'the policy is not known yet' };
    if (inboundRule(policy, port).kind === 'untouched') {
      return { reason: 'denied', detail: `port ${port} takes no mutual TLS any more` };
    }
    const { maxConcurrent } = this.#deps.limits();
    const open = this.#deps.live.count('inbound');
    return open < maxConcurrent ? undefined : { reason: 'overload', detail: `${open} connections are open` };
  }

  #carry({ tunnel, stream, opening, accept, refuse }: AcceptedStream): void {
    const { delivery, logger } = this.#deps;
    const { source, destination, tls, peer, generation, id } = tunnel;
    const application = opening.source;
    const place = { id, stream: stream.id };
    delivery.deliver({
      half: stream,
      source,
      destination,
      transport: 'mutual',
      tls,
      peer,
      ownNotAfter: generation.notAfter,
      tunnel: application === undefined ? place : { id, stream: stream.id, application },
      accepted: accept,
      refuse: (reason, detail) => {
        this.#refused(tunnel, stream.id, { reason, detail });
        refuse(reason);
      },
      failed: (err) => {
        logger.error({ err, direction: 'inbound' }, 'a connection failed by a fault of this proxy');
        stream.reset();
      },
    });
  }

  #refused({ source, destination, peer, id }: AcceptedTunnel, stream: number, refused: Refused): void {
    this.#deps.conveyor.refused({
      direction: 'inbound',
      source,
      destination,
      peer,
      ...refused,
      tunnel: { id, stream },
    });
  }
}

/** As the log and the metrics want it. */
function outboundHandshake({ target, made, refusal, ms }: Handshaken): Handshake {
  const { address, port } = target;
  const base = { direction: 'outbound', endpoint: { address, port }, ms } as const;
  if (made === undefined) return { ...base, ...refusal };
  const { tls, peer, socket } = made;
  return { ...base, tls, peer, ...(tls.alpn === ALPN_TUNNEL ? { tunnel: { id: tunnelId(socket) } } : {}) };
}

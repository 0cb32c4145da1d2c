// The tunnels to one endpoint: usually one, a second one under much bulk. A tunnel that has served its time is replaced before it is
// retired, opens that come together share one handshake, and an endpoint that knows no tunnels is remembered for a while.
import type { Reason } from '../../lib/api/reasons.ts';
import type { PeerHeld } from '../tunnel/held.ts';
import type { ClientTunnel } from './clienttunnel.ts';
import type { MeshConnection, MeshDialled } from './dial.ts';
import type { Opened, OpenLimits, Target } from './transport.ts';

/** What is known of an endpoint's tunnels when a stream is wanted. */
export type Place =
  | { readonly kind: 'tunnel'; readonly tunnel: ClientTunnel }
  /** The endpoint knows no tunnels; the connection that showed it is there for whoever asked first. */
  | { readonly kind: 'direct'; readonly connection: MeshConnection | undefined }
  | { readonly kind: 'failed'; readonly failure: Extract<Opened, { ok: false }> };

/** What the tunnels of an endpoint need. */
export interface PeerTunnelsDeps {
  /** Dials and does the handshake, offering tunnels. */
  dial(target: Target, limits: OpenLimits): Promise<MeshDialled>;
  /** Makes a tunnel of a connection that agreed to be one; undefined when it did not. */
  adopt(target: Target, connection: MeshConnection): ClientTunnel | undefined;
  /** Whether a tunnel was made with what connections are made with now. */
  isCurrent(tunnel: ClientTunnel): boolean;
  /** Why a tunnel may not be used any more at all. */
  breach(tunnel: ClientTunnel): Reason | undefined;
  nowMs(): number;
}

/** How long an endpoint that knows no tunnels is not asked again. */
const DIRECT_FOR_MS = 300_000;
/** Most tunnels to one endpoint that take new streams. */
const MAX_TUNNELS = 2;

/** One endpoint: address, port and identity. */
export class PeerTunnels {
  readonly #deps: PeerTunnelsDeps;
  readonly #target: Target;
  /** What waits in all of them, also in those that were retired. */
  readonly held: PeerHeld = { bytes: 0 };
  #tunnels: ClientTunnel[] = [];
  #dialling: Promise<Place> | undefined;
  #directUntilMs = 0;

  constructor(deps: PeerTunnelsDeps, target: Target) {
    this.#deps = deps;
    this.#target = target;
  }

  /** Nothing is here that is worth keeping. */
  get isEmpty(): boolean {
    return this.#tunnels.length === 0 && this.#dialling === undefined && this.#directUntilMs <= this.#deps.nowMs();
  }

  /** A tunnel that takes a stream now, without waiting. */
  ready(): ClientTunnel | undefined {
    let best: ClientTunnel | undefined;
    for (const tunnel of this.#tunnels) {
      if (!tunnel.session.isUsable || !this.#deps.isCurrent(tunnel)) continue;
      if (best === undefined || tunnel.heat < best.heat) best = tunnel;
    }
    return best;
  }

  /** Where a stream is to go; makes a tunnel where there is none that will do. */
  async find(limits: OpenLimits): Promise<Place> {
    const nothing: Place = { kind: 'direct', connection: undefined };
    if (this.#directUntilMs > this.#deps.nowMs()) return nothing;
    const full = this.#tunnels.filter(({ session }) => session.isFull && !session.isRetired);
    if (full.length >= MAX_TUNNELS) return nothing;
    const isFirst = this.#dialling === undefined;
    const place = await this.#dial(limits);
    if (place.kind === 'direct' && !isFirst) return nothing;
    // Make before break: while a new one cannot be made, one that was made before will do, as long as it may.
    const old = place.kind === 'failed' ? this.#usable() : undefined;
    return old === undefined ? place : { kind: 'tunnel', tunnel: old };
  }

  /** Makes another tunnel in the background, which takes new streams as soon as it stands. */
  refresh(limits: OpenLimits): void {
    if (this.#dialling !== undefined) return;
    void this.#dial(limits).then((place) => {
      if (place.kind === 'direct') place.connection?.raw.destroy();
    });
  }

  /** Under bulk that goes on: a second tunnel, unless there is one. */
  widen(limits: OpenLimits): void {
    if (this.#tunnels.length < MAX_TUNNELS) this.refresh(limits);
  }

  /** Sets the time of replacement to an earlier one. */
  hasten(dueMs: (tunnel: ClientTunnel) => number): void {
    for (const tunnel of this.#tunnels) tunnel.dueMs = Math.min(tunnel.dueMs, dueMs(tunnel));
  }

  /** A tunnel is over or takes no more streams. */
  drop(tunnel: ClientTunnel): void {
    this.#tunnels = this.#tunnels.filter((each) => each !== tunnel);
  }

  #usable(): ClientTunnel | undefined {
    return this.#tunnels.find((tunnel) => tunnel.session.isUsable && this.#deps.breach(tunnel) === undefined);
  }

  #dial(limits: OpenLimits): Promise<Place> {
    if (this.#dialling !== undefined) return this.#dialling;
    const dialling = this.#make(limits).finally(() => {
      this.#dialling = undefined;
    });
    this.#dialling = dialling;
    return dialling;
  }

  async #make(limits: OpenLimits): Promise<Place> {
    const dialled = await this.#deps.dial(this.#target, limits);
    if (!dialled.ok) return { kind: 'failed', failure: dialled };
    const { connection } = dialled;
    const tunnel = this.#deps.adopt(this.#target, connection);
    if (tunnel === undefined) {
      this.#directUntilMs = this.#deps.nowMs() + DIRECT_FOR_MS;
      return { kind: 'direct', connection };
    }
    this.#tunnels.push(tunnel);
    this.#retireOld(tunnel);
    return { kind: 'tunnel', tunnel };
  }

  /** The new one stands: those that it was made to replace take no more streams. */
  #retireOld(fresh: ClientTunnel): void {
    for (const tunnel of this.#tunnels) {
      const isReplaced = tunnel !== fresh && (tunnel.isDue || !this.#deps.isCurrent(tunnel));
      if (!isReplaced) continue;
      this.drop(tunnel);
      tunnel.session.retire();
    }
  }
}

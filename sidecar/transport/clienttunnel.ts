// A tunnel that this proxy has dialled: a session with what its handshake proved, and how warm it runs.
import { randomInt } from 'node:crypto';
import type { TlsFacts } from '../tls/facts.ts';
import type { Generation } from '../tls/generation.ts';
import type { PeerFacts } from '../tls/peer.ts';
import type { LiveTunnel } from '../tunnel/registry.ts';

/** A dialled tunnel. */
export interface ClientTunnel extends LiveTunnel {
  readonly tls: TlsFacts;
  readonly peer: PeerFacts;
  readonly generation: Generation;
  /** When it is to be replaced. */
  dueMs: number;
  /** Bytes of late, halved with each look: of two tunnels the cooler one takes the next stream. */
  heat: number;
  /** Looks in a row at which it carried much. */
  bulkLooks: number;
  /** Bytes at the last look. */
  seenBytes: number;
  isDue: boolean;
}

/** Bytes between two looks from which on a tunnel carries bulk: 64 MB a second. */
const BULK_BYTES = 33_554_432;
/** Looks in a row after which bulk is taken to go on. */
export const SUSTAINED_LOOKS = 4;

/**
 * When a tunnel is replaced: half of what is left of the shorter certificate, the policy's maximum age at the latest, up to a tenth sooner
 * so that tunnels that were made together are not replaced together.
 */
export function dueAt(nowMs: number, endMs: number, maxAgeMs: number): number {
  const ageMs = Math.min(maxAgeMs, (endMs - nowMs) / 2);
  return nowMs + ageMs * (1 - randomInt(1_000) / 10_000);
}

/** Takes the temperature. */
export function measure(tunnel: ClientTunnel): void {
  const bytes = tunnel.session.traffic;
  const moved = bytes - tunnel.seenBytes;
  tunnel.seenBytes = bytes;
  tunnel.heat = tunnel.heat / 2 + moved;
  tunnel.bulkLooks = moved >= BULK_BYTES ? tunnel.bulkLooks + 1 : 0;
}

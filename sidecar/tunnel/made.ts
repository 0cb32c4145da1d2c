// From a TLS connection whose peer has proved itself to a tunnel: its name and the facts by which it is judged later.
import type { TLSSocket } from 'node:tls';
import type { Reason } from '../../lib/api/reasons.ts';
import type { Direction, LiveFacts } from '../relay/live.ts';
import type { TlsFacts } from '../tls/facts.ts';
import type { PeerFacts } from '../tls/peer.ts';

const ID_BYTES = 8;
/** RFC 8446 section 7.5: both sides derive the same bytes, and nobody else can. */
const EXPORTER_LABEL = 'EXPERIMENTAL tabard tunnel id';

/** The name of a tunnel in the logs of both sides. */
export function tunnelId(socket: TLSSocket): string {
  return socket.exportKeyingMaterial(ID_BYTES, EXPORTER_LABEL, Buffer.alloc(0)).toString('hex');
}

/** What a tunnel stands on. */
export interface Foundation {
  readonly direction: Direction;
  /** Where the peer is, as the connection shows. */
  readonly address: string;
  /** The application's port (inbound) or the endpoint's (outbound). */
  readonly port: number;
  readonly tls: TlsFacts;
  readonly peer: PeerFacts;
  readonly ownNotAfter: Date;
}

/** How rules see it, and when it has to end at the latest. */
export function judgedBy({ direction, address, port, tls, peer, ownNotAfter }: Foundation): {
  readonly facts: LiveFacts;
  readonly endMs: number;
  readonly endReason: Reason;
} {
  const [ownMs, peerMs] = [ownNotAfter.getTime(), peer.notAfter.getTime()];
  const { fingerprint: peerFingerprint } = peer;
  return {
    facts: { direction, address, port, transport: 'mutual', peerFingerprint, peer, ownSerial: tls.serial },
    endMs: Math.min(ownMs, peerMs),
    endReason: ownMs <= peerMs ? 'own_certificate_expired' : 'expired',
  };
}

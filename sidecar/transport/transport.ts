// How a connection to another pod's proxy is made. `direct` is one mTLS connection per application connection; a transport with
// streams in long-lived connections has the same face. Capture, discovery, authorization and relay know this file only.
import type { Reason } from '../../lib/api/reasons.ts';
import type { Half } from '../relay/half.ts';
import type { TlsFacts } from '../tls/facts.ts';
import type { PeerFacts } from '../tls/peer.ts';

/** Whom to reach: the pod's own address and port, and exactly who must answer there. */
export interface Target {
  readonly address: string;
  readonly port: number;
  /** SPIFFE URI. */
  readonly identity: string;
  /** SNI: DNS name of the destination. */
  readonly serverName: string;
}

/** The way to whoever was reached: one half of a relay. */
export interface Leg {
  readonly half: Half;
}

/** A way that leads to a proved peer. */
export interface SecureLeg extends Leg {
  readonly tls: TlsFacts;
  readonly peer: PeerFacts;
  /** When the certificate runs out with which this proxy has proved itself. */
  readonly ownNotAfter: Date;
  /** Where it is a stream of a tunnel. */
  readonly tunnel?: TunnelPlace;
}

/** Which stream of which tunnel carries a connection: the same words in the logs of both sides. */
export interface TunnelPlace {
  readonly id: string;
  readonly stream: number;
}

/** The outcome of opening. No application byte has been sent when it failed, so another endpoint may be tried. */
export type Opened<L extends Leg = SecureLeg> =
  | { readonly ok: true; readonly leg: L }
  | {
      readonly ok: false;
      readonly reason: Reason;
      readonly detail: string;
      /** `own`: no other endpoint can do better. */
      readonly fault: 'endpoint' | 'own';
    };

/** Bounds of one attempt in milliseconds, and for whom it is. */
export interface OpenLimits {
  readonly connectTimeoutMs: number;
  readonly handshakeTimeoutMs: number;
  /** Where the application's connection comes from, for the log of the other side. */
  readonly source?: { readonly address: string; readonly port: number };
}

/** A way to reach endpoints that ask for mTLS. */
export interface Transport {
  readonly name: 'direct' | 'tunnel';
  /** Opens a half to the target. Calls back once: an application's connection is worth no promise. */
  open(target: Target, limits: OpenLimits, tell: (opened: Opened) => void): void;
}

// The `direct` transport: one mTLS connection per application connection, ALPN tabard-tcp/1.
import { ALPN_DIRECT } from '../../lib/api/contract.ts';
import type { OpenHalf } from '../relay/half.ts';
import { tlsFailure } from '../tls/reason.ts';
import type { MeshConnection, MeshDialer } from './dial.ts';
import type { Opened, OpenLimits, SecureLeg, Target, Transport } from './transport.ts';

/** What the transport needs from the rest of the proxy. */
export interface DirectTransportDeps {
  readonly dialer: MeshDialer;
  readonly openHalf: OpenHalf;
}

/** Opens one mTLS connection for each application connection. */
export class DirectTransport implements Transport {
  readonly name = 'direct';
  readonly #deps: DirectTransportDeps;

  constructor(deps: DirectTransportDeps) {
    this.#deps = deps;
  }

  open(target: Target, limits: OpenLimits, tell: (opened: Opened) => void): void {
    const { dialer, openHalf } = this.#deps;
    void dialer.dial(target, limits, [ALPN_DIRECT]).then((dialled) => {
      if (!dialled.ok) return tell(dialled);
      return tell({ ok: true, leg: directLeg(dialled.connection, openHalf) });
    });
  }
}

/** A connection of its own for one application connection. */
export function directLeg(connection: MeshConnection, openHalf: OpenHalf): SecureLeg {
  const { socket, raw, tls, peer, generation } = connection;
  return {
    half: openHalf(socket, {
      under: raw,
      explain: (error) => tlsFailure(error).reason,
      peerSaysEnd: tls.alpn === ALPN_DIRECT,
    }),
    tls,
    peer,
    ownNotAfter: generation.notAfter,
  };
}

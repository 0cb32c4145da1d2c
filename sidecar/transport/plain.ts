// Plain TCP to an address: pass-through, endpoints without TLS, and the application of our own pod.
import { connect, type Socket } from 'node:net';
import { systemCode } from '../../lib/errors.ts';
import type { Leg } from '../relay/relay.ts';
import type { Opened } from './transport.ts';

/** An address to dial. */
export interface PlainTarget {
  readonly address: string;
  readonly port: number;
}

/** A half over a plain socket. */
export interface PlainLeg extends Leg {
  readonly stream: Socket;
}

/** Dials; `ok: false` with `upstream_unreachable` when there is no connection in time. Never rejects. */
export function openPlain({ address, port }: PlainTarget, timeoutMs: number): Promise<Opened<PlainLeg>> {
  const startedAt = performance.now();
  const { promise, resolve } = Promise.withResolvers<Opened<PlainLeg>>();
  const socket = connect({
    host: address,
    port,
    noDelay: true,
    keepAlive: true,
    allowHalfOpen: true,
    autoSelectFamily: false,
  });
  const fail = (detail: string): void => {
    clearTimeout(timer);
    socket.destroy();
    const ms = performance.now() - startedAt;
    resolve({ ok: false, reason: 'upstream_unreachable', detail, fault: 'endpoint', stage: 'connect', ms });
  };
  const timer = setTimeout(() => fail('connect timeout'), timeoutMs);
  // Stays for the life of the socket: a lost connection must find a listener at any time.
  socket.on('error', (error) => fail(systemCode(error) ?? 'connect failed'));
  socket.once('connect', () => {
    clearTimeout(timer);
    resolve({ ok: true, leg: plainLeg(socket), ms: performance.now() - startedAt });
  });
  return promise;
}

/** A half over an accepted or dialled plain socket. */
export function plainLeg(socket: Socket): PlainLeg {
  return { stream: socket, reset: () => reset(socket) };
}

/** Ends a TCP socket with a reset, whatever state it is in. */
export function reset(socket: Socket): void {
  if (!socket.destroyed) socket.resetAndDestroy();
}

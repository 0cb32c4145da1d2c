// Plain TCP to an address: pass-through, endpoints without TLS, and the application of our own pod.
import { connect, isIP, type Socket } from 'node:net';
import { systemCode } from '../../lib/errors.ts';
import type { OpenHalf } from '../relay/half.ts';
import type { Leg, Opened } from './transport.ts';

/**
 * Options of a socket whose peer may vanish: after 15 seconds of silence its kernel is asked ten times, a second apart (libuv), where the
 * system's own default is two hours. A peer whose process alone stands still has a kernel that answers.
 */
export const watched = { keepAlive: true, keepAliveInitialDelay: 15_000 } as const;

/** An address to dial. */
export interface PlainTarget {
  readonly address: string;
  readonly port: number;
}

/** A connected socket that nobody reads yet, or why there is none. */
export type Dialled = { readonly ok: true; readonly socket: Socket } | Extract<Opened<Leg>, { ok: false }>;

/** Dials; `ok: false` with `upstream_unreachable` when there is no connection in time. Never rejects. */
export function dialPlain({ address, port }: PlainTarget, timeoutMs: number): Promise<Dialled> {
  const { promise, resolve } = Promise.withResolvers<Dialled>();
  const socket = connect({
    host: address,
    port,
    noDelay: true,
    ...watched,
    allowHalfOpen: true,
    autoSelectFamily: false,
  });
  const fail = (detail: string): void => {
    clearTimeout(timer);
    socket.destroy();
    resolve({ ok: false, reason: 'upstream_unreachable', detail, fault: 'endpoint' });
  };
  const timer = setTimeout(() => fail('connect timeout'), timeoutMs);
  // Stays for the life of the socket: a lost connection must find a listener at any time.
  socket.on('error', (error) => fail(systemCode(error) ?? 'connect failed'));
  socket.once('connect', () => {
    clearTimeout(timer);
    resolve({ ok: true, socket });
  });
  return promise;
}

/**
 * Dials and makes a half of the connection, without a socket of Node's where the relay can do so. Calls back once; a promise for each would
 * be felt.
 */
export function openPlain(
  target: PlainTarget,
  timeoutMs: number,
  openHalf: OpenHalf,
  tell: (opened: Opened<Leg>) => void,
): void {
  const { bare } = openHalf;
  if (bare === undefined || isIP(target.address) === 0) {
    void dialPlain(target, timeoutMs).then((dialled) =>
      tell(dialled.ok ? { ok: true, leg: { half: openHalf(dialled.socket) } } : dialled),
    );
    return;
  }
  bare.dial(target, timeoutMs, (dialled) => {
    if (dialled.ok) tell({ ok: true, leg: dialled });
    else tell({ ok: false, reason: 'upstream_unreachable', detail: dialled.detail, fault: 'endpoint' });
  });
}

/** Ends a TCP socket with a reset, whatever state it is in. */
export function reset(socket: Socket): void {
  if (!socket.destroyed) socket.resetAndDestroy();
}

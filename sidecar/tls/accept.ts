// The server side of a handshake on an accepted connection whose first bytes are a ClientHello. The connection is handed to a
// tls.Server that never listens (the documented way to inject one); what comes back is matched by the addresses and ports of both ends.
import type { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Server, TLSSocket } from 'node:tls';
import type { Reason } from '../../lib/api/reasons.ts';
import type { Protocol } from '../../lib/api/tlspolicy.ts';
import type { Clock } from '../../lib/clock.ts';
import { sentWith } from '../../lib/pki/verify.ts';
import { ByKey } from '../bykey.ts';
import { type TlsFacts, tlsFacts } from './facts.ts';
import type { Generation } from './generation.ts';
import type { HandshakeChain, PeerFacts } from './peer.ts';
import { tlsFailure } from './reason.ts';
import type { HandshakeTurns } from './turns.ts';

/** A finished handshake. `peer` is undefined when the client showed no certificate and did not have to. */
export type Accepted =
  | { readonly ok: true; readonly socket: TLSSocket; readonly facts: TlsFacts; readonly peer: PeerFacts | undefined }
  | {
      readonly ok: false;
      readonly reason: Reason;
      readonly detail: string;
      /** True when the client refused us, by an alert. */
      readonly told: boolean;
    };

/** How a handshake is to be done. */
export interface AcceptOptions {
  readonly generation: Generation;
  readonly protocol: Protocol;
  readonly clientCertificate: 'required' | 'optional';
  readonly deadlineMs: number;
  /** Whether to agree to a tunnel where one is offered. */
  readonly tunnels: boolean;
  /** Another server than the generation's own, with the serial of the certificate that it shows. */
  readonly front?: { readonly server: Server; readonly serial: string } | undefined;
}

const gone: Accepted = { ok: false, reason: 'reset', detail: 'connection closed', told: false };

type Outcome = { readonly socket: TLSSocket } | { readonly error: Error | undefined };

/** Runs server handshakes. */
export class TlsAcceptor {
  readonly #clock: Clock;
  readonly #pending = new ByKey<string, (outcome: Outcome) => void>();
  readonly #known = new WeakSet<Server>();
  readonly #turns: Pick<HandshakeTurns, 'finish'>;

  constructor(clock: Clock, turns: Pick<HandshakeTurns, 'finish'>) {
    this.#clock = clock;
    this.#turns = turns;
  }

  /** Never rejects. On failure the caller still owns `raw` and has to end it. */
  async accept(raw: Socket, options: AcceptOptions): Promise<Accepted> {
    const server = options.front?.server ?? options.generation.server(options.protocol, options.tunnels);
    this.#listen(server);
    const started = this.#clock.now();
    const outcome = await this.#handshake(raw, server, options.deadlineMs);
    if (outcome === 'timeout') {
      return { ok: false, reason: 'handshake_timeout', detail: 'the deadline passed', told: false };
    }
    if ('error' in outcome) {
      if (outcome.error === undefined) return gone;
      const { reason, told, code } = tlsFailure(outcome.error);
      return { ok: false, reason, detail: code, told };
    }
    await this.#turns.finish();
    if (outcome.socket.destroyed) return gone;
    return this.#judge(outcome.socket, options, started);
  }

  #judge(socket: TLSSocket, { generation, clientCertificate, front }: AcceptOptions, started: Date): Accepted {
    const facts = tlsFacts(socket, { serial: front?.serial ?? generation.serial, started });
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) {
      if (clientCertificate === 'optional') return { ok: true, socket, facts, peer: undefined };
      return { ok: false, reason: 'no_client_certificate', detail: 'handshake without certificate', told: false };
    }
    const verdict = generation.judge(certificate, chainState(socket, certificate), this.#clock.now());
    if (!verdict.ok) return { ...verdict, told: false };
    return { ok: true, socket, facts, peer: verdict.peer };
  }

  #handshake(raw: Socket, server: Server, deadlineMs: number): Promise<Outcome | 'timeout'> {
    const { promise, resolve } = Promise.withResolvers<Outcome | 'timeout'>();
    const key = keyOf(raw);
    const settle = (outcome: Outcome | 'timeout'): void => {
      clearTimeout(timer);
      raw.off('close', closed);
      // Another may have come from the port of one that was reset, before this was heard of the first.
      if (this.#pending.get(key) === settle) this.#pending.delete(key);
      resolve(outcome);
    };
    const closed = (): void => settle({ error: undefined });
    const timer = setTimeout(() => settle('timeout'), deadlineMs);
    raw.on('close', closed);
    this.#pending.set(key, settle);
    // A handshake cannot go on over half a connection: until it is done, an end is an end (documented: may be changed later).
    raw.allowHalfOpen = false;
    server.emit('connection', raw);
    return promise;
  }

  #listen(server: Server): void {
    if (this.#known.has(server)) return;
    this.#known.add(server);
    server.on('secureConnection', (socket: TLSSocket) => {
      // From here on an error of the socket has a listener for as long as it lives; whoever takes it adds its own.
      socket.on('error', () => socket.destroy());
      socket.allowHalfOpen = true;
      const settle = this.#pending.get(keyOf(socket));
      if (settle === undefined) socket.destroy();
      else settle({ socket });
    });
    server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
      this.#pending.get(keyOf(socket))?.({ error });
    });
  }
}

/** Both ends of the connection: no two live ones share them. */
function keyOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

function chainState(socket: TLSSocket, certificate: X509Certificate): HandshakeChain {
  if (socket.isSessionReused()) return { state: 'unchecked', purpose: 'client' };
  if (socket.authorized) return { state: 'verified', purpose: 'client', intermediates: sentWith(certificate) };
  // Node's types say Error; what is there is the code of OpenSSL's verdict.
  return { state: 'rejected', code: String(socket.authorizationError) };
}

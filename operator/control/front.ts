// The door of the control API: takes TCP connections within bounds, does TLS with the newest certificate, and lets in who proves
// to be of the mesh. Not a byte of HTTP/2 is read from anyone else.
import { randomBytes } from 'node:crypto';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import {
  createServer as createTlsServer,
  type SecureContextOptions,
  type TLSSocket,
  type Server as TlsServer,
} from 'node:tls';
import type { RevocationSubject } from '../../lib/api/revocations.ts';
import type { Clock } from '../../lib/clock.ts';
import { AppError, systemCode } from '../../lib/errors.ts';
import { parseCertificates } from '../../lib/pki/bundle.ts';
import type { CertificateSource, Credentials } from '../../lib/runtime/credentials.ts';
import { canonicalAddress } from '../mesh/address.ts';
import type { ControlLimits } from './limits.ts';
import { type ControlClient, judgeClient, type PeerVerdict, revocationVerdict, type Trust } from './peer.ts';
import type { Refusals } from './refusals.ts';
import type { Admitted } from './session.ts';

export interface FrontDeps {
  /** Its trust bundle must hold every CA of the mesh. */
  readonly certificates: CertificateSource;
  readonly trustDomain: string;
  /** What of a holder is revoked; undefined when nothing is. */
  revoked(subject: RevocationSubject): string | undefined;
  readonly limits: ControlLimits;
  readonly refusals: Refusals;
  readonly clock: Clock;
  /** A verified client, ready for HTTP/2. The socket is the callee's from now on. */
  admitted(socket: TLSSocket, of: Admitted): void;
  /** The trust bundle is another one now. */
  trustChanged(): void;
}

/** Listens and verifies. */
export class Front {
  readonly #deps: FrontDeps;
  readonly #tcp: Server;
  readonly #tls: TlsServer;
  readonly #open = new Map<string, number>();
  readonly #sockets = new Set<Socket>();
  readonly #unsubscribe: () => void;
  #trust: Trust;
  #bundle: string;

  constructor(deps: FrontDeps) {
    this.#deps = deps;
    const credentials = deps.certificates.current();
    if (credentials === undefined) {
      throw new AppError('pki_invalid', 'the control API has no certificate yet; wait for the CA before starting it');
    }
    this.#trust = {
      bundle: parseCertificates(credentials.trustBundle),
      trustDomain: deps.trustDomain,
      revoked: (subject) => deps.revoked(subject),
    };
    this.#bundle = credentials.trustBundle;
    this.#tls = createTlsServer({
      ...contextOf(credentials),
      requestCert: true,
      // Judged below, so that the reason is known and resumed sessions are judged as well.
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
      handshakeTimeout: deps.limits.handshakeTimeoutMs,
    });
    this.#tls.on('secureConnection', (socket) => this.#verify(socket));
    this.#tls.on('tlsClientError', (error, socket) => this.#failed(error, socket));
    this.#tcp = createTcpServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 }, (socket) =>
      this.#take(socket),
    );
    this.#tcp.maxConnections = deps.limits.connections;
    this.#tcp.on('drop', (dropped) => this.#crowded(dropped?.remoteAddress ?? '', 'connections of all clients'));
    this.#unsubscribe = deps.certificates.subscribe((next) => this.#swap(next));
  }

  /** Starts to listen; resolves with the port. Without a host: all addresses of both families. */
  async listen({ host, port }: { readonly host?: string; readonly port: number }): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#tcp.once('error', reject);
    this.#tcp.listen({ port, ...(host === undefined ? {} : { host }), backlog: 1_024 }, resolve);
    await promise;
    this.#tcp.off('error', reject);
    const address = this.#tcp.address();
    return typeof address === 'object' && address !== null ? address.port : port;
  }

  /** What clients are judged by now, also for judging again who is in. */
  judge(certificate: ControlClient['certificate']): PeerVerdict {
    return judgeClient({ certificate, fault: undefined }, this.#trust, this.#deps.clock.now());
  }

  /** Looks again whether a client that is in has been revoked, and at nothing else. */
  judgeRevocation(client: ControlClient): PeerVerdict {
    return revocationVerdict(client, this.#trust);
  }

  /** PEM of the bundle that is trusted now. */
  get trustBundle(): string {
    return this.#bundle;
  }

  /** No session of before is resumed any more. */
  forgetSessions(): void {
    this.#tls.setTicketKeys(randomBytes(48));
  }

  /** Takes no more connections; those that are open stay. */
  close(): void {
    this.#unsubscribe();
    this.#tcp.close();
  }

  /** Cuts what is still open. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #take(socket: Socket): void {
    const address = canonicalAddress(socket.remoteAddress ?? '') ?? '';
    const count = (this.#open.get(address) ?? 0) + 1;
    if (count > this.#deps.limits.connectionsPerAddress) {
      this.#crowded(address, 'connections of this address');
      socket.destroy();
      return;
    }
    this.#open.set(address, count);
    this.#sockets.add(socket);
    socket.on('close', () => {
      this.#sockets.delete(socket);
      const left = (this.#open.get(address) ?? 1) - 1;
      if (left === 0) this.#open.delete(address);
      else this.#open.set(address, left);
    });
    // A TLS server takes any stream that is handed to it so (node:tls, 'connection').
    this.#tls.emit('connection', socket);
  }

  #crowded(address: string, of: string): void {
    this.#deps.refusals.note('too_many_connections', { address, detail: `there are too many ${of}` });
  }

  #verify(socket: TLSSocket): void {
    const address = canonicalAddress(socket.remoteAddress ?? '');
    // The peer is gone already.
    if (address === undefined) return void socket.destroy();
    const fault = socket.authorized ? undefined : String(socket.authorizationError);
    const certificate = socket.getPeerX509Certificate();
    const verdict = judgeClient({ certificate, fault }, this.#trust, this.#deps.clock.now());
    socket.on('error', () => undefined);
    if (!verdict.ok) {
      this.#deps.refusals.note(verdict.reason, { address, detail: verdict.detail });
      socket.destroy();
    } else if (socket.alpnProtocol !== 'h2') {
      this.#deps.refusals.note('not_http2', { address, detail: 'the client does not offer ALPN protocol h2' });
      socket.destroy();
    } else this.#deps.admitted(socket, { client: verdict.client, address });
  }

  #failed(error: Error, socket: TLSSocket): void {
    const address = canonicalAddress(socket.remoteAddress ?? '') ?? '';
    const code = systemCode(error) ?? error.message;
    const client = { address, detail: `the TLS handshake failed: ${code}` };
    // Connection checks of load balancers and kubelets open and close without a word.
    if (code === 'ECONNRESET') this.#deps.refusals.count('handshake', client);
    else this.#deps.refusals.note('handshake', client);
    socket.destroy();
  }

  #swap(credentials: Credentials): void {
    this.#tls.setSecureContext(contextOf(credentials));
    this.forgetSessions();
    if (credentials.trustBundle === this.#bundle) return;
    this.#bundle = credentials.trustBundle;
    this.#trust = { ...this.#trust, bundle: parseCertificates(credentials.trustBundle) };
    this.#deps.trustChanged();
  }
}

function contextOf({ certificate, key, trustBundle }: Credentials): SecureContextOptions {
  return {
    cert: certificate,
    key,
    ca: trustBundle,
    minVersion: 'TLSv1.3',
    ciphers: 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256',
    ecdhCurve: 'X25519MLKEM768:X25519:P-256',
    // Without it OpenSSL ends every resumption that comes with a client certificate.
    sessionIdContext: 'tabard-control',
  };
}

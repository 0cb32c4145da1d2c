// One simulated sidecar: the sidecar's own client of the control API, its revocations, its reporter and its registry of live connections,
// with a certificate and a source address of its own. What is left out is TLS between pods: a live connection here is a relay
// between two TCP connections that is booked with the identity of its peer.
import { createServer, type Server, type Socket, connect as tcpConnect } from 'node:net';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import { controlPaths } from '../../lib/api/control.ts';
import type { RevocationSubject } from '../../lib/api/revocations.ts';
import { systemClock as clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import { ControlClient } from '../../sidecar/control/client.ts';
import { parseSelf } from '../../sidecar/control/parse.ts';
import { SelfState } from '../../sidecar/control/self.ts';
import { StatusReporter } from '../../sidecar/control/status.ts';
import { join } from '../../sidecar/relay/join.ts';
import { LiveConnections } from '../../sidecar/relay/live.ts';
import { openStreamHalf } from '../../sidecar/relay/streamhalf.ts';
import { enforceRevocations, revocationBreach } from '../../sidecar/revocation/enforce.ts';
import { parseRevocations } from '../../sidecar/revocation/parse.ts';
import { Revocations } from '../../sidecar/revocation/revocations.ts';

/** Who it is and where the control API is. */
export interface SimulatedPod {
  readonly name: string;
  readonly uid: string;
  readonly address: string;
  readonly identity: string;
  readonly serial: string;
  readonly notAfter: string;
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
  readonly bundle: string;
  /** Ports of the control API on loopback, in the order in which they are tried. */
  readonly control: readonly number[];
}

const dayMs = 86_400_000;

/** Ends of TCP connections on loopback, both in this process. */
export class Pairs {
  readonly #server: Server;
  /** Accepted, by the port that they come from: before or after the end that dialled knows it. */
  readonly #accepted = new Map<number, PromiseWithResolvers<Socket>>();
  /** Ends that are open: connections that nobody revoked would outlive the run. */
  readonly #open = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket) => {
      this.#keep(socket);
      this.#of(socket.remotePort ?? 0).resolve(socket);
    });
  }

  static async open(): Promise<Pairs> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', 4_096, resolve));
    return new Pairs(server);
  }

  /** A connection: the end that dialled and the end that accepted. */
  async pair(): Promise<readonly [Socket, Socket]> {
    const address = this.#server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const near = tcpConnect({ host: '127.0.0.1', port, noDelay: true, allowHalfOpen: true });
    this.#keep(near);
    await new Promise<void>((resolve) => near.once('connect', () => resolve()));
    const from = near.localPort ?? 0;
    const accepted = await this.#of(from).promise;
    this.#accepted.delete(from);
    return [near, accepted];
  }

  #of(port: number): PromiseWithResolvers<Socket> {
    const known = this.#accepted.get(port) ?? Promise.withResolvers<Socket>();
    this.#accepted.set(port, known);
    return known;
  }

  #keep(socket: Socket): void {
    this.#open.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#open.delete(socket));
  }

  /** Ends every connection and accepts no more. */
  close(): void {
    this.#server.close();
    for (const socket of this.#open) socket.destroy();
  }
}

/** A simulated sidecar. */
export class SimulatedSidecar {
  readonly #pod: SimulatedPod;
  readonly #control: ControlClient;
  readonly #self = new SelfState();
  readonly #live: LiveConnections;
  readonly #revocations: Revocations;
  readonly #status: StatusReporter;
  readonly #pairs: Pairs;

  constructor(pod: SimulatedPod, pairs: Pairs, logger: Logger) {
    this.#pod = pod;
    this.#pairs = pairs;
    this.#control = new ControlClient({ clock, logger, dial: () => dial(pod) });
    this.#revocations = new Revocations({
      clock,
      awayMs: () => this.#control.awayMs(),
      settings: () => this.#self.current()?.policy.revocation,
    });
    const enforcing = { revocations: this.#revocations, identity: () => pod.identity };
    this.#live = new LiveConnections(clock, (facts) => revocationBreach(facts, enforcing));
    this.#status = new StatusReporter({
      clock,
      post: (path, body) => this.#control.post(path, body),
      applied: () => this.#applied(),
    });
    this.#control.subscribe(controlPaths.revocations, (message) => this.#revocations.offer(parseRevocations(message)));
    this.#revocations.subscribe((change) => {
      enforceRevocations(change, { ...enforcing, logger, live: this.#live, generation: () => undefined });
      this.#status.touchNow();
    });
    this.#control.subscribe(controlPaths.self, (message) => this.#self.update(parseSelf(message)));
  }

  /** Number of the revocations in force. */
  get number(): number | undefined {
    return this.#revocations.number;
  }

  /** What is known against a holder of a certificate. */
  revoked(subject: RevocationSubject): string | undefined {
    return this.#revocations.revoked(subject)?.detail;
  }

  /** Knows its policy and what is revoked. */
  get isReady(): boolean {
    return this.#self.current() !== undefined && this.#revocations.number !== undefined;
  }

  run(signal: AbortSignal): void {
    void this.#control.run(signal);
    void this.#live.run(signal);
    void this.#status.run(signal);
  }

  /** Opens a connection with a peer of this identity. Resolves once it is live, with the end of the application that talks over it. */
  async connect(peer: string): Promise<{ readonly ended: Promise<bigint> }> {
    const [application, near] = await this.#pairs.pair();
    const [far, other] = await this.#pairs.pair();
    const { promise: ended, resolve } = Promise.withResolvers<bigint>();
    application.on('close', () => {
      resolve(process.hrtime.bigint());
      other.destroy();
    });
    const arrived = new Promise<void>((done) => other.once('data', () => done()));
    this.#live.add({
      facts: {
        direction: 'inbound',
        port: 80,
        address: '10.0.0.9',
        transport: 'mutual',
        peer: { identity: peer, serial: '01', issuer: '' },
        ownSerial: this.#pod.serial,
      },
      relay: join(openStreamHalf(near), openStreamHalf(far)),
      deadline: { atMs: Date.now() + dayMs, reason: undefined, quietFromMs: Date.now() + dayMs },
      idleTimeoutMs: dayMs,
    });
    application.write('x');
    await arrived;
    application.resume();
    return { ended };
  }

  #applied() {
    const self = this.#self.current();
    if (self === undefined) return undefined;
    const { name, uid, serial, notAfter } = this.#pod;
    const { number } = this.#revocations;
    return {
      podName: name,
      podUid: uid,
      selfVersion: self.version,
      bundleFingerprint: '',
      serial,
      notAfter,
      ...(number === undefined ? {} : { revocations: number }),
    };
  }
}

/** As sidecar/control/dial.ts, from the pod's own address: the control API knows pods by it. */
async function dial(pod: SimulatedPod): Promise<TLSSocket> {
  let last: unknown;
  for (const port of pod.control) {
    try {
      return await dialPort(pod, port);
    } catch (error) {
      last = error;
    }
  }
  throw last;
}

async function dialPort({ address, certificate, key, bundle }: SimulatedPod, port: number): Promise<TLSSocket> {
  const raw = tcpConnect({ host: '127.0.0.1', port, localAddress: address, noDelay: true });
  const socket = tlsConnect({
    socket: raw,
    cert: certificate,
    key,
    ca: bundle,
    minVersion: 'TLSv1.3',
    ALPNProtocols: ['h2'],
    checkServerIdentity: () => undefined,
  });
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  raw.on('error', reject);
  socket.on('error', reject);
  socket.once('secureConnect', () => resolve(socket));
  return await promise;
}

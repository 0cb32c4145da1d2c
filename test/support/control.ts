// A control API for tests of the sidecar: the wire types of lib/api/control.ts over HTTP/2 and mTLS, with snapshots that the test sets.
import {
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { controlPaths, type DestinationSnapshot, type SelfSnapshot, type StatusReport } from '../../lib/api/control.ts';
import type { RevocationSnapshot } from '../../lib/api/revocations.ts';
import type { Authority } from '../../lib/pki/ca.ts';
import { identityOf } from '../../lib/pki/identity.ts';
import { DAY_MS, type TestLeaf, testLeaf } from './pki.ts';

/** A destination without its version: the server counts. */
export type TestDestination = Omit<DestinationSnapshot, 'version'>;

/** Serves snapshots on loopback. */
export class FakeControl {
  /** Reports received, newest last, with who sent them. */
  readonly reports: { readonly identity: string; readonly report: StatusReport }[] = [];
  readonly identity: string;
  readonly #server: Http2SecureServer;
  readonly #selves = new Map<string, SelfSnapshot>();
  readonly #destinations = new Map<string, DestinationSnapshot>();
  #revocations: RevocationSnapshot = { version: 'r0', number: 0, entries: [], lists: [] };
  readonly #streams = new Map<ServerHttp2Stream, { readonly identity: string; readonly path: string }>();
  readonly #sessions = new Set<ServerHttp2Session>();
  #version = 0;
  #port = 0;

  private constructor(leaf: TestLeaf) {
    this.identity = leaf.identity;
    this.#server = createSecureServer({
      cert: leaf.certificate,
      key: leaf.key,
      ca: leaf.bundle,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.3',
    });
    this.#server.on('session', (session) => {
      this.#sessions.add(session);
      session.on('close', () => this.#sessions.delete(session));
      session.on('error', () => undefined);
    });
    this.#server.on('stream', (stream, headers) => this.#answer(stream as ServerHttp2Stream, headers));
    this.#server.on('error', () => undefined);
  }

  /** A server with a certificate of its own from `authority`. */
  static async start(authority: Authority, port: number = 0, host: string = '127.0.0.1'): Promise<FakeControl> {
    // For runs that last longer than a leaf of a test does.
    const lifetimeMs = 30 * DAY_MS;
    const leaf = await testLeaf(authority, { namespace: 'tabard-system', service: 'tabard-operator', lifetimeMs });
    const control = new FakeControl(leaf);
    await control.listen(port, host);
    return control;
  }

  get port(): number {
    return this.#port;
  }

  /** Where a sidecar finds it, also while it is stopped. */
  get address(): { readonly port: number; readonly identity: string } {
    return { port: this.#port, identity: this.identity };
  }

  /** Writes a line as it is to everybody who holds a path open. */
  sendRaw(path: string, text: string): void {
    for (const [stream, held] of this.#streams) if (decodeURIComponent(held.path) === path) stream.write(text);
  }

  /** Paths that are held open now. */
  get subscriptions(): readonly string[] {
    return [...this.#streams.values()].map(({ path }) => decodeURIComponent(path));
  }

  async listen(port: number, host: string = '127.0.0.1'): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.listen(port, host, resolve);
    await promise;
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** What the pods of an identity are told of themselves. */
  setSelf(self: Omit<SelfSnapshot, 'version'>): void {
    this.#selves.set(self.identity, { ...self, version: this.#next() });
    this.#push(controlPaths.self);
  }

  /** What everybody is told of an address. Addresses that were never set are unknown. */
  setDestination(key: string, destination: TestDestination): void {
    this.#destinations.set(key, { ...destination, version: this.#next() });
    this.#push(controlPaths.destinations + encodeURIComponent(key));
  }

  /** What everybody is told of revocations, but for those of `except`, who go on with what they know. */
  setRevocations(revocations: Partial<Omit<RevocationSnapshot, 'version'>>, except: readonly string[] = []): void {
    this.#revocations = { number: 0, entries: [], lists: [], ...revocations, version: this.#next() };
    for (const [stream, held] of this.#streams) {
      if (held.path === controlPaths.revocations && !except.includes(held.identity)) this.#write(stream, held);
    }
  }

  /** Drops every connection, as a crash does; `listen` brings the server back. */
  async stop(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    for (const session of this.#sessions) session.destroy();
    await promise;
  }

  #next(): string {
    this.#version += 1;
    return `v${this.#version}`;
  }

  #push(path: string): void {
    for (const [stream, held] of this.#streams) if (held.path === path) this.#write(stream, held);
  }

  #write(stream: ServerHttp2Stream, { identity, path }: { readonly identity: string; readonly path: string }): void {
    const snapshot =
      path === controlPaths.self
        ? this.#selves.get(identity)
        : path === controlPaths.revocations
          ? this.#revocations
          : (this.#destinations.get(decodeURIComponent(path.slice(controlPaths.destinations.length))) ?? {
              version: 'none',
              known: false,
              endpoints: [],
            });
    if (snapshot !== undefined && !stream.destroyed) stream.write(`${JSON.stringify(snapshot)}\n`);
  }

  #answer(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    stream.on('error', () => undefined);
    const certificate = (stream.session?.socket as TLSSocket | undefined)?.getPeerX509Certificate();
    const identity = certificate === undefined ? undefined : identityOf(certificate);
    const path = headers[':path'] ?? '';
    if (identity === undefined) return stream.respond({ ':status': 403 }, { endStream: true });
    if (headers[':method'] === 'POST') return this.#report(stream, identity);
    stream.respond({ ':status': 200, 'content-type': 'application/x-ndjson' });
    const held = { identity, path };
    this.#streams.set(stream, held);
    stream.on('close', () => this.#streams.delete(stream));
    this.#write(stream, held);
  }

  #report(stream: ServerHttp2Stream, identity: string): void {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      this.reports.push({ identity, report: JSON.parse(Buffer.concat(chunks).toString('utf8')) as StatusReport });
      stream.respond({ ':status': 204 }, { endStream: true });
    });
  }
}

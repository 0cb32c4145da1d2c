// Which certificate a TLS client is shown. Members of the mesh, who offer our own protocol, and everybody who names somebody else get
// the mesh's; a client that asks for a name of the edge certificate gets that one. The mode of the port holds for all alike.
import { createServer, type Server } from 'node:tls';
import { ALPN_ACME, isMeshProtocol } from '../../lib/api/contract.ts';
import type { Hello } from '../tls/clienthello.ts';
import { contextOptions } from '../tls/contexts.ts';
import type { Generation } from '../tls/generation.ts';
import { type EdgeCertificate, isFor } from './certificate.ts';
import type { EdgeSource } from './files.ts';

/** A certificate to stand with, and the server that shows it. */
export interface Front {
  readonly server: Server;
  readonly serial: string;
  readonly notAfter: Date;
}

/** How a port treats its clients. */
export interface FrontRule {
  readonly clientCertificate: 'required' | 'optional';
  /** Application protocol that is chosen if it is offered. */
  readonly preferred: 'h2' | 'http/1.1';
}

/** Chooses. */
export class EdgeFront {
  readonly #source: EdgeSource;
  /** Servers go with the generation whose TLS settings and bundle they have. */
  readonly #servers = new WeakMap<Generation, Map<string, Server>>();

  constructor(source: EdgeSource) {
    this.#source = source;
  }

  /** Whether there is a choice at all: without one no ClientHello needs to be read. */
  hasCertificate(): boolean {
    return this.#source.current() !== undefined;
  }

  /** The edge certificate for this client; undefined when it gets the mesh's. */
  choose(hello: Hello, generation: Generation, rule: FrontRule): Front | undefined {
    const edge = this.#source.current();
    if (edge === undefined || hello.kind !== 'read' || hello.serverName === undefined) return undefined;
    if (hello.protocols.some(isMeshProtocol) || !isFor(edge, hello.serverName)) return undefined;
    const { serial, notAfter } = edge;
    return { server: this.#server(edge, generation, rule), serial, notAfter };
  }

  #server(edge: EdgeCertificate, generation: Generation, rule: FrontRule): Server {
    const held = this.#servers.get(generation) ?? new Map<string, Server>();
    this.#servers.set(generation, held);
    const key = `${rule.clientCertificate} ${rule.preferred}`;
    const known = held.get(`${edge.fingerprint} ${key}`);
    if (known !== undefined) return known;
    const { trustBundle, tls } = generation.parts;
    const asks = rule.clientCertificate === 'required';
    const server = createServer({
      ...contextOptions({ ...edge, trustBundle }, tls),
      // Where none is required none is asked for: browsers would bother people with it.
      requestCert: asks,
      rejectUnauthorized: false,
      ALPNCallback: ({ protocols }) =>
        protocols.includes(rule.preferred) ? rule.preferred : protocols.find((each) => each !== ALPN_ACME),
    });
    // One edge certificate at a time: servers of the one before are of no more use.
    for (const old of held.keys()) if (!old.startsWith(edge.fingerprint)) held.delete(old);
    held.set(`${edge.fingerprint} ${key}`, server);
    return server;
  }
}

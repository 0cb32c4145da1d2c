// A server of a token issuer's keys for tests: real HTTPS on the loopback address, whose answers and keys can be changed while it runs.
import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { extension, sequence, tagged } from '../../lib/pki/asn1.ts';
import { privateKeyPem } from '../../lib/pki/keys.ts';
import { extensionIds } from '../../lib/pki/names.ts';
import { foreign } from './foreign.ts';

/** What is answered. */
export interface JwksAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A running server. */
export class JwksServer {
  answer: JwksAnswer = { body: '{"keys":[]}' };
  /** Requests that came. */
  asked = 0;
  /** PEM by which it is verified, in base64 as in a policy. */
  readonly caBundle: string;
  readonly #server: Server;

  private constructor(server: Server, ca: string) {
    this.#server = server;
    this.caBundle = Buffer.from(ca).toString('base64');
    server.on('request', (_request, response) => {
      this.asked += 1;
      const { status = 200, headers = {}, body } = this.answer;
      response.writeHead(status, { 'content-type': 'application/jwk-set+json', ...headers });
      response.end(body);
    });
  }

  /** Starts one on a free port of the loopback address. */
  static async start(): Promise<JwksServer> {
    const times = { notBefore: new Date(Date.now() - 3_600_000), notAfter: new Date(Date.now() + 86_400_000) };
    const root = foreign({ name: 'Keys Root', ...times });
    const names = extension(extensionIds.alternativeNames, false, sequence(tagged(2, 'localhost')));
    const leaf = foreign({ name: 'localhost', by: root, ca: false, ...times, extensions: [names] });
    const server = createServer({ cert: leaf.certificate.toString(), key: privateKeyPem(leaf.key) });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new JwksServer(server, root.certificate.toString());
  }

  /** Where its keys are. */
  get url(): string {
    return `https://localhost:${(this.#server.address() as AddressInfo).port}/keys`;
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }
}

// The way of one operator to the API server: TLS ends here, every call is read whole, judged and passed on. A call may be the last of
// its process, which dies before the call is passed on, or after it was carried out and before the answer is given back. From that
// moment nothing of the process goes through. Also the network of the test: what EndpointSlices call 192.0.2.1 is 127.0.0.1, because
// the API server takes no loopback address there.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Agent, createServer, request, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { ControlPlane } from '../../../hack/cluster/api.ts';
import { testAuthority, testLeaf } from '../pki.ts';
import { type ApiCall, readCall } from './call.ts';

/** What becomes of a call and of who makes it. */
export type Fate = 'pass' | 'before' | 'after';

/** Who decides. */
export interface GateDeps {
  readonly plane: Pick<ControlPlane, 'server' | 'ca' | 'clientCertificate' | 'clientKey'>;
  /** Asked once for each call, when it has come in whole. */
  fate(call: ApiCall): Fate;
  /** Told of each call that was carried out, before its answer goes back. */
  done(call: ApiCall, status: number): void;
  /** The process is to die now. Must send the signal before it returns. */
  die(call: ApiCall, fate: Fate): void;
}

/** The address by which EndpointSlices name a replica: of the same length as what it stands for, so that it can be put in its place. */
export const replicaAddress = '192.0.2.1';
const loopback = '127.0.0.1';

/** A gate that is open until its process dies; `open` lets the next one in. */
export class ApiGate {
  readonly #deps: GateDeps;
  readonly #server: Server;
  readonly #authority: string;
  readonly #agent: Agent;
  readonly #target: URL;
  #state: 'open' | 'holding' | 'shut' = 'open';

  private constructor(deps: GateDeps, server: Server, authority: string) {
    this.#deps = deps;
    this.#server = server;
    this.#authority = authority;
    this.#target = new URL(deps.plane.server);
    const [ca, cert, key] = [deps.plane.ca, deps.plane.clientCertificate, deps.plane.clientKey].map((path) =>
      readFileSync(path),
    );
    this.#agent = new Agent({ keepAlive: true, ca, cert, key });
    server.on('request', (incoming, outgoing) => {
      // Whoever is cut off in the middle of a call has nothing to say any more.
      this.#serve(incoming, outgoing).catch(() => incoming.socket.destroy());
    });
  }

  static async start(deps: GateDeps): Promise<ApiGate> {
    const authority = await testAuthority();
    const leaf = await testLeaf(authority, { dnsNames: ['localhost'], ipAddresses: [loopback] });
    const server = createServer({ cert: leaf.certificate, key: leaf.key });
    server.listen(0, loopback);
    await once(server, 'listening');
    return new ApiGate(deps, server, authority.certificate);
  }

  /** A kubeconfig that leads through the gate. JSON is YAML. */
  get kubeconfig(): string {
    const { port } = this.#server.address() as AddressInfo;
    const cluster = {
      server: `https://${loopback}:${port}`,
      'certificate-authority-data': Buffer.from(this.#authority).toString('base64'),
    };
    return JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'gate', cluster }],
      users: [{ name: 'operator', user: {} }],
      contexts: [{ name: 'gate', context: { cluster: 'gate', user: 'operator' } }],
      'current-context': 'gate',
    });
  }

  /** Lets calls through again, of a new process. */
  open(): void {
    this.#state = 'open';
  }

  /** Lets nothing through. */
  shut(): void {
    this.#state = 'shut';
    this.#server.closeAllConnections();
  }

  async stop(): Promise<void> {
    this.shut();
    this.#server.close();
    this.#agent.destroy();
    await once(this.#server, 'close');
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const body = await bodyOf(incoming);
    if (this.#state !== 'open') return;
    const call = readCall(incoming.method ?? '', incoming.url ?? '/', body.toString('utf8'));
    const fate = this.#deps.fate(call);
    if (fate === 'before') return this.#die(call, fate);
    if (fate === 'after') this.#state = 'holding';
    const answer = await this.#pass(incoming, body);
    const status = answer.statusCode ?? 0;
    if (fate === 'after') {
      // A watch has begun once its head is there; it has no end to wait for.
      if (call.verb === 'watch') answer.destroy();
      else await bodyOf(answer);
      this.#deps.done(call, status);
      return this.#die(call, fate);
    }
    if (call.verb === 'watch') this.#flow(call, answer, outgoing);
    else {
      const text = await bodyOf(answer);
      this.#deps.done(call, status);
      outgoing.writeHead(status, answer.headers).end(translated(call, text));
    }
  }

  #flow(call: ApiCall, answer: IncomingMessage, outgoing: ServerResponse): void {
    outgoing.writeHead(answer.statusCode ?? 0, answer.headers);
    outgoing.flushHeaders();
    answer.on('data', (chunk: Buffer) => outgoing.write(translated(call, chunk)));
    answer.on('end', () => outgoing.end());
    answer.on('error', () => outgoing.destroy());
    outgoing.on('close', () => answer.destroy());
  }

  #die(call: ApiCall, fate: Fate): void {
    this.#deps.die(call, fate);
    this.shut();
  }

  async #pass(incoming: IncomingMessage, body: Buffer): Promise<IncomingMessage> {
    const { host: _, connection: __, ...headers } = incoming.headers;
    const onward = request({
      host: this.#target.hostname,
      port: this.#target.port,
      agent: this.#agent,
      method: incoming.method,
      path: incoming.url,
      headers,
    });
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    onward.on('response', resolve).on('error', reject);
    onward.end(body);
    return promise;
  }
}

function translated({ resource }: ApiCall, text: Buffer): Buffer | string {
  return resource === 'endpointslices' ? text.toString('utf8').replaceAll(replicaAddress, loopback) : text;
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

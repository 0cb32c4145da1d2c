// One verified client connection: finds the pod it speaks for and knows when it has to end.
import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { formatIdentity } from '../../lib/pki/identity.ts';
import type { MeshPod } from '../mesh/workloads.ts';
import type { SessionDeps } from './deps.ts';
import { http2Options } from './limits.ts';
import type { Caller, Member } from './members.ts';
import type { RefusalReason } from './metrics.ts';
import type { ControlClient } from './peer.ts';
import { type Requester, Requests } from './requests.ts';

/** A client that was told to go is given this long to take its leave, in milliseconds. */
const leaveMs = 1_000;

/** A client that was let in. */
export interface Admitted {
  readonly client: ControlClient;
  /** Source address, canonical. */
  readonly address: string;
}

/** A client's connection. */
export class ControlSession implements Requester {
  readonly caller: Caller;
  readonly client: ControlClient;
  readonly #http: ServerHttp2Session;
  readonly #socket: TLSSocket;
  readonly #deps: SessionDeps;
  readonly #requests: Requests;
  #pod: MeshPod | undefined;
  #finding: Promise<Member> | undefined;
  #ended = false;
  #usedMs: number;
  #pingedMs: number;
  #pinging = false;

  constructor(socket: TLSSocket, of: Admitted, deps: SessionDeps) {
    this.#socket = socket;
    this.#http = performServerHandshake(socket, http2Options(deps.limits));
    this.#deps = deps;
    this.client = of.client;
    this.caller = { address: of.address, identity: of.client.identity };
    this.#requests = new Requests(this, deps);
    const nowMs = this.#nowMs();
    this.#usedMs = nowMs;
    // The first ping comes at a moment of its own, so that clients that came together are not asked together for ever.
    this.#pingedMs = nowMs - Math.random() * deps.limits.pingEveryMs;
    this.#http.on('stream', (stream, headers) => this.#request(stream, headers));
    this.#http.on('error', (err) => deps.logger.debug({ err, address: of.address }, 'control connection broke'));
    this.#http.on('close', () => this.#left());
  }

  get named(): { readonly address: string; readonly identity: string } {
    return { address: this.caller.address, identity: formatIdentity(this.caller.identity) };
  }

  get isLeaving(): boolean {
    return this.#ended;
  }

  /** Looks after the connection; called about once a second. */
  tick(nowMs: number): void {
    const { limits } = this.#deps;
    if (this.#ended) return;
    if (this.#requests.open > 0) this.#usedMs = nowMs;
    if (this.client.notAfter.getTime() <= nowMs) this.end('expired', 'its certificate has expired');
    else if (nowMs - this.#usedMs > limits.idleMs) this.end('idle', `it had no stream for ${limits.idleMs} ms`);
    else if (this.#pinging && nowMs - this.#pingedMs > limits.pingTimeoutMs) {
      this.end('silent', `it gave no sign of life for ${limits.pingTimeoutMs} ms`);
      this.#cut();
    } else if (!this.#pinging && nowMs - this.#pingedMs > limits.pingEveryMs) this.#ping(nowMs);
  }

  /** Ends the connection if its pod is gone or the address is another's by now. */
  recheck(): void {
    if (this.#pod === undefined || this.#ended) return;
    const member = this.#deps.members.now(this.caller);
    if (!member.ok || member.pod.uid !== this.#pod.uid) this.end('pod_gone', `pod ${this.#pod.name} is gone`);
  }

  /** Says goodbye for a reason. The client may come again. */
  end(reason: RefusalReason, detail: string): void {
    if (this.#ended) return;
    this.#deps.refusals.count(reason, { ...this.named, detail });
    this.leave();
  }

  /** Tells the client to go to another replica, or to come again, and ends what is open. */
  leave(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#http.destroyed) return;
    this.#http.goaway(constants.NGHTTP2_NO_ERROR);
    this.#requests.end();
    this.#http.close();
    this.#deps.clock.sleep(leaveMs, this.#deps.signal).then(
      () => this.#cut(),
      () => this.#cut(),
    );
  }

  /** Cuts the connection. */
  destroy(): void {
    this.#ended = true;
    this.#cut();
  }

  /** Destroying the HTTP/2 session alone waits for a write that a stalled peer never takes; without its socket it cannot. */
  #cut(): void {
    this.#http.destroy();
    this.#socket.destroy();
  }

  #request(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    this.#usedMs = this.#nowMs();
    void this.#requests.answer(stream, headers);
  }

  #ping(nowMs: number): void {
    if (this.#http.destroyed) return;
    this.#pingedMs = nowMs;
    this.#pinging = this.#http.ping(() => {
      this.#pinging = false;
    });
  }

  /** The pod is looked for once; a failure is not kept, since the pod may be seen later. */
  async member(): Promise<Member> {
    if (this.#pod !== undefined) return { ok: true, pod: this.#pod };
    this.#finding ??= this.#deps.members.find(this.caller);
    const member = await this.#finding;
    this.#finding = undefined;
    if (!member.ok || this.#pod !== undefined || this.#http.destroyed) return member;
    this.#pod = member.pod;
    const overtaken = this.#deps.book.enter(member.pod.uid, this);
    overtaken?.end('overtaken', `pod ${member.pod.name} opened newer connections`);
    return member;
  }

  #left(): void {
    this.#ended = true;
    if (this.#pod !== undefined) this.#deps.book.leave(this.#pod.uid, this);
    this.#deps.closed(this);
  }

  #nowMs(): number {
    return this.#deps.clock.now().getTime();
  }
}

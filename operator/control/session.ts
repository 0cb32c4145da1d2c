// One verified client connection: finds the pod it speaks for, answers its requests, and knows when it has to end.
import { constants, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { formatIdentity } from '../../lib/pki/identity.ts';
import type { MeshPod } from '../mesh/workloads.ts';
import { acknowledge, bodyOf, type Refusal, refuse } from './answer.ts';
import type { StreamKind } from './book.ts';
import type { SessionDeps } from './deps.ts';
import type { Caller, Member } from './members.ts';
import type { RefusalReason } from './metrics.ts';
import type { ControlClient } from './peer.ts';
import { type Route, routeOf } from './routes.ts';
import { parseStatusBody } from './statusbody.ts';
import { LineStream } from './stream.ts';
import type { Subject } from './topics.ts';

/** A client that was told to go is given this long to take its leave, in milliseconds. */
const leaveMs = 1_000;

/** A client's connection. */
export class ControlSession {
  readonly caller: Caller;
  readonly client: ControlClient;
  readonly #http: ServerHttp2Session;
  readonly #deps: SessionDeps;
  readonly #streams = new Set<ServerHttp2Stream>();
  #pod: MeshPod | undefined;
  #finding: Promise<Member> | undefined;
  #posts = 0;
  #ended = false;
  #usedMs: number;
  #pingedMs: number;
  #pinging = false;

  constructor(
    http: ServerHttp2Session,
    of: { readonly client: ControlClient; readonly address: string },
    deps: SessionDeps,
  ) {
    this.#http = http;
    this.#deps = deps;
    this.client = of.client;
    this.caller = { address: of.address, identity: of.client.identity };
    const nowMs = this.#nowMs();
    this.#usedMs = nowMs;
    // The first ping comes at a moment of its own, so that clients that came together are not asked together for ever.
    this.#pingedMs = nowMs - Math.random() * deps.limits.pingEveryMs;
    http.on('stream', (stream, headers) => void this.#answer(stream, headers));
    http.on('error', (err) => deps.logger.debug({ err, address: of.address }, 'control connection broke'));
    http.on('close', () => this.#left());
  }

  /** Looks after the connection; called about once a second. */
  tick(nowMs: number): void {
    const { limits } = this.#deps;
    if (this.#ended) return;
    if (this.#streams.size > 0) this.#usedMs = nowMs;
    if (this.client.notAfter.getTime() <= nowMs) this.end('expired', 'its certificate has expired');
    else if (nowMs - this.#usedMs > limits.idleMs) this.end('idle', `it had no stream for ${limits.idleMs} ms`);
    else if (this.#pinging && nowMs - this.#pingedMs > limits.pingTimeoutMs) {
      this.end('silent', `it gave no sign of life for ${limits.pingTimeoutMs} ms`);
      this.#http.destroy();
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
    this.#deps.refusals.count(reason, { ...this.#named(), detail });
    this.leave();
  }

  /** Tells the client to go to another replica, or to come again, and ends what is open. */
  leave(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#http.destroyed) return;
    this.#http.goaway(constants.NGHTTP2_NO_ERROR);
    for (const stream of this.#streams) stream.end();
    this.#http.close();
    this.#deps.clock.sleep(leaveMs, this.#deps.signal).then(
      () => this.#http.destroy(),
      () => this.#http.destroy(),
    );
  }

  /** Cuts the connection. */
  destroy(): void {
    this.#ended = true;
    this.#http.destroy();
  }

  #ping(nowMs: number): void {
    if (this.#http.destroyed) return;
    this.#pingedMs = nowMs;
    this.#pinging = this.#http.ping(() => {
      this.#pinging = false;
    });
  }

  async #answer(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    // Without a listener a client's reset would be an uncaught exception.
    stream.on('error', () => undefined);
    this.#usedMs = this.#nowMs();
    try {
      const refusal = await this.#serve(stream, headers);
      if (refusal !== undefined) refuse(stream, refusal);
    } catch (err) {
      this.#deps.logger.error({ err, ...this.#named() }, 'answering a control request failed');
      refuse(stream, { status: 500, reason: 'internal', message: 'the operator failed to answer; its log says why' });
    }
  }

  async #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<Refusal | undefined> {
    const route = routeOf(headers[':method'] ?? '', headers[':path'] ?? '');
    if (route.kind === 'refused') return this.#refused('bad_request', route.status, route.message);
    if (this.#ended) return { status: 503, reason: 'leaving', message: 'this connection is ending; come again' };
    const member = await this.#member();
    if (!member.ok) return this.#refused(member.reason, 403, member.detail);
    if (stream.destroyed) return undefined;
    if (route.kind === 'status') return this.#receive(stream, member.pod);
    return this.#follow(stream, route, member.pod);
  }

  /** The pod is looked for once; a failure is not kept, since the pod may be seen later. */
  async #member(): Promise<Member> {
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

  #follow(
    stream: ServerHttp2Stream,
    route: Extract<Route, Subject | { kind: 'self' }>,
    pod: MeshPod,
  ): Refusal | undefined {
    const { kind } = route;
    const { book, topics, metrics, limits } = this.#deps;
    if (!stream.endAfterHeaders) return this.#refused('bad_request', 400, 'a GET here has no body');
    if (!book.openStream(pod.uid, kind)) {
      return this.#refused('too_many_streams', 429, `a pod may follow ${limits.streamsPerPod} subjects`);
    }
    stream.respond({ ':status': 200, 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    const lines = new LineStream(stream, {
      sent: (changedMs) => this.#sent(kind, changedMs),
      superseded: () => metrics.superseded.inc({ kind }),
    });
    const subject: Subject = route.kind === 'self' ? { kind: 'self', uid: pod.uid } : route;
    const unfollow = topics.follow(subject, pod, (line, changedMs) => lines.offer(line, changedMs));
    this.#streams.add(stream);
    stream.on('close', () => {
      this.#streams.delete(stream);
      unfollow();
      book.closeStream(pod.uid, kind);
    });
    return undefined;
  }

  async #receive(stream: ServerHttp2Stream, pod: MeshPod): Promise<Refusal | undefined> {
    const { limits, clock, metrics, reports } = this.#deps;
    if (this.#posts >= limits.postsPerSession) return this.#refused('too_many_streams', 429, 'one report at a time');
    this.#posts += 1;
    const body = await bodyOf(stream, limits, clock).finally(() => {
      this.#posts -= 1;
    });
    if (body === undefined) return undefined;
    const parsed = typeof body === 'string' ? parseStatusBody(body) : undefined;
    const problem = problemOf(body, parsed, pod);
    metrics.reports.inc({ result: problem === undefined ? 'accepted' : 'refused' });
    if (problem !== undefined) return this.#refused('bad_request', problem.status, problem.message);
    if (parsed?.ok) reports.accept(pod, parsed.report);
    acknowledge(stream);
    return undefined;
  }

  #sent(kind: StreamKind, changedMs: number | undefined): void {
    const { metrics } = this.#deps;
    metrics.sent.inc({ kind });
    if (changedMs !== undefined) metrics.sendSeconds.observe((this.#nowMs() - changedMs) / 1000, { kind });
  }

  #refused(reason: RefusalReason, status: number, message: string): Refusal {
    this.#deps.refusals.note(reason, { ...this.#named(), detail: message });
    return { status, reason, message };
  }

  #left(): void {
    this.#ended = true;
    if (this.#pod !== undefined) this.#deps.book.leave(this.#pod.uid, this);
    this.#deps.closed(this);
  }

  #named(): { readonly address: string; readonly identity: string } {
    return { address: this.caller.address, identity: formatIdentity(this.caller.identity) };
  }

  #nowMs(): number {
    return this.#deps.clock.now().getTime();
  }
}

function problemOf(
  body: string | Refusal,
  parsed: ReturnType<typeof parseStatusBody> | undefined,
  pod: MeshPod,
): { readonly status: number; readonly message: string } | undefined {
  if (typeof body !== 'string') return body;
  if (parsed?.ok !== true) return { status: 400, message: parsed?.problem ?? '' };
  const { podUid, podName } = parsed.report;
  if (podUid === pod.uid && podName === pod.name) return undefined;
  return { status: 403, message: `the report is of pod ${podName}, but the connection is of pod ${pod.name}` };
}

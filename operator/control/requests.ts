// The requests of one client connection: answers them within bounds and keeps the streams that stay open.
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { MeshPod } from '../mesh/workloads.ts';
import { acknowledge, bodyOf, type Refusal, refuse } from './answer.ts';
import type { StreamKind } from './book.ts';
import type { SessionDeps } from './deps.ts';
import { type Problem, takeBatch, takeStatus } from './intake.ts';
import type { Member } from './members.ts';
import type { RefusalReason } from './metrics.ts';
import { batchLimits } from './replicabody.ts';
import { type Route, routeOf } from './routes.ts';
import { LineStream } from './stream.ts';
import type { Subject } from './topics.ts';

/** What requests need of the connection that they came over. */
export interface Requester {
  /** For log lines. */
  readonly named: { readonly address: string; readonly identity: string };
  /** The connection was told to end. */
  readonly isLeaving: boolean;
  /** The pod that the client speaks for. */
  member(): Promise<Member>;
}

/** Answers requests. */
export class Requests {
  readonly #requester: Requester;
  readonly #deps: SessionDeps;
  readonly #open = new Set<ServerHttp2Stream>();
  #posts = 0;

  constructor(requester: Requester, deps: SessionDeps) {
    this.#requester = requester;
    this.#deps = deps;
  }

  /** Streams that are held open. */
  get open(): number {
    return this.#open.size;
  }

  /** Ends the streams that are held open. */
  end(): void {
    for (const stream of this.#open) stream.end();
  }

  /** Answers a request. Never rejects. */
  async answer(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    // Without a listener a client's reset would be an uncaught exception.
    stream.on('error', () => undefined);
    try {
      const refusal = await this.#serve(stream, headers);
      if (refusal !== undefined) refuse(stream, refusal);
    } catch (err) {
      this.#deps.logger.error({ err, ...this.#requester.named }, 'answering a control request failed');
      refuse(stream, { status: 500, reason: 'internal', message: 'the operator failed to answer; its log says why' });
    }
  }

  async #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<Refusal | undefined> {
    const route = routeOf(headers[':method'] ?? '', headers[':path'] ?? '');
    if (route.kind === 'refused') return this.#refused('bad_request', route.status, route.message);
    const { isLeaving, named } = this.#requester;
    if (isLeaving) return { status: 503, reason: 'leaving', message: 'this connection is ending; come again' };
    const { limits, reports, mesh } = this.#deps;
    if (route.kind === 'replica') {
      if (!this.#deps.isReplica(named.identity)) {
        return this.#refused('identity_mismatch', 403, 'only a replica of the operator may pass on reports');
      }
      return this.#receive(stream, { from: 'replica', bodyBytes: batchLimits.bytes }, (text) =>
        takeBatch(text, (uid) => mesh.pod(uid), reports),
      );
    }
    const member = await this.#requester.member();
    if (!member.ok) return this.#refused(member.reason, 403, member.detail);
    if (stream.destroyed) return undefined;
    if (route.kind === 'status') {
      return this.#receive(stream, { from: 'sidecar', bodyBytes: limits.bodyBytes }, (text) =>
        takeStatus(text, member.pod, reports),
      );
    }
    return this.#follow(stream, route, member.pod);
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
    const following: { end?: () => void } = {};
    this.#open.add(stream);
    stream.on('close', () => {
      this.#open.delete(stream);
      book.closeStream(pod.uid, kind);
      following.end?.();
    });
    stream.respond({ ':status': 200, 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    const lines = new LineStream(stream, {
      sent: (changedMs) => this.#sent(kind, changedMs),
      superseded: () => metrics.superseded.inc({ kind }),
    });
    const subject: Subject = route.kind === 'self' ? { kind: 'self', uid: pod.uid } : route;
    following.end = topics.follow(subject, pod, (line, changedMs) => lines.offer(line, changedMs));
    return undefined;
  }

  /** Takes in a body of at most so many bytes. */
  async #receive(
    stream: ServerHttp2Stream,
    { from, bodyBytes }: { readonly from: 'sidecar' | 'replica'; readonly bodyBytes: number },
    take: (text: string) => Problem | undefined,
  ): Promise<Refusal | undefined> {
    const { limits, clock } = this.#deps;
    if (this.#posts >= limits.postsPerSession) return this.#refused('too_many_streams', 429, 'one report at a time');
    this.#posts += 1;
    const body = await bodyOf(stream, { ...limits, bodyBytes }, clock).finally(() => {
      this.#posts -= 1;
    });
    if (body === undefined) return undefined;
    const problem = typeof body === 'string' ? take(body) : body;
    this.#deps.metrics.reports.inc({ from, result: problem === undefined ? 'accepted' : 'refused' });
    if (problem !== undefined) return this.#refused('bad_request', problem.status, problem.message);
    acknowledge(stream);
    return undefined;
  }

  #sent(kind: StreamKind, changedMs: number | undefined): void {
    const { metrics, clock } = this.#deps;
    metrics.sent.inc({ kind });
    if (changedMs !== undefined) metrics.sendSeconds.observe((clock.now().getTime() - changedMs) / 1000, { kind });
  }

  #refused(reason: RefusalReason, status: number, message: string): Refusal {
    this.#deps.refusals.note(reason, { ...this.#requester.named, detail: message });
    return { status, reason, message };
  }
}

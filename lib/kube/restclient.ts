// The KubeClient for a real API server: verbs to HTTP, answers to raw JSON or KubeError. It keeps no state.
import type { IncomingMessage } from 'node:http';
import type { Clock } from '../clock.ts';
import { messageOf } from '../errors.ts';
import { deadline } from '../runtime/deadline.ts';
import type {
  ApplyOptions,
  CallOptions,
  DeleteOptions,
  KubeClient,
  ListOptions,
  ListPage,
  PatchOptions,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from './client.ts';
import { errorOf, KubeError } from './errors.ts';
import type { HttpTransport } from './http.ts';
import { linesOf, textOfStream } from './lines.ts';
import type { KubeMetrics } from './metrics.ts';
import type { KubeInput, KubeObject, ObjectRef } from './object.ts';
import { pathOf, type Resource, resourceName } from './resources.ts';
import {
  acceptFor,
  eventOf,
  pageOf,
  type Query,
  queryText,
  type RawList,
  selectionQuery,
  typed,
  writeQuery,
} from './wire.ts';

/** A whole answer; 250 Secrets of the largest size that etcd takes do not fit, 250 ordinary ones do a hundred times. */
const maxAnswerBytes = 256 * 1024 * 1024;
/** One object; etcd takes 1.5 MB by default. */
const maxLineBytes = 16 * 1024 * 1024;

const patchTypes = { apply: 'application/apply-patch+yaml', merge: 'application/merge-patch+json' } as const;

export interface RestClientOptions {
  readonly transport: HttpTransport;
  readonly clock: Clock;
  readonly metrics: KubeMetrics;
  /** Time limit of every call but watches; 30 s by default. */
  readonly timeoutMs?: number;
}

interface Call {
  readonly verb: string;
  readonly method: string;
  readonly resource: Resource;
  readonly ref?: Partial<ObjectRef>;
  readonly subresource?: string;
  readonly query?: Query;
  readonly body?: unknown;
  readonly contentType?: string;
  /** See HttpRequest. */
  readonly repeatable?: boolean;
  readonly options: CallOptions;
}

/** Raw JSON over HTTP. */
export class RestClient implements KubeClient {
  readonly #transport: HttpTransport;
  readonly #clock: Clock;
  readonly #metrics: KubeMetrics;
  readonly #timeoutMs: number;

  constructor(options: RestClientOptions) {
    this.#transport = options.transport;
    this.#clock = options.clock;
    this.#metrics = options.metrics;
    this.#timeoutMs = options.timeoutMs ?? 30_000;
  }

  get<T extends KubeObject>(resource: Resource<T>, ref: ObjectRef, options: CallOptions = {}): Promise<T> {
    return this.#call({ verb: 'get', method: 'GET', resource, ref, repeatable: true, options });
  }

  async list<T extends KubeObject>(resource: Resource<T>, options: ListOptions = {}): Promise<ListPage<T>> {
    const { limit, resourceVersion } = options;
    const query = { ...selectionQuery(options), limit, continue: options.continue, resourceVersion };
    const ref = namespaceOf(options);
    const call = { verb: 'list', method: 'GET', resource, ref, query, repeatable: true, options };
    return pageOf(resource, await this.#call<RawList<T>>(call));
  }

  async *watch<T extends KubeObject>(resource: Resource<T>, options: WatchOptions): AsyncGenerator<WatchEvent<T>> {
    const { resourceVersion, timeoutSeconds, signal } = options;
    const query = {
      ...selectionQuery(options),
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion,
      timeoutSeconds,
    };
    const what = `watch ${resourceName(resource)}`;
    try {
      const call = {
        verb: 'watch',
        method: 'GET',
        resource,
        ref: namespaceOf(options),
        query,
        repeatable: true,
        options,
      };
      const answer = await this.#send(call, signal, options.idleMs);
      if (answer.statusCode !== 200) throw await this.#refusal(what, answer);
      for await (const line of linesOf(answer, maxLineBytes)) yield eventOf(resource, what, line);
    } catch (error) {
      if (signal.aborted) return;
      throw asKubeError(what, error);
    }
  }

  create<T extends KubeObject>(resource: Resource<T>, object: KubeInput, options: WriteOptions = {}): Promise<T> {
    const ref = resource.namespaced ? namespaceOf(object.metadata) : {};
    const query = writeQuery(options);
    return this.#call({ verb: 'create', method: 'POST', resource, ref, query, body: typed(resource, object), options });
  }

  replace<T extends KubeObject>(resource: Resource<T>, object: KubeInput, options: WriteOptions = {}): Promise<T> {
    const ref = object.metadata;
    const query = writeQuery(options);
    return this.#call({ verb: 'update', method: 'PUT', resource, ref, query, body: typed(resource, object), options });
  }

  apply<T extends KubeObject>(resource: Resource<T>, object: KubeInput, options: ApplyOptions): Promise<T> {
    return this.#apply(resource, object, options);
  }

  applyStatus<T extends KubeObject>(resource: Resource<T>, object: KubeInput, options: ApplyOptions): Promise<T> {
    return this.#apply(resource, object, options, 'status');
  }

  patch<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    patch: Readonly<Record<string, unknown>>,
    options: PatchOptions = {},
  ): Promise<T> {
    const { subresource } = options;
    const call = { verb: 'patch', method: 'PATCH', resource, ref, body: patch, contentType: patchTypes.merge, options };
    return this.#call({ ...call, query: writeQuery(options), ...(subresource === undefined ? {} : { subresource }) });
  }

  async delete(resource: Resource, ref: ObjectRef, options: DeleteOptions = {}): Promise<void> {
    const { uid, resourceVersion, propagation: propagationPolicy } = options;
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      preconditions: { uid, resourceVersion },
      propagationPolicy,
    };
    await this.#call({ verb: 'delete', method: 'DELETE', resource, ref, body, options });
  }

  #apply<T>(resource: Resource, object: KubeInput, options: ApplyOptions, subresource?: 'status'): Promise<T> {
    const query = { ...writeQuery(options), force: options.force === true };
    return this.#call({
      verb: 'apply',
      method: 'PATCH',
      resource,
      ref: object.metadata,
      query,
      body: typed(resource, object),
      contentType: patchTypes.apply,
      repeatable: true,
      options,
      ...(subresource === undefined ? {} : { subresource }),
    });
  }

  /** One call from the request to the parsed answer, under one time limit. */
  async #call<T>(call: Call): Promise<T> {
    const what = `${call.verb} ${resourceName(call.resource)} ${call.ref?.namespace ?? ''}/${call.ref?.name ?? ''}`;
    const limit = deadline(this.#clock, this.#timeoutMs, what, call.options.signal);
    const started = this.#clock.now().getTime();
    try {
      const answer = await this.#send(call, limit.signal, this.#timeoutMs);
      if ((answer.statusCode ?? 0) >= 300) throw await this.#refusal(what, answer);
      return JSON.parse(await textOfStream(answer, maxAnswerBytes)) as T;
    } catch (error) {
      if (limit.expired) throw new KubeError('Unavailable', messageOf(limit.signal.reason), { cause: error });
      limit.signal.throwIfAborted();
      throw asKubeError(what, error);
    } finally {
      limit.end();
      const labels = { verb: call.verb, resource: resourceName(call.resource) };
      this.#metrics.requestSeconds.observe((this.#clock.now().getTime() - started) / 1000, labels);
    }
  }

  async #send(call: Call, signal: AbortSignal, idleMs: number): Promise<IncomingMessage> {
    const { verb, method, resource, ref, subresource, body } = call;
    const labels = { verb, resource: resourceName(resource) };
    const content = call.contentType ?? 'application/json';
    try {
      const answer = await this.#transport.send({
        method,
        path: `${pathOf(resource, ref, subresource)}${queryText(call.query ?? {})}`,
        headers: {
          accept: acceptFor(resource, verb === 'list'),
          ...(body === undefined ? {} : { 'content-type': content }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal,
        idleMs,
        repeatable: call.repeatable === true,
      });
      this.#metrics.requests.inc({ ...labels, code: answer.statusCode ?? 'none' });
      return answer;
    } catch (error) {
      this.#metrics.requests.inc({ ...labels, code: 'none' });
      throw error;
    }
  }

  async #refusal(what: string, answer: IncomingMessage): Promise<KubeError> {
    const retryAfter = answer.headers['retry-after'];
    const body = await textOfStream(answer, 1024 * 1024);
    const details = { status: answer.statusCode ?? 0, body, ...(retryAfter === undefined ? {} : { retryAfter }) };
    return errorOf(what, details, this.#clock.now());
  }
}

function namespaceOf({ namespace }: { readonly namespace?: string }): Partial<ObjectRef> {
  return namespace === undefined ? {} : { namespace };
}

function asKubeError(what: string, error: unknown): KubeError {
  if (error instanceof KubeError) return error;
  return new KubeError('Unavailable', `${what}: ${messageOf(error)}`, { cause: error });
}

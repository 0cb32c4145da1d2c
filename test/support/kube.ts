// A KubeClient in memory for tests: versions, watches, selectors, paging, server-side apply, preconditions and
// finalizers behave as on a real API server (the shared cases of test/support/kubecases.ts run against both).
// There is no admission, no defaulting, no garbage collection and no check of schemas or of namespaces.
import { randomUUID } from 'node:crypto';
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
} from '../../lib/kube/client.ts';
import { KubeError } from '../../lib/kube/errors.ts';
import { type KubeInput, type KubeObject, keyOf, type ObjectRef } from '../../lib/kube/object.ts';
import { apiVersionOf, type Resource, resourceName } from '../../lib/kube/resources.ts';
import { type Json, mergePatch, type Owners, ownersAfterWrite, same, serverSideApply } from './apply.ts';
import { selects } from './selector.ts';

/** A call, for `onCall`. */
export interface Call {
  readonly verb: 'get' | 'list' | 'watch' | 'create' | 'replace' | 'apply' | 'applyStatus' | 'patch' | 'delete';
  readonly resource: string;
  readonly ref: Partial<ObjectRef>;
}

interface Change {
  readonly version: number;
  readonly resource: string;
  readonly before: KubeObject | undefined;
  readonly after: KubeObject | undefined;
}

interface Held {
  readonly object: KubeObject;
  readonly owners: Owners;
}

interface Watcher {
  readonly resource: string;
  /** Undefined: the watch ends in order. */
  push(item: Change | KubeError | number | undefined): void;
}

/** An API server's storage without the server. */
export class MemoryKube implements KubeClient {
  /** Every call, in order; what it throws (a KubeError, say) is what the caller gets. */
  onCall: (call: Call) => void | Promise<void> = () => undefined;
  readonly #held = new Map<string, Map<string, Held>>();
  readonly #changes: Change[] = [];
  readonly #watchers = new Set<Watcher>();
  #version = 100;
  #oldest = 100;

  async get<T extends KubeObject>(resource: Resource<T>, ref: ObjectRef, options: CallOptions = {}): Promise<T> {
    await this.#enter('get', resource, ref, options);
    return view(resource, this.#find(resource, ref).object);
  }

  async list<T extends KubeObject>(resource: Resource<T>, options: ListOptions = {}): Promise<ListPage<T>> {
    await this.#enter(
      'list',
      resource,
      options.namespace === undefined ? {} : { namespace: options.namespace },
      options,
    );
    const [version, after] = (options.continue ?? `${this.#version} `).split(' ', 2);
    if (Number(version) < this.#oldest) throw new KubeError('Gone', 'the continue token is too old', { status: 410 });
    const all = [...this.#collection(resource)]
      .filter(([, held]) => selects(options, held.object))
      .sort(([a], [b]) => (a < b ? -1 : 1));
    const rest = all.filter(([key]) => after === undefined || after === '' || key > after);
    const page = rest.slice(0, options.limit);
    const last = page.at(-1)?.[0];
    return {
      items: page.map(([, held]) => view(resource, held.object)),
      resourceVersion: version ?? '',
      ...(page.length < rest.length ? { continue: `${version} ${last}` } : {}),
    };
  }

  async *watch<T extends KubeObject>(resource: Resource<T>, options: WatchOptions): AsyncGenerator<WatchEvent<T>> {
    await this.#enter('watch', resource, options.namespace === undefined ? {} : { namespace: options.namespace }, {});
    const from = Number(options.resourceVersion);
    if (from < this.#oldest)
      throw new KubeError('Gone', 'too old resource version', { status: 410, reason: 'Expired' });
    const name = resourceName(resource);
    const waiting: (Change | KubeError | number | undefined)[] = this.#changes.filter(
      (change) => change.resource === name && change.version > from,
    );
    let wake = (): void => undefined;
    const watcher: Watcher = { resource: name, push: (item) => (waiting.push(item), wake()) };
    const stop = () => watcher.push(undefined);
    this.#watchers.add(watcher);
    options.signal.addEventListener('abort', stop);
    try {
      while (!options.signal.aborted) {
        if (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve));
        const item = waiting.shift();
        if (item === undefined || options.signal.aborted) return;
        if (item instanceof KubeError) throw item;
        if (typeof item === 'number') yield { type: 'BOOKMARK', resourceVersion: String(item) };
        else yield* eventOf(resource, options, item);
      }
    } finally {
      this.#watchers.delete(watcher);
      options.signal.removeEventListener('abort', stop);
    }
  }

  async create<T extends KubeObject>(resource: Resource<T>, input: KubeInput, options: WriteOptions = {}): Promise<T> {
    await this.#enter('create', resource, input.metadata, options);
    const named = nameOf(input);
    if (this.#collection(resource).has(keyOf(named.metadata))) {
      throw new KubeError('AlreadyExists', `${keyOf(named.metadata)} already exists`, { status: 409 });
    }
    const { status: _, ...rest } = named;
    const object = born(resource, rest);
    const owners = ownersAfterWrite(new Map(), {}, asJson(object), options.fieldManager ?? 'unknown');
    return this.#store(resource, undefined, { object, owners }, options);
  }

  async replace<T extends KubeObject>(resource: Resource<T>, input: KubeInput, options: WriteOptions = {}): Promise<T> {
    await this.#enter('replace', resource, input.metadata, options);
    const held = this.#find(resource, input.metadata);
    checkVersion(held.object, input.metadata['resourceVersion'], input.metadata['uid']);
    return this.#change(resource, held, { ...input, status: asJson(held.object)['status'] }, options);
  }

  async apply<T extends KubeObject>(resource: Resource<T>, input: KubeInput, options: ApplyOptions): Promise<T> {
    await this.#enter('apply', resource, input.metadata, options);
    const { status: _, ...wanted } = input;
    const held = this.#collection(resource).get(keyOf(input.metadata));
    return this.#apply(resource, held, wanted, options);
  }

  async applyStatus<T extends KubeObject>(resource: Resource<T>, input: KubeInput, options: ApplyOptions): Promise<T> {
    await this.#enter('applyStatus', resource, input.metadata, options);
    const held = this.#find(resource, input.metadata);
    const wanted = { metadata: input.metadata, status: input['status'] };
    return this.#apply(resource, held, wanted, { ...options, fieldManager: `${options.fieldManager} status` });
  }

  async patch<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    patch: Readonly<Record<string, unknown>>,
    options: PatchOptions = {},
  ): Promise<T> {
    await this.#enter('patch', resource, ref, options);
    const held = this.#find(resource, ref);
    const live = asJson(held.object);
    const meta = patch['metadata'] as Json | undefined;
    checkVersion(held.object, meta?.['resourceVersion'], meta?.['uid']);
    const next = mergePatch(live, patch) as Json;
    const kept =
      options.subresource === 'status' ? { ...live, status: next['status'] } : { ...next, status: live['status'] };
    return this.#change(resource, held, kept, options);
  }

  async delete(resource: Resource, ref: ObjectRef, options: DeleteOptions = {}): Promise<void> {
    await this.#enter('delete', resource, ref, options);
    const held = this.#find(resource, ref);
    checkVersion(held.object, options.resourceVersion, options.uid);
    const finalizers = (asJson(held.object)['metadata'] as Json)['finalizers'];
    if (!Array.isArray(finalizers) || finalizers.length === 0) {
      this.#remove(resource, held);
    } else if (held.object.metadata.deletionTimestamp === undefined) {
      const metadata = { ...held.object.metadata, deletionTimestamp: new Date().toISOString() };
      this.#store(resource, held, { ...held, object: { ...held.object, metadata } }, {});
    }
  }

  /** Puts an object in as it is, status and all, without a call; what the server would fill in is filled in. */
  seed<T extends KubeObject>(resource: Resource<T>, input: KubeInput): T {
    const held = this.#collection(resource).get(keyOf(input.metadata));
    const object = held === undefined ? born(resource, input) : complete(resource, input, held.object);
    return this.#store(resource, held, { object, owners: held?.owners ?? new Map() }, {});
  }

  /** All objects of a resource, by key. */
  all<T extends KubeObject>(resource: Resource<T>): readonly T[] {
    return [...this.#collection(resource).values()].map((held) => held.object as T);
  }

  /** Watches that are open, of one resource or of all. */
  watches(resource?: Resource): number {
    return [...this.#watchers].filter((each) => resource === undefined || each.resource === resourceName(resource))
      .length;
  }

  /** Ends every watch: in order, or with an error. */
  endWatches(error?: KubeError): void {
    for (const watcher of this.#watchers) watcher.push(error);
  }

  /** Sends every watch a bookmark of the present version. */
  bookmark(): void {
    for (const watcher of this.#watchers) watcher.push(this.#version);
  }

  /** Forgets all changes so far, as etcd's compaction does: watches from an older version are told `Gone`. */
  compact(): void {
    this.#version += 1;
    this.#oldest = this.#version;
    this.#changes.length = 0;
  }

  async #enter(verb: Call['verb'], resource: Resource, ref: Partial<ObjectRef>, options: CallOptions): Promise<void> {
    options.signal?.throwIfAborted();
    await this.onCall({ verb, resource: resource.plural, ref });
  }

  #collection(resource: Resource): Map<string, Held> {
    const name = resourceName(resource);
    const collection = this.#held.get(name) ?? new Map<string, Held>();
    this.#held.set(name, collection);
    return collection;
  }

  #find(resource: Resource, ref: ObjectRef): Held {
    const held = this.#collection(resource).get(keyOf(ref));
    if (held === undefined)
      throw new KubeError('NotFound', `${resource.plural} "${keyOf(ref)}" not found`, { status: 404 });
    return held;
  }

  #change<T extends KubeObject>(resource: Resource<T>, held: Held, next: Json, options: WriteOptions): T {
    const object = complete(resource, next as KubeInput, held.object);
    const owners = ownersAfterWrite(
      held.owners,
      asJson(held.object),
      asJson(object),
      options.fieldManager ?? 'unknown',
    );
    return this.#store(resource, held, { object, owners }, options);
  }

  #apply<T extends KubeObject>(resource: Resource<T>, held: Held | undefined, wanted: Json, options: ApplyOptions): T {
    const live =
      held === undefined
        ? asJson(born(resource, { metadata: wanted['metadata'] as KubeInput['metadata'] }))
        : asJson(held.object);
    const start =
      held === undefined ? { ...live, metadata: pick(live['metadata'] as Json, ['name', 'namespace']) } : live;
    if (held !== undefined) {
      const meta = wanted['metadata'] as Json;
      checkVersion(held.object, meta['resourceVersion'], undefined);
      if (meta['uid'] !== undefined && meta['uid'] !== held.object.metadata.uid) {
        throw new KubeError('Invalid', 'metadata.uid: field is immutable', { status: 422 });
      }
    }
    const applied = serverSideApply(start, held?.owners ?? new Map(), wanted, {
      manager: options.fieldManager,
      force: options.force === true,
    });
    if (!applied.ok) {
      throw new KubeError('Conflict', `conflict with other managers: ${applied.conflicts.join(', ')}`, { status: 409 });
    }
    const input = applied.object as KubeInput;
    const object = held === undefined ? born(resource, input) : complete(resource, input, held.object);
    return this.#store(resource, held, { object, owners: applied.owners }, options);
  }

  #store<T extends KubeObject>(resource: Resource<T>, held: Held | undefined, next: Held, options: WriteOptions): T {
    if (options.dryRun === true) return view(resource, next.object);
    const key = keyOf(next.object.metadata);
    if (held !== undefined && same(asJson(held.object), asJson(next.object))) {
      this.#collection(resource).set(key, { ...held, owners: next.owners });
      return view(resource, held.object);
    }
    this.#version += 1;
    const metadata = { ...next.object.metadata, resourceVersion: String(this.#version) };
    const object = { ...next.object, metadata };
    const finished = metadata.deletionTimestamp !== undefined && asJson(metadata)['finalizers'] === undefined;
    if (finished && held !== undefined) this.#remove(resource, { ...held, object });
    else {
      this.#collection(resource).set(key, { object, owners: next.owners });
      this.#publish({ version: this.#version, resource: resourceName(resource), before: held?.object, after: object });
    }
    return view(resource, object);
  }

  #remove(resource: Resource, held: Held): void {
    this.#version += 1;
    this.#collection(resource).delete(keyOf(held.object.metadata));
    const metadata = { ...held.object.metadata, resourceVersion: String(this.#version) };
    const before = { ...held.object, metadata };
    this.#publish({ version: this.#version, resource: resourceName(resource), before, after: undefined });
  }

  #publish(change: Change): void {
    this.#changes.push(change);
    for (const watcher of this.#watchers) if (watcher.resource === change.resource) watcher.push(change);
  }
}

function* eventOf<T extends KubeObject>(
  resource: Resource<T>,
  options: WatchOptions,
  change: Change,
): Generator<WatchEvent<T>> {
  const before = change.before !== undefined && selects(options, change.before) ? change.before : undefined;
  const after = change.after !== undefined && selects(options, change.after) ? change.after : undefined;
  const object = after ?? change.after ?? before;
  if (object === undefined || (before === undefined && after === undefined)) return;
  const type = after === undefined ? 'DELETED' : before === undefined ? 'ADDED' : 'MODIFIED';
  yield { type, object: view(resource, object), resourceVersion: String(change.version) };
}

/** A copy as the caller may have it: nobody shares the stored object. */
function view<T extends KubeObject>(resource: Resource<T>, object: KubeObject): T {
  if (resource.metadataOnly !== true) return structuredClone(object) as T;
  const { apiVersion, kind, metadata } = object;
  return structuredClone({ apiVersion, kind, metadata }) as T;
}

function nameOf(input: KubeInput): KubeInput {
  const prefix = input.metadata['generateName'];
  if (typeof prefix !== 'string' || (input.metadata.name as string | undefined) !== undefined) return input;
  return { ...input, metadata: { ...input.metadata, name: `${prefix}${randomUUID().slice(0, 5)}` } };
}

function born(resource: Resource, input: KubeInput): KubeObject {
  const metadata = {
    creationTimestamp: new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
    ...input.metadata,
    uid: typeof input.metadata['uid'] === 'string' ? input.metadata['uid'] : randomUUID(),
    resourceVersion: '',
    generation: 1,
  };
  return structuredClone({ ...input, apiVersion: apiVersionOf(resource), kind: resource.kind, metadata });
}

/** What a write makes of the live object: the server's own fields stay, the generation grows with the spec. */
function complete(resource: Resource, input: KubeInput, live: KubeObject): KubeObject {
  const { uid, resourceVersion, creationTimestamp, generation = 1, deletionTimestamp } = live.metadata;
  const content = ({ apiVersion: _a, kind: _k, metadata: _m, status: _s, ...rest }: Json) => rest;
  const changed = !same(content(asJson(live)), content(input));
  const metadata = {
    ...input.metadata,
    uid,
    resourceVersion,
    creationTimestamp,
    generation: changed ? generation + 1 : generation,
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
  };
  const object: Json = { ...input, apiVersion: apiVersionOf(resource), kind: resource.kind, metadata };
  if (object['status'] === undefined) delete object['status'];
  const finalizers = (metadata as Json)['finalizers'];
  if (Array.isArray(finalizers) && finalizers.length === 0) delete (metadata as Json)['finalizers'];
  return structuredClone(object) as unknown as KubeObject;
}

function checkVersion(live: KubeObject, version: unknown, uid: unknown): void {
  const stale = version !== undefined && version !== live.metadata.resourceVersion;
  const other = uid !== undefined && uid !== live.metadata.uid;
  if (stale || other) {
    throw new KubeError('Conflict', `the object ${keyOf(live.metadata)} has been changed or replaced`, { status: 409 });
  }
}

function pick(object: Json, names: readonly string[]): Json {
  return Object.fromEntries(Object.entries(object).filter(([name]) => names.includes(name)));
}

function asJson(value: object): Json {
  return value as Json;
}

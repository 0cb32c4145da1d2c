// The port to the Kubernetes API: raw JSON in and out, one method per verb, typed by the resource descriptor.
// rest.ts is the adapter for a real server; test/support/kube.ts is the one in memory. Every method rejects with a
// KubeError (errors.ts) and nothing else, except the signal's own reason when it is aborted.
import type { KubeInput, KubeObject, ObjectRef } from './object.ts';
import type { Resource } from './resources.ts';

/** A call that can be given up. Without a signal the client's own time limit (30 s) still holds. */
export interface CallOptions {
  readonly signal?: AbortSignal;
}

/** What a list or a watch covers. No namespace = all namespaces. Selectors are written as kubectl takes them. */
export interface Selection {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface ListOptions extends Selection, CallOptions {
  /** Largest number of objects in one page. */
  readonly limit?: number;
  /** The `continue` of the page before. */
  readonly continue?: string;
  /** `"0"` = whatever the server has in its cache, which is cheap and may be old. Absent = the newest. */
  readonly resourceVersion?: string;
}

/** One page of a list. `continue` is absent on the last page. */
export interface ListPage<T> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
  readonly continue?: string;
}

export interface WatchOptions extends Selection {
  /** Changes after this version are sent. */
  readonly resourceVersion: string;
  /** The server ends the watch after this long. */
  readonly timeoutSeconds: number;
  /** The watch fails as `Unavailable` when not a byte came for this long: the connection is taken for dead. */
  readonly idleMs: number;
  /** Ends the watch; the iteration then ends without an error. */
  readonly signal: AbortSignal;
}

/** One line of a watch. An ERROR line is not an event: the iteration throws it as a KubeError (410 = `Gone`). */
export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T; readonly resourceVersion: string }
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string };

export interface WriteOptions extends CallOptions {
  /** Checked and admitted, but not stored. */
  readonly dryRun?: boolean;
  readonly fieldManager?: string;
}

export interface ApplyOptions extends CallOptions {
  readonly dryRun?: boolean;
  /** The writer of these fields (lib/api/contract.ts fieldManagers). */
  readonly fieldManager: string;
  /** Take fields over from other managers instead of failing with `Conflict`. */
  readonly force?: boolean;
}

export interface PatchOptions extends WriteOptions {
  readonly subresource?: 'status' | 'scale' | 'approval';
}

export interface DeleteOptions extends CallOptions {
  /** Delete only this very object: another uid or version fails with `Conflict`. */
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly propagation?: 'Background' | 'Foreground' | 'Orphan';
}

/** Reads and writes of the Kubernetes API. */
export interface KubeClient {
  /** Rejects with `NotFound` when there is none. */
  get<T extends KubeObject>(resource: Resource<T>, ref: ObjectRef, options?: CallOptions): Promise<T>;
  /** One page. */
  list<T extends KubeObject>(resource: Resource<T>, options?: ListOptions): Promise<ListPage<T>>;
  /** Changes as they happen, with bookmarks. Ends when the server closes it in order; slow readers hold it back. */
  watch<T extends KubeObject>(resource: Resource<T>, options: WatchOptions): AsyncIterable<WatchEvent<T>>;
  /** Rejects with `AlreadyExists` when the name is taken. */
  create<T extends KubeObject>(resource: Resource<T>, object: KubeInput, options?: WriteOptions): Promise<T>;
  /** Full update. With `metadata.resourceVersion` it rejects with `Conflict` if the object changed since. */
  replace<T extends KubeObject>(resource: Resource<T>, object: KubeInput, options?: WriteOptions): Promise<T>;
  /** Server-side apply: creates or changes exactly the fields given. */
  apply<T extends KubeObject>(resource: Resource<T>, object: KubeInput, options: ApplyOptions): Promise<T>;
  /** Server-side apply to the status subresource. Rejects with `NotFound` when the object does not exist. */
  applyStatus<T extends KubeObject>(resource: Resource<T>, object: KubeInput, options: ApplyOptions): Promise<T>;
  /** JSON merge patch (RFC 7386): null deletes a member. With `metadata.resourceVersion` in it, see `replace`. */
  patch<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    patch: Readonly<Record<string, unknown>>,
    options?: PatchOptions,
  ): Promise<T>;
  /** Rejects with `NotFound` when there is none. */
  delete(resource: Resource, ref: ObjectRef, options?: DeleteOptions): Promise<void>;
}

// What goes over the wire besides the objects themselves: queries, media types, list bodies and watch lines.
import type { ListPage, Selection, WatchEvent, WriteOptions } from './client.ts';
import { KubeError, type StatusObject, statusError } from './errors.ts';
import type { KubeInput, KubeObject } from './object.ts';
import { apiVersionOf, type Resource } from './resources.ts';

/** Query parameters; undefined ones are left out. */
export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** The query with its question mark, or nothing. */
export function queryText(query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
  const text = parameters.toString();
  return text === '' ? '' : `?${text}`;
}

/** The selectors of a list or watch. The namespace is in the path. */
export function selectionQuery({ labelSelector, fieldSelector }: Selection): Query {
  return { labelSelector, fieldSelector };
}

/** The options that every write takes. */
export function writeQuery({ dryRun, fieldManager }: WriteOptions): Query {
  return { fieldManager, dryRun: dryRun === true ? 'All' : undefined };
}

/** The media type to ask for: JSON, or metadata alone (KEP-2334 style content negotiation). */
export function acceptFor(resource: Resource, list: boolean): string {
  if (resource.metadataOnly !== true) return 'application/json';
  const kind = list ? 'PartialObjectMetadataList' : 'PartialObjectMetadata';
  return `application/json;as=${kind};g=meta.k8s.io;v=v1`;
}

/** An object to send, with its apiVersion and kind. */
export function typed(resource: Resource, object: KubeInput): KubeInput {
  return { ...object, apiVersion: apiVersionOf(resource), kind: resource.kind };
}

/** The body of a list. */
export interface RawList<T> {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items?: readonly T[] | null;
}

/** A page from the body of a list. Items come without apiVersion and kind; they are filled in. */
export function pageOf<T extends KubeObject>(resource: Resource<T>, list: RawList<T>): ListPage<T> {
  const next = list.metadata.continue;
  return {
    items: (list.items ?? []).map((item) => withType(resource, item)),
    resourceVersion: list.metadata.resourceVersion,
    ...(next === undefined || next === '' ? {} : { continue: next }),
  };
}

/** One line of a watch. Throws the KubeError of an ERROR line, and `Unavailable` for a line of a type that is not known. */
export function eventOf<T extends KubeObject>(resource: Resource<T>, what: string, line: string): WatchEvent<T> {
  const { type, object } = JSON.parse(line) as { readonly type: string; readonly object: T };
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type, object: withType(resource, object), resourceVersion: object.metadata.resourceVersion };
    case 'BOOKMARK':
      return { type, resourceVersion: object.metadata.resourceVersion };
    case 'ERROR':
      throw statusError(what, object as StatusObject);
    default:
      throw new KubeError('Unavailable', `${what}: the API server sent a line of unknown type "${type}"`);
  }
}

function withType<T extends KubeObject>(resource: Resource<T>, item: T): T {
  return { ...item, apiVersion: apiVersionOf(resource), kind: resource.kind };
}

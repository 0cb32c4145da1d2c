// What a request asks for. Pure.
import { controlPaths } from '../../lib/api/control.ts';
import { parseDestination, type SocketAddress } from '../mesh/address.ts';
import { replicaPath } from './replicabody.ts';

export type Route =
  | { readonly kind: 'self' }
  | { readonly kind: 'destination'; readonly at: SocketAddress }
  | { readonly kind: 'revocations' }
  | { readonly kind: 'status' }
  | { readonly kind: 'replica' }
  | { readonly kind: 'refused'; readonly status: 400 | 404 | 405; readonly message: string };

/** The route of a method and path. A query or anything else behind a path makes it another path. */
export function routeOf(method: string, path: string): Route {
  const [wanted, route] = match(path);
  if (route.kind === 'refused' || method === wanted) return route;
  return { kind: 'refused', status: 405, message: `use ${wanted} for this path` };
}

function match(path: string): readonly ['GET' | 'POST', Route] {
  if (path === controlPaths.self) return ['GET', { kind: 'self' }];
  if (path === controlPaths.revocations) return ['GET', { kind: 'revocations' }];
  if (path === controlPaths.status) return ['POST', { kind: 'status' }];
  if (path === replicaPath) return ['POST', { kind: 'replica' }];
  if (path.startsWith(controlPaths.destinations))
    return ['GET', destination(path.slice(controlPaths.destinations.length))];
  return ['GET', { kind: 'refused', status: 404, message: 'there is no such path' }];
}

function destination(segment: string): Route {
  const at = segment.length > 160 ? undefined : parseDestination(decoded(segment));
  if (at !== undefined) return { kind: 'destination', at };
  const message = 'a destination is <ip>:<port>, IPv6 in brackets, percent-encoded as one path segment';
  return { kind: 'refused', status: 400, message };
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return '';
  }
}

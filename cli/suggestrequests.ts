// What a caller was seen to ask for, as targets of rules that allow just that: each combination of port, host, method and path was seen, and what has
// the same combinations is written as one. Pure.
import type { AuthorizationTarget } from '../lib/api/authorization.ts';
import { isGrpcPath } from '../lib/api/requestshape.ts';
import type { ObservedRequest } from '../lib/api/tlspolicy.ts';

/** Of the schema: values in a list, and methods that can be named. */
const mostValues = 32;
const methodName = /^[A-Z](?:[A-Z0-9_-]*[A-Z0-9])?$/;

/** Whether a rule can name a request. */
export function isNameable({ path, method }: ObservedRequest): boolean {
  return path !== undefined && methodName.test(method) && method.length <= mostValues;
}

/** The targets. Of requests that cannot be named nothing is in them. */
export function requestTargets(requests: readonly ObservedRequest[]): readonly AuthorizationTarget[] {
  const named = requests.filter(isNameable);
  const places = Map.groupBy(named, ({ port, host }) => JSON.stringify([port, host ?? null]));
  const found = [...places.values()].map((group) => ({
    port: group[0]?.port ?? 0,
    host: group[0]?.host,
    asked: askedOf(group),
  }));
  // Ports first: of two services behind one policy each has its own.
  const alike = Map.groupBy(found, ({ port, asked, host }) => JSON.stringify([port, host === undefined, asked]));
  return [...alike.values()].flatMap((places_) => {
    const [first] = places_;
    if (first === undefined) return [];
    const hosts = places_.flatMap(({ host }) => host ?? []).sort();
    const inParts = hosts.length === 0 ? [undefined] : parts(hosts);
    return inParts.flatMap((some) =>
      first.asked.map((asked) => ({ ports: [first.port], ...asked, ...(some === undefined ? {} : { hosts: some }) })),
    );
  });
}

/** Methods that go with the same paths come together; gRPC methods apart. */
function askedOf(requests: readonly ObservedRequest[]): readonly AuthorizationTarget[] {
  const isCall = ({ method, path = '' }: ObservedRequest): boolean => method === 'POST' && isGrpcPath(path);
  const calls = [...new Set(requests.filter(isCall).map(({ path = '' }) => path.slice(1)))].sort();
  const byMethod = Map.groupBy(
    requests.filter((request) => !isCall(request)),
    ({ method }) => method,
  );
  const alike = Map.groupBy(
    [...byMethod].map(([method, group]) => ({ method, paths: pathsOf(group) })),
    ({ paths }) => JSON.stringify(paths),
  );
  return [
    ...[...alike.values()].flatMap((group) => {
      const methods = parts(group.map(({ method }) => method).sort(), 16);
      return methods.flatMap((some) => parts(group[0]?.paths ?? []).map((paths) => ({ methods: some, paths })));
    }),
    ...parts(calls).map((grpcMethods) => ({ grpcMethods })),
  ];
}

/** Without those that another covers. */
function pathsOf(requests: readonly ObservedRequest[]): readonly string[] {
  const paths = [...new Set(requests.flatMap(({ path }) => path ?? []))].sort();
  return paths.filter((path) => !paths.some((other) => other !== path && covers(other, path)));
}

function covers(pattern: string, path: string): boolean {
  return pattern.endsWith('/*') && path.startsWith(pattern.slice(0, -1));
}

/** A list in parts that the schema takes. */
export function parts<T>(list: readonly T[], most: number = mostValues): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(list.length / most) }, (_, index) =>
    list.slice(index * most, (index + 1) * most),
  );
}

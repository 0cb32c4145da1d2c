// From an answer of the mesh to the line that a client gets: narrowed to that client where the Service asks for it, versioned by
// its content, serialized once. Pure.
import { createHash } from 'node:crypto';
import type { DestinationSnapshot, Endpoint, SelfSnapshot } from '../../lib/api/control.ts';
import type { RevocationSnapshot } from '../../lib/api/revocations.ts';
import { destinationKey } from '../mesh/address.ts';
import type { Destination } from '../mesh/destination.ts';
import { hashOf, type Ranked, subset, subsetSize, wholeUpTo } from './subset.ts';

/** A snapshot as it is sent. Equal versions are equal content, on every replica and over restarts. */
export interface Line {
  readonly version: string;
  /** JSON and a newline. Shared by all streams; never written to. */
  readonly bytes: Buffer;
}

/** What a line says, without its version. */
export type Content =
  | Omit<SelfSnapshot, 'version'>
  | Omit<DestinationSnapshot, 'version'>
  | Omit<RevocationSnapshot, 'version'>;

/** The client that a snapshot is for. */
export interface SnapshotClient {
  readonly uid: string;
  readonly node: string;
}

/** The line for a content. The version leads, so that a reader can stop there. */
export function lineOf(content: Content): Line {
  const text = JSON.stringify(content);
  const version = createHash('sha256').update(text).digest('base64url').slice(0, 22);
  return { version, bytes: Buffer.from(`{"version":"${version}",${text.slice(1)}\n`) };
}

/** An answer with all that narrowing needs, worked out once for all clients. */
export interface PreparedDestination {
  readonly answer: Destination;
  /** Set when not all clients get the same endpoints. */
  readonly ranked: readonly Ranked<Endpoint>[] | undefined;
}

/** Prepares an answer for its clients. */
export function prepare(answer: Destination): PreparedDestination {
  const split = answer.spread === 'client' || answer.endpoints.length > wholeUpTo;
  if (!split) return { answer, ranked: undefined };
  const ranked = answer.endpoints.map(({ endpoint }) => ({ item: endpoint, hash: hashOf(destinationKey(endpoint)) }));
  return { answer, ranked };
}

/** Clients with the same variant get the same line. */
export function variantOf({ answer, ranked }: PreparedDestination, client: SnapshotClient): string {
  if (ranked !== undefined) return `uid ${client.uid}`;
  return answer.spread === 'node' ? `node ${client.node}` : '';
}

/** What one client gets. */
export function contentFor(
  prepared: PreparedDestination,
  client: SnapshotClient,
): Omit<DestinationSnapshot, 'version'> {
  const { known, serverName } = prepared.answer;
  const endpoints = endpointsFor(prepared, client);
  return { known, ...(serverName === undefined ? {} : { serverName }), endpoints };
}

function endpointsFor({ answer, ranked }: PreparedDestination, client: SnapshotClient): readonly Endpoint[] {
  const { endpoints, spread } = answer;
  // As kube-proxy does: with internalTrafficPolicy Local and nothing on the node, there is nothing to be reached.
  const here = spread === 'node' ? endpoints.map(({ node }) => node === client.node) : undefined;
  if (ranked === undefined) {
    return endpoints.filter((_, index) => here?.[index] !== false).map(({ endpoint }) => endpoint);
  }
  const candidates = here === undefined ? ranked : ranked.filter((_, index) => here[index]);
  return subset(candidates, hashOf(client.uid), spread === 'client' ? 1 : subsetSize);
}

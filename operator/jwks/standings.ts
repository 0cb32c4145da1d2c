// How the key sets stand that policies name by URL, as the leader that fetches them knows it, and what the status of a policy says of that. Pure.
import type { WantedCondition } from '../../lib/api/conditions.ts';
import { rfc3339 } from '../../lib/api/time.ts';
import type { TLSPolicy } from '../../lib/api/tlspolicy.ts';
import { sourceOf } from '../../lib/policy/authentication.ts';
import { sourceName } from './store.ts';

/** How one source stands. */
export interface JwksStanding {
  /** Keys in force. */
  readonly keys: number;
  readonly fetchedAt: Date | undefined;
  /** Why the last fetch failed; undefined = it did not. */
  readonly fault: string | undefined;
}

/** The standing of every source, by its name (store.ts). */
export class JwksStandings {
  readonly #standings = new Map<string, JwksStanding>();
  readonly #listeners = new Set<(source: string) => void>();

  get(source: string): JwksStanding | undefined {
    return this.#standings.get(source);
  }

  set(source: string, standing: JwksStanding): void {
    const before = this.#standings.get(source);
    this.#standings.set(source, standing);
    if (before?.fault === standing.fault && before?.keys === standing.keys) return;
    for (const listener of this.#listeners) listener(source);
  }

  delete(source: string): void {
    this.#standings.delete(source);
  }

  /** Told of a source that came to stand otherwise. Returns the function that ends it. */
  subscribe(listener: (source: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** Whether the keys of every issuer of tokens are known; undefined for a policy that names none by URL. */
export function keysCondition({ spec }: TLSPolicy, standings: Pick<JwksStandings, 'get'>): WantedCondition | undefined {
  const type = 'TokenKeysFetched';
  const issuers = (spec.authentication?.jwt ?? []).flatMap((jwt) => {
    const source = sourceOf(jwt);
    return source === undefined ? [] : [{ issuer: jwt.issuer, standing: standings.get(sourceName(source)) }];
  });
  if (issuers.length === 0) return undefined;
  const faults = issuers.flatMap(({ issuer, standing }) => faultOf(issuer, standing) ?? []);
  const [first] = faults;
  if (first !== undefined) {
    return { type, status: 'False', reason: first.reason, message: faults.map(({ message }) => message).join('; ') };
  }
  const keys = issuers.reduce((sum, { standing }) => sum + (standing?.keys ?? 0), 0);
  return { type, status: 'True', reason: 'Fetched', message: `${keys} keys of ${issuers.length} issuers are in force` };
}

function faultOf(
  issuer: string,
  standing: JwksStanding | undefined,
): { readonly reason: string; readonly message: string } | undefined {
  if (standing === undefined) {
    return { reason: 'NotFetchedYet', message: `the keys of ${issuer} were not fetched yet` };
  }
  const { keys, fetchedAt, fault } = standing;
  if (fault === undefined) return undefined;
  const since = fetchedAt === undefined ? 'never' : rfc3339(fetchedAt);
  if (keys > 0) {
    const message = `${issuer}: ${fault}; its ${keys} keys of ${since} stay in force for a day after that`;
    return { reason: 'FetchFailed', message };
  }
  return { reason: 'NoKeys', message: `${issuer}: ${fault}; last fetched: ${since}; none of its tokens is accepted` };
}

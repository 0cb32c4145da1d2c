// From changes in the caches to the issuers that they concern: an issuer's object, the Secret of its CAs, what somebody else offers
// it, and, while a rotation is under way, how far every peer has come.
import { names } from '../../lib/api/contract.ts';
import type { TLSIssuer } from '../../lib/api/tlsissuer.ts';
import type { Clock } from '../../lib/clock.ts';
import { type Feed, feed } from '../../lib/kube/feed.ts';
import type { Secret } from '../../lib/kube/object.ts';
import type { Store } from '../../lib/kube/store.ts';
import { issuerOfSecret } from './ring.ts';

/** Where changes come from. */
export interface AuthorityFeedsDeps {
  readonly issuers: Store<TLSIssuer>;
  /** Tabard's Secrets. */
  readonly secrets: Store<Secret>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly peers: { subscribe(changed: () => void): () => void; synced(signal: AbortSignal): Promise<void> };
  /** Told the name of an issuer: something else is offered to it, or one at work has another state. */
  readonly changes: readonly ((changed: (issuer: string) => void) => () => void)[];
  readonly isRotating: (issuer: string) => boolean;
}

/** Thousands of sidecars report within a second of each change; one look at all of them is enough. */
const gatherMs = 200;

/** The feeds of names of TLSIssuers; `cluster` also when there is none. */
export function authorityFeeds(deps: AuthorityFeedsDeps): readonly Feed[] {
  const { issuers, secrets, namespace } = deps;
  const ringOf = ({ metadata }: Secret): readonly string[] =>
    metadata.namespace === namespace ? [issuerOfSecret(metadata.name) ?? []].flat() : [];
  return [always, feed(issuers), feed(secrets, ringOf), followers(deps), changing(deps)];
}

const nothing = (): undefined => undefined;

const always: Feed = {
  subscribe: (add) => {
    add(names.defaultIssuer);
    return nothing;
  },
  keys: () => [names.defaultIssuer],
  synced: () => Promise.resolve(),
};

function changing({ changes }: AuthorityFeedsDeps): Feed {
  return {
    subscribe: (add) => {
      const ends = changes.map((subscribe) => subscribe(add));
      return () => {
        for (const end of ends) end();
      };
    },
    keys: () => [],
    synced: () => Promise.resolve(),
  };
}

/** Peers matter while somebody waits for them; a burst of their changes is one look. */
function followers({ peers, clock, issuers, isRotating }: AuthorityFeedsDeps): Feed {
  return {
    subscribe: (add) => {
      const stop = new AbortController();
      let isPending = false;
      const look = (): void => {
        isPending = false;
        for (const { metadata } of issuers.list()) if (isRotating(metadata.name)) add(metadata.name);
      };
      const leave = peers.subscribe(() => {
        if (isPending || stop.signal.aborted) return;
        isPending = true;
        clock.sleep(gatherMs, stop.signal).then(look, nothing);
      });
      return () => {
        stop.abort();
        leave();
      };
    },
    keys: () => [],
    synced: (signal) => peers.synced(signal),
  };
}

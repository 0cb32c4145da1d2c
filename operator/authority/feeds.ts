// From changes in the caches to the issuers that they concern: an issuer's object, the Secret of its CAs, what somebody else offers
// it, and, while a rotation is under way, how far every peer has come.
import { names } from '../../lib/api/contract.ts';
import type { TLSIssuer } from '../../lib/api/tlsissuer.ts';
import type { Clock } from '../../lib/clock.ts';
import { type Feed, feed, specFeed } from '../../lib/kube/feed.ts';
import type { Secret } from '../../lib/kube/object.ts';
import type { Store } from '../../lib/kube/store.ts';
import type { Peers } from './peers.ts';
import { issuerOfSecret } from './ring.ts';

/** Where changes come from. */
export interface AuthorityFeedsDeps {
  readonly issuers: Store<TLSIssuer>;
  /** Tabard's Secrets. */
  readonly secrets: Store<Secret>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly peers: Pick<Peers, 'size' | 'subscribe' | 'synced'>;
  /** Told the name of an issuer: something else is offered to it, or one at work has another state. */
  readonly changes: readonly ((changed: (issuer: string) => void) => () => void)[];
  readonly isRotating: (issuer: string) => boolean;
}

/**
 * Thousands of sidecars report within a second of each change; one look at all of them is enough. A look costs some 3 µs per peer: with
 * a wait of 0.1 ms for each, looking takes 3 % of a core however many there are.
 */
const gather = { leastMs: 200, perPeerMs: 0.1 };

/** The feeds of names of TLSIssuers; `cluster` also when there is none. */
export function authorityFeeds(deps: AuthorityFeedsDeps): readonly Feed[] {
  const { issuers, secrets, namespace } = deps;
  const ringOf = ({ metadata }: Secret): readonly string[] =>
    metadata.namespace === namespace ? [issuerOfSecret(metadata.name) ?? []].flat() : [];
  return [always, specFeed(issuers), feed(secrets, ringOf), followers(deps), changing(deps)];
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

/**
 * What comes in bursts is one look, a while later: changes of peers, which matter while somebody waits for them, and of an issuer's own
 * status, which was perhaps compared with one that the cache did not have yet.
 */
function followers({ peers, clock, issuers, isRotating }: AuthorityFeedsDeps): Feed {
  return {
    subscribe: (add) => {
      const stop = new AbortController();
      const pending = new Set<string>();
      const look = (): void => {
        for (const name of pending) add(name);
        pending.clear();
      };
      const later = (name: string): void => {
        const isFirst = pending.size === 0;
        pending.add(name);
        if (!isFirst || stop.signal.aborted) return;
        clock.sleep(Math.max(gather.leastMs, peers.size * gather.perPeerMs), stop.signal).then(look, nothing);
      };
      const ends = [
        peers.subscribe(() => {
          for (const { metadata } of issuers.list()) if (isRotating(metadata.name)) later(metadata.name);
        }),
        issuers.subscribe((_, after) => (after === undefined ? undefined : later(after.metadata.name))),
      ];
      return () => {
        stop.abort();
        for (const end of ends) end();
      };
    },
    keys: () => [],
    synced: (signal) => peers.synced(signal),
  };
}

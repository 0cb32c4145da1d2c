// How far the mesh has followed a CA whose key is not here: the same questions that rotations of our own CAs ask, for issuers elsewhere.
import type { Clock } from '../../lib/clock.ts';
import type { Followers, UpstreamAuthority } from '../issuers/staging.ts';
import { notFollowing, stillTrusting, untrusting } from './lag.ts';
import type { CaFacts, Peer, RotationView, Waits } from './rotationview.ts';
import type { PeersView } from './rotator.ts';

/** The answers from what peers were last seen to do. */
export function followersOf(peers: PeersView, clock: Pick<Clock, 'now'>, waits: Waits): Followers {
  const viewOf = (issuer: string, ca: CaFacts): RotationView => ({
    now: clock.now(),
    ring: {
      phase: 'Active',
      phaseSince: undefined,
      active: ca,
      next: undefined,
      previous: undefined,
      retired: undefined,
      handled: [],
      declined: undefined,
      holdUntil: undefined,
    },
    paused: false,
    requests: {},
    source: 'given',
    offered: undefined,
    peers: peers.of(issuer),
    leaves: peers.leaves(issuer),
    waits,
  });
  return {
    untrusting: (issuer, ca) => {
      const view = viewOf(issuer, factsOf(ca));
      return untrusting({ ...view, peers: view.peers.filter((peer) => !isWithout(peer)) }, factsOf(ca));
    },
    unmoved: (issuer, ca) => notFollowing(viewOf(issuer, factsOf(ca))),
    trusting: (issuer, anchors) => stillTrusting(viewOf(issuer, nobody), { ...nobody, anchors }),
  };
}

/**
 * A pod that reads files of which there are none: its Secret was deleted, say. It gets bundle and certificate in one write, and that write
 * waits for the answer: to wait for it here would be to wait for ever.
 */
function isWithout({ kind, trusts }: Peer): boolean {
  return kind === 'files' && trusts === undefined;
}

/** For questions that are not about the CA that signs. */
const nobody: CaFacts = { fingerprint: '', keyId: '', issuedAt: new Date(0), notAfter: new Date(0), anchors: [] };

function factsOf({ fingerprint, keyId, notBefore: issuedAt, notAfter, anchors }: UpstreamAuthority): CaFacts {
  return { fingerprint, keyId, issuedAt, notAfter, anchors: anchors.map((each) => each.fingerprint) };
}

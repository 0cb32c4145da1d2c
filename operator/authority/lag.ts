// Who holds a rotation up, and why: one function per thing that a peer must have done. Each says so in a sentence that begins with the
// peer's name, or undefined when it has. Pure.
import type { CaFacts, Leaf, Peer, RingFacts, RotationView, Waits } from './rotationview.ts';

/** All who would refuse leaves of a CA. */
export function untrusting(view: RotationView, ca: CaFacts): readonly string[] {
  return view.peers.flatMap((peer) => distrustOf(peer, ca, view) ?? []);
}

/** All who do not use the active CA yet: Secrets with another one's leaves, and peers. */
export function notFollowing(view: RotationView): readonly string[] {
  const { active } = view.ring;
  return [
    ...view.leaves.flatMap((leaf) => stalenessOf(leaf, active, view.now) ?? []),
    ...view.peers.flatMap((peer) => distrustOf(peer, active, view) ?? usageOf(peer, active, view) ?? []),
  ];
}

/** All who still trust a CA that has left the bundle. */
export function stillTrusting({ peers }: RotationView, retired: NonNullable<RingFacts['retired']>): readonly string[] {
  return peers.flatMap((peer) => {
    if (peer.trusts === undefined) return [unheard(peer)];
    return retired.anchors.some((anchor) => peer.trusts?.has(anchor))
      ? [`${peer.name}: still trusts the former CA`]
      : [];
  });
}

function unheard({ name, kind }: Peer): string {
  return kind === 'sidecar' ? `${name}: its sidecar does not report` : `${name}: it has no Secret with a bundle`;
}

/** Why a peer would refuse leaves of a CA; undefined when it would not. */
function distrustOf(peer: Peer, ca: CaFacts, { now, waits }: RotationView): string | undefined {
  const { name, kind, trusts } = peer;
  if (trusts === undefined) return unheard(peer);
  const since = ca.anchors.map((anchor) => trusts.get(anchor));
  if (since.some((each) => each === undefined)) return `${name}: does not have the new CA in its bundle`;
  if (kind === 'sidecar') return undefined;
  return stillOnItsWay(
    name,
    since.filter((each) => each !== undefined),
    now,
    waits,
  );
}

/** Why a peer does not yet show a leaf of a CA. */
function usageOf({ name, kind, mine, signedBy }: Peer, ca: CaFacts, view: RotationView): string | undefined {
  if (!mine) return undefined;
  if (signedBy === undefined) return `${name}: it is not known which certificate it uses`;
  if (signedBy.keyId !== ca.keyId) return `${name}: uses a certificate of the former CA`;
  return kind === 'sidecar' ? undefined : stillOnItsWay(name, [signedBy.since], view.now, view.waits);
}

function stillOnItsWay(name: string, since: readonly Date[], now: Date, { filesMs }: Waits): string | undefined {
  const untilMs = Math.max(...since.map((each) => each.getTime())) + filesMs;
  if (now.getTime() >= untilMs) return undefined;
  return `${name}: reads files and does not report; its Secret is taken as arrived at ${new Date(untilMs).toISOString()}`;
}

function stalenessOf({ name, authorityKeyId, notAfter }: Leaf, ca: CaFacts, now: Date): string | undefined {
  if (authorityKeyId === ca.keyId || now >= notAfter) return undefined;
  return `${name}: its Secret holds a certificate of the former CA`;
}

// Connects the caches to the mesh: each change is passed on as it comes, and the mesh is told when it knows everything.
import type { Clock } from '../lib/clock.ts';
import { onSpecChange } from '../lib/kube/feed.ts';
import type { Caches } from './caches.ts';
import { KeptJwks } from './jwks/store.ts';
import { Accounts } from './mesh/accounts.ts';
import { createMesh, type Mesh } from './mesh/mesh.ts';
import { policySource } from './mesh/policysource.ts';
import { Rulebook } from './mesh/rulebook.ts';
import { TokenBook } from './mesh/tokenbook.ts';

export interface MeshViewDeps {
  readonly stores: Caches;
  readonly clock: Clock;
  /** Tabard's own namespace. */
  readonly namespace: string;
  readonly trustDomain: string;
  readonly clusterDomain: string;
}

/** The mesh, fed from the caches from now on. */
export function meshFrom({ stores, clock, namespace, trustDomain, clusterDomain }: MeshViewDeps): Mesh {
  const { pods, services, slices, policies, baselines, roles } = stores;
  const accounts = new Accounts(trustDomain, (account) => {
    const concerned = rules.concerned(account);
    if (concerned === 'all') return revised();
    if (concerned.size > 0) rules.revised();
    for (const namespace of concerned) mesh.policiesChanged(namespace);
  });
  const role = (name: string) => roles.get(name);
  const rules = new Rulebook({ accounts, role, baselines: () => baselines.list(), trustDomain });
  const jwks = new KeptJwks(stores.ownConfigMaps, namespace);
  const tokens = new TokenBook((source) => jwks.keysAt(source));
  const policyOf = policySource(
    {
      policiesIn: (namespace) => policies.byIndex('namespace', namespace),
      servicesIn: (namespace) => services.byIndex('namespace', namespace),
      pod: (key) => pods.get(key),
    },
    rules,
    tokens,
  );
  const mesh = createMesh({ trustDomain, clusterDomain, clock, policyOf });
  const revised = (): void => {
    rules.revised();
    mesh.policiesChanged();
  };
  onSpecChange(baselines, revised);
  onSpecChange(roles, revised);
  jwks.subscribe(() => {
    tokens.revised();
    const asking = policies.list().filter(({ spec }) => spec.authentication !== undefined);
    for (const each of new Set(asking.map(({ metadata }) => metadata.namespace))) mesh.policiesChanged(each);
  });
  policies.subscribe((before, after) => {
    rules.policyChanged(before, after);
    if (before !== undefined && after === undefined) tokens.drop(before);
    // A status that was written changes nothing for anybody's connections.
    if (before?.metadata.generation === after?.metadata.generation) return;
    mesh.policiesChanged((after ?? before)?.metadata.namespace);
  });
  services.subscribe((before, after) => mesh.serviceChanged(before, after));
  slices.subscribe((before, after) => mesh.sliceChanged(before, after));
  // First, so that the rules for a new pod know its account.
  pods.subscribe((before, after) => accounts.podChanged(before, after));
  pods.subscribe((before, after) => mesh.podChanged(before, after));
  return mesh;
}

/** Resolves when every kind that the mesh is made of was listed once; the mesh then knows that it is complete. */
export async function meshComplete(mesh: Mesh, stores: Caches, signal: AbortSignal): Promise<void> {
  const { pods, services, slices, policies, baselines, roles } = stores;
  await Promise.all([pods, services, slices, policies, baselines, roles].map((store) => store.synced(signal)));
  mesh.settled();
}

// The last good key set of each source as it lies in Tabard's namespace: one ConfigMap per source, written by the leader and read by every
// replica, so that all tell sidecars the same and a restart forgets nothing. Public keys alone. No I/O.
import { createHash } from 'node:crypto';
import type { TokenKey } from '../../lib/api/authentication.ts';
import { sameJson } from '../../lib/api/equal.ts';
import { readKey } from '../../lib/api/jwks.ts';
import type { TLSPolicy } from '../../lib/api/tlspolicy.ts';
import type { ConfigMap, KubeInput } from '../../lib/kube/object.ts';
import type { Store } from '../../lib/kube/store.ts';
import { type JwksSource, sourceOf } from '../../lib/policy/authentication.ts';

/** Label of the ConfigMaps, with the name of the source. */
export const jwksLabel = 'tabard.dev/jwks';

const key = 'keys.json';

/** What was fetched. */
export interface KeptKeys {
  readonly url: string;
  /** RFC 3339; the last good fetch, or up to an hour before it. */
  readonly fetchedAt: string;
  /** Empty: they grew too old. */
  readonly keys: readonly TokenKey[];
}

/** A short name for a source: equal sources of different policies are fetched once. */
export function sourceName({ url, caBundle = '' }: JwksSource): string {
  return createHash('sha256').update(`${url}\n${caBundle}`).digest('hex').slice(0, 32);
}

const named = new WeakMap<TLSPolicy['spec'], ReadonlyMap<string, JwksSource>>();

/** What a policy wants fetched, by names. Worked out once for each object in a cache. */
export function sourcesOf({ spec }: Pick<TLSPolicy, 'spec'>): ReadonlyMap<string, JwksSource> {
  const known = named.get(spec);
  if (known !== undefined) return known;
  const all = (spec.authentication?.jwt ?? []).flatMap((each) => sourceOf(each) ?? []);
  const sources = new Map(all.map((source) => [sourceName(source), source]));
  named.set(spec, sources);
  return sources;
}

/** Name of the ConfigMap of a source. */
export function jwksMapName(source: string): string {
  return `tabard-jwks-${source}`;
}

/** The ConfigMap of a source. */
export function jwksMap(namespace: string, source: string, kept: KeptKeys): KubeInput {
  return {
    metadata: { name: jwksMapName(source), namespace, labels: { [jwksLabel]: source } },
    data: { [key]: JSON.stringify(kept) },
  };
}

/** What a ConfigMap holds; undefined when nothing in it reads. */
export function keptIn(map: ConfigMap | undefined): KeptKeys | undefined {
  const text = map?.data?.[key];
  if (text === undefined) return undefined;
  try {
    const { url, fetchedAt, keys } = JSON.parse(text) as Partial<KeptKeys>;
    if (typeof url !== 'string' || typeof fetchedAt !== 'string' || !Array.isArray(keys)) return undefined;
    return { url, fetchedAt, keys: (keys as readonly unknown[]).flatMap((each) => readKey(each) ?? []) };
  } catch {
    return undefined;
  }
}

/** The key sets in force, as a replica sees them. */
export class KeptJwks {
  readonly #configMaps: Store<ConfigMap>;
  readonly #namespace: string;
  readonly #read = new WeakMap<ConfigMap, KeptKeys | undefined>();

  constructor(configMaps: Store<ConfigMap>, namespace: string) {
    this.#configMaps = configMaps;
    this.#namespace = namespace;
  }

  /** The keys of a source; undefined while there are none. */
  keysAt(source: JwksSource): readonly TokenKey[] | undefined {
    return this.#of(this.#configMaps.get(`${this.#namespace}/${jwksMapName(sourceName(source))}`))?.keys;
  }

  /** Calls the listener when keys of a source changed. Returns the function that ends it. */
  subscribe(listener: () => void): () => void {
    return this.#configMaps.subscribe((before, after) => {
      if ((after ?? before)?.metadata.labels?.[jwksLabel] === undefined) return;
      if (!sameJson(this.#of(before)?.keys, this.#of(after)?.keys)) listener();
    });
  }

  #of(map: ConfigMap | undefined): KeptKeys | undefined {
    if (map === undefined) return undefined;
    if (!this.#read.has(map)) this.#read.set(map, keptIn(map));
    return this.#read.get(map);
  }
}

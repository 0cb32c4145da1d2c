// The last good list of a foreign CA as it lies in Tabard's namespace: one ConfigMap per TLSIssuer, written by the leader and read by every
// replica, so that all tell sidecars the same and a restart forgets nothing. Also the lists of all issuers together. No I/O.
import { gunzipSync, gzipSync } from 'node:zlib';
import type { ForeignList } from '../../../lib/api/revocations.ts';
import type { TLSIssuer } from '../../../lib/api/tlsissuer.ts';
import type { ConfigMap, KubeInput } from '../../../lib/kube/object.ts';
import type { Store } from '../../../lib/kube/store.ts';
import type { ForeignLists } from '../book.ts';
import type { ImportedList } from './judge.ts';

/** Label with the name of the TLSIssuer whose list a ConfigMap holds. */
export const importLabel = 'tabard.dev/crl-import';
/** Compressed: the hexadecimal of a full list would not fit into a ConfigMap. */
const key = 'list.json.gz';
/** More than a list of 1 MiB can hold. */
const maximumText = 8 * 1_048_576;

/** Name of the ConfigMap. */
export function importMapName(issuer: string): string {
  return `tabard-crl-import-${issuer}`;
}

/** The ConfigMap of a list. */
export function importMap(namespace: string, issuer: string, list: ImportedList): KubeInput {
  return {
    metadata: { name: importMapName(issuer), namespace, labels: { [importLabel]: issuer } },
    binaryData: { [key]: gzipSync(JSON.stringify(list)).toString('base64') },
  };
}

/** The list in a ConfigMap; undefined when there is none that reads. */
export function importedIn(map: ConfigMap | undefined): ImportedList | undefined {
  const text = map?.binaryData?.[key];
  if (text === undefined) return undefined;
  try {
    const json = gunzipSync(Buffer.from(text, 'base64'), { maxOutputLength: maximumText }).toString('utf8');
    const list = JSON.parse(json) as Partial<ImportedList>;
    const isList =
      typeof list.issuer === 'string' && typeof list.fingerprint === 'string' && Array.isArray(list.serials);
    return isList ? (list as ImportedList) : undefined;
  } catch {
    return undefined;
  }
}

/** The lists in force: of every issuer that imports one, the last that was good. */
export class ImportedLists implements ForeignLists {
  readonly #configMaps: Store<ConfigMap>;
  readonly #issuers: Store<TLSIssuer>;
  readonly #listeners = new Set<() => void>();
  readonly #read = new WeakMap<ConfigMap, ImportedList | undefined>();
  #current: readonly ForeignList[] = [];

  constructor(configMaps: Store<ConfigMap>, issuers: Store<TLSIssuer>) {
    this.#configMaps = configMaps;
    this.#issuers = issuers;
  }

  current(): readonly ForeignList[] {
    return this.#current;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Follows the caches. Returns the function that ends it. */
  follow(): () => void {
    const ends = [
      this.#issuers.subscribe((before, after) => {
        if (before?.metadata.generation !== after?.metadata.generation) this.#make();
      }),
      this.#configMaps.subscribe((before, after) => {
        if ((after ?? before)?.metadata.labels?.[importLabel] !== undefined) this.#make();
      }),
    ];
    return () => {
      for (const end of ends) end();
    };
  }

  #make(): void {
    const found = this.#configMaps.list().flatMap((map) => {
      const name = map.metadata.labels?.[importLabel];
      const wanted = name !== undefined && this.#issuers.get(name)?.spec.crl?.importFrom !== undefined;
      const list = wanted ? this.#of(map) : undefined;
      return list === undefined ? [] : [{ issuer: list.issuer, serials: list.serials }];
    });
    const next = found.sort((a, b) => (a.issuer < b.issuer ? -1 : 1));
    const text = (lists: readonly ForeignList[]): string =>
      lists.map(({ issuer, serials }) => `${issuer} ${serials.join()}`).join();
    if (text(next) === text(this.#current)) return;
    this.#current = next;
    for (const listener of this.#listeners) listener();
  }

  #of(map: ConfigMap): ImportedList | undefined {
    if (!this.#read.has(map)) this.#read.set(map, importedIn(map));
    return this.#read.get(map);
  }
}

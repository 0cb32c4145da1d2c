// How the certificate of each service stands with each sink that its policy names, for the status of policies. In memory: a restarted
// operator finds the same by looking again.
import type { SinkReason } from './sink.ts';

/** One service and one sink. */
export type SinkState =
  | { readonly kind: 'held' }
  | { readonly kind: 'failing'; readonly reason: SinkReason; readonly message: string };

/** States by `<namespace>/<service>` and name of the sink. */
export class SinkOutcomes {
  readonly #states = new Map<string, Map<string, SinkState>>();
  readonly #listeners = new Set<(key: string) => void>();

  /** What is known of a sink of a service; undefined before the first try. */
  get(key: string, sink: string): SinkState | undefined {
    return this.#states.get(key)?.get(sink);
  }

  /** Names of the sinks of which something is known. */
  sinksOf(key: string): readonly string[] {
    return [...(this.#states.get(key)?.keys() ?? [])];
  }

  /** How it stands now. */
  note(key: string, sink: string, state: SinkState): void {
    const all = this.#states.get(key) ?? new Map<string, SinkState>();
    const before = all.get(sink);
    all.set(sink, state);
    this.#states.set(key, all);
    if (textOf(before) !== textOf(state)) this.#tell(key);
  }

  /** The service has nothing to do with the sink any more. */
  forget(key: string, sink: string): void {
    const all = this.#states.get(key);
    if (all?.delete(sink) !== true) return;
    if (all.size === 0) this.#states.delete(key);
    this.#tell(key);
  }

  /** Called, synchronously, with the key of each service of which something else is known. Returns the function that ends it. */
  subscribe(listener: (key: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(key: string): void {
    for (const listener of this.#listeners) listener(key);
  }
}

function textOf(state: SinkState | undefined): string {
  return state?.kind === 'failing' ? `${state.reason} ${state.message}` : (state?.kind ?? '');
}

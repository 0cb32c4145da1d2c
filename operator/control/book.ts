// What each pod has open: connections, oldest first, and streams by kind. Pure bookkeeping.

/** Kinds of held-open streams. */
export type StreamKind = 'self' | 'destination' | 'revocations';

interface Page<S> {
  readonly sessions: Set<S>;
  streams: number;
}

/** The open connections (of type S) and streams of all pods. */
export class PodBook<S> {
  readonly #pages = new Map<string, Page<S>>();
  readonly #streams: Record<StreamKind, number> = { self: 0, destination: 0, revocations: 0 };
  readonly #limits: { readonly sessionsPerPod: number; readonly streamsPerPod: number };

  constructor(limits: { readonly sessionsPerPod: number; readonly streamsPerPod: number }) {
    this.#limits = limits;
  }

  /** Adds a connection of a pod. Returns the pod's oldest one when it has too many now. */
  enter(uid: string, session: S): S | undefined {
    const page = this.#pages.get(uid) ?? { sessions: new Set<S>(), streams: 0 };
    this.#pages.set(uid, page);
    page.sessions.add(session);
    if (page.sessions.size <= this.#limits.sessionsPerPod) return undefined;
    const [oldest] = page.sessions;
    return oldest;
  }

  /** Takes a connection out. */
  leave(uid: string, session: S): void {
    const page = this.#pages.get(uid);
    page?.sessions.delete(session);
    this.#dropEmpty(uid, page);
  }

  /** Counts one more stream of a pod; false when it has all that it may have. */
  openStream(uid: string, kind: StreamKind): boolean {
    const page = this.#pages.get(uid) ?? { sessions: new Set<S>(), streams: 0 };
    if (page.streams >= this.#limits.streamsPerPod) return false;
    this.#pages.set(uid, page);
    page.streams += 1;
    this.#streams[kind] += 1;
    return true;
  }

  /** Takes back one `openStream`. */
  closeStream(uid: string, kind: StreamKind): void {
    const page = this.#pages.get(uid);
    if (page === undefined) return;
    page.streams -= 1;
    this.#streams[kind] -= 1;
    this.#dropEmpty(uid, page);
  }

  /** Open streams by kind. */
  streams(): Readonly<Record<StreamKind, number>> {
    return { ...this.#streams };
  }

  #dropEmpty(uid: string, page: Page<S> | undefined): void {
    if (page?.sessions.size === 0 && page.streams === 0) this.#pages.delete(uid);
  }
}

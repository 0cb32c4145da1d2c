// Pods that an EndpointSlice names and nobody has seen yet. Pods and slices come over two watches, so a slice may be ahead;
// a pod that does not turn up within the grace is believed not to be injected. Pure: takes the time.

/** How long a slice may be ahead of the pods, in milliseconds. */
export const unseenGraceMs = 1_000;

/** When each unseen pod uid was first named. */
export class UnseenPods {
  readonly #since = new Map<string, number>();

  /** A slice names a pod that is not among the injected ones. The first time counts. */
  note(uid: string, nowMs: number): void {
    if (!this.#since.has(uid)) this.#since.set(uid, nowMs);
  }

  /** The pod was seen, or no slice names it any more. */
  drop(uid: string): void {
    this.#since.delete(uid);
  }

  /** From when on (ms) the pod is believed not injected; 0 when it was never noted. */
  believedAtMs(uid: string): number {
    const since = this.#since.get(uid);
    return since === undefined ? 0 : since + unseenGraceMs;
  }
}

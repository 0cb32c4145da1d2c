// Which Services select which injected pods, by their labels: known as soon as a pod exists, well before an EndpointSlice
// lists it. Follows pods and Services as they change. Pure.
import { RefIndex } from './refs.ts';
import { type MeshService, type Services, selects } from './services.ts';
import type { MeshPod } from './workloads.ts';

/** Live injected pods by selecting Service, both ways. */
export class Selection {
  readonly #podsOf = new RefIndex();
  readonly #servicesOf = new RefIndex();
  readonly #pods = new Map<string, Map<string, MeshPod>>();

  /** Follows a pod: `after` undefined or finished = no longer selected by anything. */
  podChanged(before: MeshPod | undefined, after: MeshPod | undefined, services: Pick<Services, 'selecting'>): void {
    if (before !== undefined) {
      const siblings = this.#pods.get(before.namespace);
      siblings?.delete(before.uid);
      if (siblings?.size === 0) this.#pods.delete(before.namespace);
      for (const service of this.#servicesOf.of(before.uid)) this.#unlink(service, before.uid);
    }
    if (after === undefined || after.finished) return;
    const siblings = this.#pods.get(after.namespace);
    if (siblings === undefined) this.#pods.set(after.namespace, new Map([[after.uid, after]]));
    else siblings.set(after.uid, after);
    for (const service of services.selecting(after.namespace, after.labels)) this.#link(service, after.uid);
  }

  /** Follows a Service. */
  serviceChanged(before: MeshService | undefined, after: MeshService | undefined): void {
    if (before !== undefined) for (const uid of this.#podsOf.of(before.key)) this.#unlink(before.key, uid);
    if (after?.selector === undefined) return;
    for (const { uid, labels } of this.#pods.get(after.namespace)?.values() ?? []) {
      if (selects(after.selector, labels)) this.#link(after.key, uid);
    }
  }

  /** Keys of the Services that select a pod. */
  servicesOf(uid: string): Iterable<string> {
    return this.#servicesOf.of(uid);
  }

  /** Uids of the pods that a Service selects. */
  podsOf(service: string): Iterable<string> {
    return this.#podsOf.of(service);
  }

  /** Whether a Service selects any live injected pod. */
  selectsAny(service: string): boolean {
    return this.#podsOf.has(service);
  }

  #link(service: string, uid: string): void {
    this.#podsOf.add(service, uid);
    this.#servicesOf.add(uid, service);
  }

  #unlink(service: string, uid: string): void {
    this.#podsOf.remove(service, uid);
    this.#servicesOf.remove(uid, service);
  }
}

// Objects and a book for tests of revocation: stores that the test fills as a reflector would, with the versions that an API server gives.
import type { TLSRevocation, TLSRevocationSpec, TLSRevocationStatus } from '../../lib/api/tlsrevocation.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Pod, Secret } from '../../lib/kube/object.ts';
import { ObjectStore } from '../../lib/kube/store.ts';
import { RevocationBook } from '../../operator/revocation/book.ts';

/** A TLSRevocation as stored. */
export function revocation(
  name: string,
  spec: TLSRevocationSpec,
  {
    version,
    status,
    created = '2026-06-01T12:00:00Z',
  }: { version: number; status?: TLSRevocationStatus; created?: string },
): TLSRevocation {
  return {
    apiVersion: 'tabard.dev/v1alpha1',
    kind: 'TLSRevocation',
    metadata: { name, uid: `uid-${name}`, resourceVersion: String(version), generation: 1, creationTimestamp: created },
    spec,
    ...(status === undefined ? {} : { status }),
  };
}

/** An injected pod of a service of `shop`. */
export function injectedPod(name: string, service: string): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'shop',
      uid: `uid-${name}`,
      resourceVersion: '1',
      creationTimestamp: '2026-06-01T00:00:00Z',
      labels: { 'tabard.dev/injected': 'true' },
      annotations: { 'tabard.dev/service': service },
    },
    spec: { containers: [] },
    status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
  };
}

/** The Secret of a service of `shop` with the certificate of a PEM. */
export function certificateSecret(service: string, certificate: string, notes: Record<string, string>): Secret {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: `tabard-${service}`,
      namespace: 'shop',
      uid: `uid-secret-${service}`,
      resourceVersion: '1',
      creationTimestamp: '2026-06-01T00:00:00Z',
      labels: { 'app.kubernetes.io/managed-by': 'tabard', 'tabard.dev/service': service },
      annotations: notes,
    },
    type: 'kubernetes.io/tls',
    data: { 'tls.crt': Buffer.from(certificate).toString('base64') },
  };
}

/** One replica's stores and book. */
export class BookBench {
  readonly revocations = new ObjectStore<TLSRevocation>();
  readonly pods = new ObjectStore<Pod>();
  readonly secrets = new ObjectStore<Secret>();
  /** Serials by pod uid. */
  readonly reported = new Map<string, string>();
  readonly book: RevocationBook;
  silentMs = 0;

  constructor(clock: Clock) {
    this.book = new RevocationBook({
      revocations: this.revocations,
      pods: this.pods,
      secrets: this.secrets,
      reports: {
        ofPod: (uid) => {
          const serial = this.reported.get(uid);
          return serial === undefined ? undefined : { report: { serial, notAfter: '' } };
        },
        subscribe: () => () => undefined,
      },
      lists: { current: () => this.lists, subscribe: () => () => undefined },
      clock,
      ownIdentity: 'spiffe://cluster.local/ns/tabard-system/svc/tabard-operator',
      silentMs: () => this.silentMs,
    });
    this.book.follow();
  }

  readonly lists: readonly { readonly issuer: string; readonly serials: readonly string[] }[] = [];

  /** The first list of every kind. */
  async listed(version: number, objects: readonly TLSRevocation[] = []): Promise<this> {
    this.pods.replace(this.pods.list(), '1');
    this.secrets.replace(this.secrets.list(), '1');
    this.revocations.replace(objects, String(version));
    await this.book.complete(new AbortController().signal);
    return this;
  }
}

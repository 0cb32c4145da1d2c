// Which pod has which certificate of its own, and which CA signed it: an index in memory, on every replica, of the requests that were
// granted. The API server deletes a request after a quarter of an hour; what it said is remembered for as long as its pod is there.
import { X509Certificate } from 'node:crypto';
import type { Pod, PodCertificateRequest } from '../../lib/kube/object.ts';
import type { Store } from '../../lib/kube/store.ts';
import { authorityKeyIdOf } from '../../lib/pki/x509.ts';
import { outcomeOf } from './requests.ts';

/** One pod certificate. */
export interface PodCertificate {
  readonly podUid: string;
  readonly namespace: string;
  /** Upper-case hex. */
  readonly serial: string;
  /** Name of the TLSIssuer. */
  readonly issuer: string;
  /** Key id of the CA that signed it, upper-case hex; undefined when the certificate states none. */
  readonly keyId: string | undefined;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** When the kubelet is to renew it. */
  readonly refreshAt: Date;
}

/** Newest certificates that are kept per pod: the sidecar may show the one before for a moment. */
const keptPerPod = 2;

/** The message of a granted request, which is where the issuer's name is kept with it. */
export function grantMessage(serial: string, issuer: string): string {
  return `serial ${serial}, issuer ${issuer}`;
}

/** Pod certificates by pod and by serial. */
export class PodCertificates {
  readonly #byPod = new Map<string, readonly PodCertificate[]>();
  readonly #bySerial = new Map<string, PodCertificate>();
  readonly #listeners = new Set<(certificate: PodCertificate) => void>();

  /** The newest certificate of a pod; undefined when none was seen since this process runs. */
  ofPod(uid: string): PodCertificate | undefined {
    return this.#byPod.get(uid)?.[0];
  }

  /** The pod certificate with this serial (upper-case hex); undefined when it is none or was not seen. */
  ofSerial(serial: string): PodCertificate | undefined {
    return this.#bySerial.get(serial);
  }

  /** Told of each certificate, those that are known first, synchronously. Returns the function that ends it. */
  subscribe(listener: (certificate: PodCertificate) => void): () => void {
    for (const certificate of this.#bySerial.values()) listener(certificate);
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Follows the requests and the pods. Returns the function that ends it. */
  follow(requests: Store<PodCertificateRequest>, pods: Store<Pod>): () => void {
    const ends = [
      requests.subscribe((_, after) => {
        const found = after === undefined ? undefined : certificateOf(after);
        if (found !== undefined) this.note(found);
      }),
      pods.subscribe((before, after) => {
        if (before !== undefined && before.metadata.uid !== after?.metadata.uid) this.#forget(before.metadata.uid);
      }),
    ];
    return () => {
      for (const end of ends) end();
    };
  }

  /** Takes a certificate in. */
  note(certificate: PodCertificate): void {
    if (this.#bySerial.has(certificate.serial)) return;
    const all = [certificate, ...(this.#byPod.get(certificate.podUid) ?? [])];
    all.sort((a, b) => b.notBefore.getTime() - a.notBefore.getTime());
    for (const { serial } of all.slice(keptPerPod)) this.#bySerial.delete(serial);
    const kept = all.slice(0, keptPerPod);
    this.#byPod.set(certificate.podUid, kept);
    if (!kept.includes(certificate)) return;
    this.#bySerial.set(certificate.serial, certificate);
    for (const listener of this.#listeners) listener(certificate);
  }

  #forget(podUid: string): void {
    for (const { serial } of this.#byPod.get(podUid) ?? []) this.#bySerial.delete(serial);
    this.#byPod.delete(podUid);
  }
}

/** What a granted request says; undefined for any other, and for one that cannot be read. */
export function certificateOf(request: PodCertificateRequest): PodCertificate | undefined {
  const { metadata, spec, status } = request;
  if (outcomeOf(request) !== 'Issued') return undefined;
  const message = status?.conditions?.find(({ type }) => type === 'Issued')?.message ?? '';
  try {
    const leaf = new X509Certificate(status?.certificateChain ?? '');
    return {
      podUid: spec.podUID,
      namespace: metadata.namespace ?? '',
      serial: leaf.serialNumber,
      issuer: /, issuer (\S+)$/.exec(message)?.[1] ?? '',
      keyId: authorityKeyIdOf(leaf.raw),
      notBefore: leaf.validFromDate,
      notAfter: leaf.validToDate,
      refreshAt: new Date(status?.beginRefreshAt ?? leaf.validToDate),
    };
  } catch {
    return undefined;
  }
}

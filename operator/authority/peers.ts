// Who must follow a rotation, and how far each has come: every live pod of the mesh by what its sidecar reported or its Secret
// holds, and every certificate that lies in a Secret. Read from the caches; no I/O.
import type { X509Certificate } from 'node:crypto';
import { secretKeys, written } from '../../lib/api/contract.ts';
import type { StatusReport } from '../../lib/api/control.ts';
import type { TLSIssuer } from '../../lib/api/tlsissuer.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Pod, Secret } from '../../lib/kube/object.ts';
import type { Store } from '../../lib/kube/store.ts';
import { fingerprint, parseCertificates } from '../../lib/pki/bundle.ts';
import { authorityKeyIdOf } from '../../lib/pki/x509.ts';
import { hasSidecar, isFinished, serviceKeyOf } from '../certificates/cluster.ts';
import { secretKeyOf } from '../certificates/gather.ts';
import { comesBack } from '../certificates/plan.ts';
import { dataOf, serviceOf } from '../certificates/secret.ts';
import type { PodCertificate } from '../podcertificates/issued.ts';
import { hasPodCertificate } from '../podcertificates/requests.ts';
import type { TrustSource } from '../trust/mesh.ts';
import type { Leaf, Peer } from './rotationview.ts';
import type { SignedSerials } from './serials.ts';

/** What the view is made from. */
export interface PeersDeps {
  /** Injected pods. */
  readonly pods: Store<Pod>;
  /** Tabard's Secrets. */
  readonly secrets: Store<Secret>;
  readonly reports: {
    ofPod(podUid: string): { readonly report: StatusReport } | undefined;
    subscribe(listener: () => void): () => void;
  };
  /** What sidecars are told to trust: what one that reports only its bundle's fingerprint has. */
  readonly trust: Pick<TrustSource, 'current'>;
  readonly serials: SignedSerials;
  /** Certificates that pods have of their own; none, where it is not given. */
  readonly podCertificates?: { ofPod(podUid: string): PodCertificate | undefined };
  /** Whose CA a key id is of; where it is not given, that is not known. */
  readonly issuers?: Store<TLSIssuer>;
  readonly clock: Pick<Clock, 'now'>;
}

/** What is in one Secret. */
interface Held {
  readonly issuer: string;
  readonly serial: string;
  readonly keyId: string | undefined;
  readonly notAfter: Date;
  readonly bundle: readonly string[];
}

/** The live peers. */
export class Peers {
  readonly #deps: PeersDeps;
  readonly #read = new WeakMap<Secret, Held | 'unreadable'>();
  /** Members of a bundle by its text: thousands of Secrets hold the same. */
  readonly #bundles = new Map<string, readonly string[]>();
  /** When something was first seen in a Secret, by `<namespace>/<name>` and then by fingerprint or key id. */
  readonly #firstSeen = new Map<string, Map<string, Date>>();

  constructor(deps: PeersDeps) {
    this.#deps = deps;
  }

  /** How many pods and Secrets there are to look at. */
  get size(): number {
    return this.#deps.pods.size + this.#deps.secrets.size;
  }

  /** Calls `changed` when anything here may have changed. Returns the function that ends it. */
  subscribe(changed: () => void): () => void {
    const { pods, secrets, reports } = this.#deps;
    const ends = [pods.subscribe(changed), secrets.subscribe(changed), reports.subscribe(changed)];
    return () => {
      for (const end of ends) end();
    };
  }

  /** Resolves when what is known is complete: before, nobody would seem to lag. */
  async synced(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#deps.pods.synced(signal), this.#deps.secrets.synced(signal)]);
  }

  /** Every live pod of the mesh, as the rotation of one issuer sees it. */
  of(issuer: string): readonly Peer[] {
    return this.#deps.pods.list().flatMap((pod) => this.#peer(pod, issuer) ?? []);
  }

  /** The certificates of one issuer that lie in Secrets and are kept. */
  leaves(issuer: string): readonly Leaf[] {
    const { pods, secrets } = this.#deps;
    const used = new Set(pods.list().flatMap((pod) => (isLive(pod) ? (serviceKeyOf(pod) ?? []) : [])));
    return secrets.list().flatMap((secret) => {
      const service = serviceOf(secret);
      const held = service === undefined ? undefined : this.#held(secret);
      if (held?.issuer !== issuer) return [];
      const name = `${secret.metadata.namespace ?? ''}/${service}`;
      const isKept = used.has(name) || (secret.metadata.ownerReferences ?? []).some(comesBack);
      return isKept ? [{ name, authorityKeyId: held.keyId, notAfter: held.notAfter }] : [];
    });
  }

  #peer(pod: Pod, issuer: string): Peer | undefined {
    const service = serviceKeyOf(pod);
    if (service === undefined || !isLive(pod)) return undefined;
    const report = this.#deps.reports.ofPod(pod.metadata.uid)?.report;
    // A pod that is on its way gets what holds by then; one that reports has arrived, whatever its phase.
    if (pod.status?.phase !== 'Running' && report === undefined) return undefined;
    const name = `${pod.metadata.namespace ?? ''}/${pod.metadata.name}`;
    if (hasPodCertificate(pod)) return this.#own(name, pod, report, issuer);
    const secretKey = secretKeyOf(service);
    const secret = this.#deps.secrets.get(secretKey);
    const held = secret === undefined ? undefined : this.#held(secret);
    return hasSidecar(pod) ? this.#sidecar(name, report, held, issuer) : this.#files(name, secretKey, held, issuer);
  }

  #sidecar(name: string, report: StatusReport | undefined, held: Held | undefined, issuer: string): Peer {
    const now = this.#deps.clock.now();
    if (held !== undefined && held.keyId !== undefined) this.#deps.serials.note(held.serial, held.issuer, held.keyId);
    const signed = report === undefined ? undefined : this.#deps.serials.of(report.serial);
    return {
      name,
      kind: 'sidecar',
      trusts: this.#trusted(report, now),
      mine: (held?.issuer ?? signed?.issuer) === issuer,
      signedBy: signed === undefined ? undefined : { keyId: signed.keyId, since: now },
    };
  }

  /**
   * A pod with a certificate of its own, which no operator can renew: the kubelet does, in its time. What is not known of it counts as
   * not done, so that no CA goes while such a pod may still need it.
   */
  #own(name: string, pod: Pod, report: StatusReport | undefined, issuer: string): Peer {
    const { podCertificates, serials, clock } = this.#deps;
    const now = clock.now();
    const granted = podCertificates?.ofPod(pod.metadata.uid);
    const reported = report === undefined ? undefined : (serials.of(report.serial) ?? this.#signerOf(report));
    const signed = hasSidecar(pod) ? reported : granted;
    const keyId = signed?.keyId;
    return {
      name,
      kind: hasSidecar(pod) ? 'sidecar' : 'files',
      trusts: hasSidecar(pod) ? this.#trusted(report, now) : this.#projected(),
      mine: signed === undefined || signed.issuer === issuer,
      signedBy: keyId === undefined ? undefined : { keyId, since: granted?.notBefore ?? now },
    };
  }

  /** By the key id that a sidecar reports, when its serial is not known: its request is long gone, or it was another operator's. */
  #signerOf({ issuerKeyId: keyId }: StatusReport): { readonly issuer: string; readonly keyId: string } | undefined {
    if (keyId === undefined) return undefined;
    const issuer = this.#deps.issuers
      ?.list()
      .find(({ status }) => status?.authorities?.some((authority) => authority.keyId === keyId));
    return issuer === undefined ? undefined : { issuer: issuer.metadata.name, keyId };
  }

  #trusted(report: StatusReport | undefined, now: Date): Peer['trusts'] {
    return report === undefined ? undefined : new Map(this.#reported(report).map((each) => [each, now]));
  }

  /** What the kubelet projects from ClusterTrustBundles, which follow the mesh's bundle at once. */
  #projected(): Peer['trusts'] {
    const members = this.#deps.trust.current()?.members.map(fingerprint);
    return members === undefined
      ? undefined
      : new Map(members.map((each) => [each, this.#since('clustertrustbundles', each)]));
  }

  /** A sidecar of the version before names its bundle by a fingerprint alone. */
  #reported({ authorities, bundleFingerprint }: StatusReport): readonly string[] {
    if (authorities !== undefined) return authorities;
    const current = this.#deps.trust.current();
    return current?.fingerprint === bundleFingerprint ? current.members.map(fingerprint) : [];
  }

  #files(name: string, secretKey: string, held: Held | undefined, issuer: string): Peer {
    const since = (mark: string): Date => this.#since(secretKey, mark);
    return {
      name,
      kind: 'files',
      trusts: held === undefined ? undefined : new Map(held.bundle.map((each) => [each, since(each)])),
      mine: held?.issuer === issuer,
      signedBy: held?.keyId === undefined ? undefined : { keyId: held.keyId, since: since(held.keyId) },
    };
  }

  /** Kept in memory: an operator that starts anew waits anew, which costs time and nothing else. */
  #since(secretKey: string, mark: string): Date {
    const marks = this.#firstSeen.get(secretKey) ?? new Map<string, Date>();
    this.#firstSeen.set(secretKey, marks);
    const known = marks.get(mark) ?? this.#deps.clock.now();
    marks.set(mark, known);
    return known;
  }

  #held(secret: Secret): Held | undefined {
    const known = this.#read.get(secret) ?? this.#readNew(secret);
    this.#read.set(secret, known);
    return known === 'unreadable' ? undefined : known;
  }

  #readNew(secret: Secret): Held | 'unreadable' {
    try {
      const [leaf] = parseCertificates(dataOf(secret, secretKeys.certificate));
      if (leaf === undefined) return 'unreadable';
      return { ...factsOf(leaf, secret), bundle: this.#members(dataOf(secret, secretKeys.trustBundle)) };
    } catch {
      // What is no certificate is made anew by operator/certificates, which says so.
      return 'unreadable';
    }
  }

  #members(text: string): readonly string[] {
    const known = this.#bundles.get(text) ?? parseCertificates(text).map(fingerprint);
    if (this.#bundles.size > 50) this.#bundles.clear();
    this.#bundles.set(text, known);
    return known;
  }
}

function factsOf(leaf: X509Certificate, secret: Secret): Omit<Held, 'bundle'> {
  return {
    issuer: secret.metadata.annotations?.[written.issuer] ?? '',
    serial: leaf.serialNumber,
    keyId: authorityKeyIdOf(leaf.raw),
    notAfter: leaf.validToDate,
  };
}

function isLive(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp === undefined && !isFinished(pod);
}

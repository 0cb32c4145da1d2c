// What the caches and the sidecars' reports tell about the certificates of pods. No I/O.
import { certificateSecretName, written } from '../../lib/api/contract.ts';
import { plainSerial } from '../../lib/api/revocations.ts';
import type { TLSRevocationSpec } from '../../lib/api/tlsrevocation.ts';
import type { Pod, Secret } from '../../lib/kube/object.ts';
import type { Store } from '../../lib/kube/store.ts';
import { serviceKeyOf } from '../certificates/cluster.ts';
import { certificatesIn, type KnownCertificate } from './known.ts';
import type { PodView } from './resolve.ts';

/** Where it is read from. */
export interface ViewSources {
  /** Injected pods. */
  readonly pods: Store<Pod>;
  /** Certificate Secrets. */
  readonly secrets: Store<Secret>;
  readonly reports: ReportedSerials;
}

/** The part of the sidecars' reports that is looked at. */
export interface ReportedSerials {
  ofPod(podUid: string): { readonly report: { readonly serial: string; readonly notAfter: string } } | undefined;
}

/** The pod that a revocation names; undefined when there is no injected pod of that name (and uid). */
export function podView(sources: ViewSources, named: NonNullable<TLSRevocationSpec['pod']>): PodView | undefined {
  const pod = sources.pods.get(`${named.namespace}/${named.name}`);
  const service = pod === undefined ? undefined : serviceKeyOf(pod);
  if (pod === undefined || service === undefined) return undefined;
  if (named.uid !== undefined && named.uid !== pod.metadata.uid) return undefined;
  return {
    certificates: certificatesOf(sources, service),
    reported: sources.reports.ofPod(pod.metadata.uid)?.report.serial,
  };
}

/** The certificates of `<namespace>/<service>` that its Secret tells of. */
export function certificatesOf({ secrets }: Pick<ViewSources, 'secrets'>, key: string): readonly KnownCertificate[] {
  const [namespace = '', service = ''] = key.split('/');
  const secret = secrets.get(`${namespace}/${certificateSecretName(service)}`);
  return secret === undefined ? [] : certificatesIn(secret);
}

/** A certificate with the service that it was issued to. */
export interface OwnedCertificate extends KnownCertificate {
  /** `<namespace>/<service>`. */
  readonly service: string;
}

/** What Secrets tell of the certificates with these serials. */
export function findSerials({ secrets }: Pick<ViewSources, 'secrets'>, serials: ReadonlySet<string>) {
  const found = new Map<string, OwnedCertificate>();
  if (serials.size === 0) return found;
  for (const secret of secrets.list()) {
    const { namespace = '', name, annotations = {} } = secret.metadata;
    const service = name.slice(certificateSecretName('').length);
    // Reading thousands of certificates for each change would take long; what they say first is in the annotations.
    if (!mayHold(annotations, serials)) continue;
    for (const each of certificatesIn(secret)) {
      const serial = plainSerial(each.serial);
      if (serials.has(serial)) found.set(serial, { ...each, service: `${namespace}/${service}` });
    }
  }
  return found;
}

function mayHold(annotations: Readonly<Record<string, string>>, serials: ReadonlySet<string>): boolean {
  const current = annotations[written.serial];
  if (current !== undefined && serials.has(plainSerial(current))) return true;
  const previous = annotations[written.previousSerials];
  return previous?.split(',').some((text) => serials.has(plainSerial(text.split('/')[0] ?? ''))) === true;
}

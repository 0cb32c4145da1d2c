// What a TLSRevocation means: an identity, or serials. A pod stands for the certificates of its service that are in their time and for
// what its sidecar reported; the leader writes them down, since from then on the service has a fresh one that is not meant. Pure.
import { plainSerial } from '../../lib/api/revocations.ts';
import type { TLSRevocation } from '../../lib/api/tlsrevocation.ts';
import type { KnownCertificate } from './known.ts';

/** What is known of the pod that is revoked. */
export interface PodView {
  /** Certificates of its service (known.ts). */
  readonly certificates: readonly KnownCertificate[];
  /** Serial that its sidecar reported last; empty or undefined when it reported none. */
  readonly reported: string | undefined;
}

/** What is revoked. */
export interface Resolution {
  readonly identity: string | undefined;
  /** Upper-case hex, sorted. */
  readonly serials: readonly string[];
  /** Whether the serials are written down in the status: only then are fresh certificates issued in their place. */
  readonly recorded: boolean;
}

/** What an object means. `pod`: what is known of the pod that it names; undefined when there is none. */
export function resolve({ metadata, spec, status }: TLSRevocation, pod: PodView | undefined): Resolution {
  if (spec.identity !== undefined) return { identity: spec.identity, serials: [], recorded: true };
  if (spec.serial !== undefined) return { identity: undefined, serials: [spec.serial], recorded: true };
  const recorded = status?.serials ?? [];
  if (recorded.length > 0) return { identity: undefined, serials: recorded, recorded: true };
  const before = Date.parse(metadata.creationTimestamp);
  // A Secret may have been seen sooner than the status that led to it: what is not clearly older is left to the leader.
  const certificates = (pod?.certificates ?? []).filter(
    ({ issuedAt }) => issuedAt === undefined || issuedAt.getTime() < before,
  );
  const reported = (pod?.certificates ?? []).some(
    ({ serial, issuedAt }) => issuedAt !== undefined && issuedAt.getTime() >= before && serial === pod?.reported,
  )
    ? undefined
    : pod?.reported;
  return { identity: undefined, serials: serialsOf(certificates, reported), recorded: false };
}

/** The serials to write down for a pod: nothing fresh has been issued before they are. */
export function serialsToRecord({ certificates, reported }: PodView): readonly string[] {
  return serialsOf(certificates, reported);
}

function serialsOf(certificates: readonly KnownCertificate[], reported: string | undefined): readonly string[] {
  const all = [...certificates.map(({ serial }) => serial), ...(reported === undefined ? [] : [reported])];
  return [...new Set(all.map(plainSerial))].filter((serial) => serial !== '').sort();
}

// What the planner looks at: everything that bears on one service's certificate at one moment. Data only.
import type { KeyAlgorithm, OwnerReference } from '../../lib/api/tlspolicy.ts';
import type { KeystoreState } from '../delivery/keystores.ts';
import type { IssuerState } from '../issuers/issuer.ts';
import type { OpenOrder } from '../issuers/orders.ts';

/** How the certificate should be. */
export interface Wanted {
  /** Name of a TLSIssuer. */
  readonly issuer: string;
  /** SPIFFE URI; empty for a certificate without an identity, of an issuer outside of the mesh. */
  readonly uri: string;
  /** Sorted, without repeats. */
  readonly dnsNames: readonly string[];
  readonly key: KeyAlgorithm;
  readonly lifetimeMs: number;
  /** Percent of the lifetime. */
  readonly renewAt: number;
  /** The workloads of the service's pods; undefined when they could not be found out just now. */
  readonly owners: readonly OwnerReference[] | undefined;
}

/** What a certificate says, read from the certificate itself. */
export interface CertificateFacts {
  /** Upper-case hex. */
  readonly serial: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly key: KeyAlgorithm | undefined;
  readonly uris: readonly string[];
  /** Sorted. */
  readonly dnsNames: readonly string[];
  /** Names of any other kind. */
  readonly otherNames: number;
  /** Key id of the CA that signed it, upper-case hex. */
  readonly authorityKeyId: string | undefined;
}

/** What lies under the Secret's name now. */
export type CurrentSecret =
  | { readonly kind: 'absent' }
  /** Somebody else's: without our label, or of another service. */
  | { readonly kind: 'foreign' }
  /** Ours, but no certificate with its key. `recreate`: its type is one that cannot be changed in place. */
  | {
      readonly kind: 'broken';
      readonly detail: string;
      readonly recreate: boolean;
      readonly owners: readonly OwnerReference[];
    }
  | {
      readonly kind: 'held';
      readonly facts: CertificateFacts;
      /** Name of the TLSIssuer, as recorded when it was written. */
      readonly issuer: string;
      /** Lifetime that was asked for, as recorded; undefined when it was not. */
      readonly lifetimeMs: number | undefined;
      /** When it was to be renewed, as recorded. */
      readonly renewAt: Date | undefined;
      /** SHA-256 of ca.crt as a set; undefined when it cannot be read. */
      readonly bundleFingerprint: string | undefined;
      /** Whether it chains to a CA of the issuer's bundle. */
      readonly trusted: boolean;
      readonly owners: readonly OwnerReference[];
    };

/** Tries that failed in a row. */
export interface Failure {
  readonly count: number;
  readonly lastAt: Date;
  /** The API server asked not to come back before. */
  readonly notBefore?: Date;
  /** What was wanted when it failed (`wantedKey`): a change of what is wanted ends the waiting. */
  readonly wantedKey: string;
  readonly message: string;
}

/** One service at one moment. */
export interface Snapshot {
  readonly now: Date;
  /** `<namespace>/<service>`. */
  readonly key: string;
  /** Live injected pods: neither finished nor being deleted. */
  readonly pods: number;
  /** Pods that are being deleted: they have what they need and still use it. */
  readonly leaving: number;
  /** Live pods with certificates of their own: they need no Secret, and are not among `pods`. None when absent. */
  readonly podCertificates?: number;
  /** The policy wants no key in a Secret. */
  readonly refusesSecret?: boolean;
  /** Since when there is no pod at all, as far as this process has seen; undefined while there are. */
  readonly idleSince: Date | undefined;
  /** Undefined when there are no pods to want anything. */
  readonly wanted: Wanted | undefined;
  readonly current: CurrentSecret;
  /** The issuer of `wanted`, or the recorded one when nothing is wanted. */
  readonly issuer: IssuerState;
  readonly failure: Failure | undefined;
  /** When its CA wants the certificate to be renewed, if it says so (RFC 9773). */
  readonly advisedAt?: Date | undefined;
  /** An order that was placed for the service and has brought nothing yet. */
  readonly order?: OpenOrder | undefined;
  /** Names of the TLSRevocations by which its identity, or the certificate that it has, is revoked. */
  readonly revoked?: { readonly identity: string | undefined; readonly serial: string | undefined };
  /** Whether the keystores beside the certificate are as they should be. */
  readonly keystores: KeystoreState;
}

/** What a failure was about: equal keys mean that the same certificate was asked for. */
export function wantedKey({ issuer, uri, dnsNames, key, lifetimeMs }: Wanted): string {
  return JSON.stringify([issuer, uri, dnsNames, key, lifetimeMs]);
}

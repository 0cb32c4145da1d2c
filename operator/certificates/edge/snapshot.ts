// What the planner of edge certificates looks at: everything that bears on one service's at one moment. Data only.
import type { KeyAlgorithm, OwnerReference } from '../../../lib/api/tlspolicy.ts';
import type { IssuerState } from '../../issuers/issuer.ts';
import type { OpenOrder } from '../../issuers/orders.ts';
import type { CertificateFacts, Failure } from '../snapshot.ts';

/** How the edge certificate should be. */
export interface WantedEdge {
  /** Name of a TLSIssuer. */
  readonly issuer: string;
  /** Lower case, sorted, without repeats. */
  readonly dnsNames: readonly string[];
  readonly key: KeyAlgorithm;
  /** Percent of its life, where the CA does not say when. */
  readonly renewAt: number;
}

/** What lies under the Secret's name now. */
export type CurrentEdge =
  | { readonly kind: 'absent' }
  | { readonly kind: 'foreign' }
  /** Ours, but no certificate with its key. */
  | { readonly kind: 'broken'; readonly detail: string }
  | {
      readonly kind: 'held';
      readonly facts: CertificateFacts;
      /** Name of the TLSIssuer, as recorded when it was written. */
      readonly issuer: string;
      /** PEM, leaf first. */
      readonly chain: string;
      readonly owners: readonly OwnerReference[];
    };

/** One service at one moment. */
export interface EdgeSnapshot {
  readonly now: Date;
  /** `<namespace>/<service>`. */
  readonly key: string;
  /** Live pods with a sidecar. */
  readonly pods: number;
  /** Those of them that speak to the control API. */
  readonly reporting: number;
  /** Undefined when the policy asks for none, or there are no pods. */
  readonly wanted: WantedEdge | undefined;
  /** What is wrong with what the policy asks for. */
  readonly fault: string | undefined;
  readonly current: CurrentEdge;
  readonly issuer: IssuerState;
  /** When the CA wants the certificate to be renewed, if it says so. */
  readonly advisedAt: Date | undefined;
  readonly failure: Failure | undefined;
  /** An order that was placed for the service and has brought nothing yet. */
  readonly order?: OpenOrder | undefined;
  /** Names of the TLSRevocations by which the service's identity, or this very certificate, is revoked. */
  readonly revoked?: { readonly identity: string | undefined; readonly serial: string | undefined };
}

/** What a failure was about: equal keys mean that the same certificate was asked for. */
export function wantedEdgeKey({ issuer, dnsNames, key }: WantedEdge): string {
  return JSON.stringify([issuer, dnsNames, key]);
}

// The port to whoever signs leaves. What is behind it (the CA in memory, Vault, an ACME server, a Kubernetes signer) decides
// neither when to issue nor what to ask for: that is operator/certificates.
import type { KeyObject } from 'node:crypto';
import type { RotationStatus, TLSIssuerStatus } from '../../lib/api/tlsissuer.ts';
import type { Identity } from '../../lib/pki/identity.ts';

/** What a leaf is to state. The key pair was made for it and is used for nothing else. */
export interface LeafOrder {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
  readonly identity: Identity;
  readonly dnsNames: readonly string[];
  readonly lifetimeMs: number;
  readonly now: Date;
  /** PEM of the certificate that the new one takes the place of; for issuers that wish to know (RFC 9773 section 5). */
  readonly replaces?: string;
  /** Told, by a slow issuer, what the order waits for now: a sentence for a person. */
  readonly waits?: (why: string) => void;
}

/** The same, where somebody else holds the private key. `request` (PKCS#10, DER) proves that and names nothing. */
export interface KeylessOrder extends Omit<LeafOrder, 'privateKey'> {
  readonly request: Buffer;
}

/** A signed leaf. `chain` is PEM: the leaf, then intermediates up to a CA of the trust bundle, without that CA. */
export interface SignedLeaf {
  readonly chain: string;
  /** Upper-case hex. */
  readonly serial: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Key id of the CA, upper-case hex. Given only where the leaf was put together in this process: it says exactly what was ordered. */
  readonly authorityKeyId?: string;
}

/** Whether an issuer can sign now, and what its leaves will show. */
export type IssuerState =
  | {
      readonly ready: true;
      /** Subject key id of the signing CA, upper-case hex: the AKI of every leaf signed now. Undefined: any CA may sign. */
      readonly keyId: string | undefined;
      /** No leaf outlives it. */
      readonly notAfter: Date;
      /** No leaf lasts longer; absent = the CA's end alone is the limit. */
      readonly longestLifetimeMs?: number;
      /**
       * PEM of the CAs that peers of its leaves must trust, and their fingerprint as a set: the issuer's own here, everything
       * that the mesh trusts once it comes through Issuers.
       */
      readonly trustBundle: string;
      readonly bundleFingerprint: string;
      /** Whether its leaves carry an identity of the mesh; false for a CA that signs DNS names alone. */
      readonly mesh: boolean;
      /** The CAs by their roles and how far a change of CA has come, for TLSIssuer.status, of signers elsewhere. */
      readonly authorities?: TLSIssuerStatus['authorities'];
      readonly rotation?: RotationStatus;
    }
  | {
      readonly ready: false;
      readonly reason: 'IssuerMissing' | 'IssuerNotReady';
      readonly message: string;
      /** One word for the class of the fault, as the reason of the TLSIssuer's own condition; `NotReady` without. */
      readonly fault?: string;
    };

/** One TLSIssuer at work. */
export interface Issuer {
  /** Its orders may wait for somebody else, a person even, for hours: nobody stands by meanwhile (orders.ts). */
  readonly slow?: boolean;
  state(now: Date): IssuerState;
  /** Rejects with an AppError when it cannot sign; `retryable` says whether later may do. */
  sign(order: LeafOrder, signal: AbortSignal): Promise<SignedLeaf>;
  /** As `sign`, for a key that stays with its holder. Absent where only keys that were made here can be signed for. */
  signFor?(order: KeylessOrder, signal: AbortSignal): Promise<SignedLeaf>;
}

/** An issuer with a life of its own: it looks after its health, its CA and its credentials until the signal is aborted. */
export interface RunningIssuer extends Issuer {
  run(signal: AbortSignal): Promise<void>;
}

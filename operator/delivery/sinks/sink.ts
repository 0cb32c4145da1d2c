// The port behind which stores outside of the cluster lie, and what goes there. Pure but for the error class.
import { secretKeys } from '../../../lib/api/contract.ts';
import { AppError } from '../../../lib/errors.ts';

/** A certificate with its key, to be kept under a name. */
export interface Publishable {
  /** `<prefix>/<namespace>/<service>`. */
  readonly name: string;
  /** SPIFFE URI of who it is for. */
  readonly identity: string;
  /** JSON of the members below, always in the same order: equal certificates are equal texts. */
  readonly value: string;
}

/** A store outside of the cluster. */
export interface Sink {
  /** Keeps it there. Rejects with SinkError, or with the signal's reason. */
  publish(item: Publishable, signal: AbortSignal): Promise<'written' | 'unchanged'>;
  close(): Promise<void>;
}

/** Why a store does not hold what it should. Reason of events and label of the metric. */
export type SinkReason =
  | 'SinkMissing' // the policy names a sink that its issuer does not have
  | 'CredentialMissing' // the Secret with the credentials is not there or lacks a key
  | 'NotOurs' // something that Tabard did not make has the name
  | 'BeingDeleted'
  | 'TooLarge'
  | 'Refused' // the store does not know us, or does not let us
  | 'Failed'; // it could not be reached or did not do it

/** A publication that did not come about. The message never holds any of the value. */
export class SinkError extends AppError {
  readonly reason: SinkReason;

  constructor(reason: SinkReason, message: string, cause?: unknown) {
    super('delivery_failed', message, { retryable: true, cause });
    this.name = 'SinkError';
    this.reason = reason;
  }
}

/** What is published of a certificate Secret. */
export interface CertificateTexts {
  readonly certificate: string;
  readonly key: string;
  readonly trustBundle: string;
  /** Upper-case hex. */
  readonly serial: string;
  /** RFC 3339. */
  readonly notAfter: string;
}

/** The one value that a store holds: everything changes together. */
export function valueOf({ certificate, key, trustBundle, serial, notAfter }: CertificateTexts): string {
  return JSON.stringify({
    [secretKeys.certificate]: certificate,
    [secretKeys.key]: key,
    [secretKeys.trustBundle]: trustBundle,
    serial,
    notAfter,
  });
}

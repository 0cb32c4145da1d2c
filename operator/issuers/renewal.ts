// The port to issuers that say when a certificate is to be renewed. Only some do; for others the policy's `renewAt` holds alone.
import type { Issuer } from './issuer.ts';

/** What an issuer says of one certificate. */
export interface Renewal {
  readonly renewAt: Date;
  /** How long until it is to be asked again, milliseconds. */
  readonly againMs: number;
  /** A page for people that says why, if there is one. */
  readonly explanation?: string;
}

/** An issuer that can be asked. */
export interface RenewalAdvice {
  /** For a chain that it issued (PEM, leaf first). Undefined when it has nothing to say; rejects with an AppError when it fails. */
  renewal(chain: string, signal: AbortSignal): Promise<Renewal | undefined>;
}

/** Whether an issuer can be asked. */
export function advisesRenewal(issuer: Issuer): issuer is Issuer & RenewalAdvice {
  return 'renewal' in issuer;
}

// The port to issuers that can be told that one of their leaves is not to be trusted any more. What sidecars do about it never waits for
// this: it is for those who ask the CA itself, by its list or its responder.
import type { RevocationReason } from '../../lib/api/tlsrevocation.ts';
import type { Issuer } from './issuer.ts';

/** A leaf that is revoked. */
export interface RevokedLeaf {
  /** Upper-case hex. */
  readonly serial: string;
  /** DER, where it is still known. */
  readonly certificate: Buffer | undefined;
  readonly reason: RevocationReason;
}

/** Why a CA will never revoke a leaf, whenever it is asked. */
export interface Unrevocable {
  readonly never: string;
}

/** An issuer that can be told. */
export interface Revoking {
  /** Resolves when the CA has revoked it, also if it had before; rejects with an AppError when it did not, and may be asked again. */
  revoke(leaf: RevokedLeaf, signal: AbortSignal): Promise<Unrevocable | undefined>;
}

/** Whether an issuer can be told. */
export function canRevoke(issuer: Issuer): issuer is Issuer & Revoking {
  return 'revoke' in issuer;
}

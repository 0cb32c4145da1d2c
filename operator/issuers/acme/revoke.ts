// Revoking a certificate at an ACME server (RFC 8555 section 7.6), as the account that ordered it.
import { reasonCodes } from '../../../lib/pki/crl.ts';
import type { RevokedLeaf, Unrevocable } from '../revoke.ts';
import { AcmeError } from './problem.ts';
import type { AcmeSession, Signer } from './session.ts';

/** Has a leaf revoked. Rejects with an AcmeError, or the signal's reason. */
export async function revokeAt(
  { session, signer }: { readonly session: AcmeSession; readonly signer: Signer },
  { certificate, reason }: RevokedLeaf,
  signal: AbortSignal,
): Promise<Unrevocable | undefined> {
  if (certificate === undefined)
    return { never: 'an ACME server wants to see the certificate, and it is known no longer' };
  const { revokeCert: url } = await session.directory(signal);
  if (url === undefined) return { never: 'the ACME server revokes nothing' };
  const payload = { certificate: certificate.toString('base64url') };
  const code = reasonCodes[reason];
  const post = async (body: object): Promise<void> => {
    await session.post({ doing: 'revocation', url, signer, payload: body }, signal);
  };
  try {
    await (code === 0 ? post(payload) : post({ ...payload, reason: code }).catch(withoutReason));
  } catch (error) {
    if (!(error instanceof AcmeError) || error.type !== 'alreadyRevoked') throw error;
  }
  return undefined;

  /** A CA may have a mind of its own about reasons. */
  function withoutReason(error: unknown): Promise<void> {
    if (!(error instanceof AcmeError) || error.type !== 'badRevocationReason') throw error;
    return post(payload);
  }
}

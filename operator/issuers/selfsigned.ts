// Issuer `selfSigned`: signs in this process with the CA that lies in Tabard's own Secret. Takes about a millisecond.
import { AppError } from '../../lib/errors.ts';
import { issueLeaf } from '../../lib/pki/ca.ts';
import type { AuthoritySource } from '../authority/authority.ts';
import type { Issuer, IssuerState, LeafOrder, SignedLeaf } from './issuer.ts';

/** The issuer on top of a CA in memory. */
export class SelfSignedIssuer implements Issuer {
  readonly #source: AuthoritySource;

  constructor(source: AuthoritySource) {
    this.#source = source;
  }

  state(now: Date): IssuerState {
    const current = this.#source.current();
    if (current === undefined) return notReady('its CA is not made or not readable yet');
    const { notBefore, notAfter, keyId } = current.authority;
    if (now >= notAfter) return notReady(`its CA expired at ${notAfter.toISOString()}`);
    if (now < notBefore) return notReady(`its CA is valid from ${notBefore.toISOString()}; check the clocks`);
    const { trustBundle, bundleFingerprint } = current;
    return { ready: true, keyId, notAfter, trustBundle, bundleFingerprint, mesh: true };
  }

  sign(order: LeafOrder): Promise<SignedLeaf> {
    const current = this.#source.current();
    if (current === undefined) {
      return Promise.reject(new AppError('pki_invalid', 'the CA is not made or not readable yet', { retryable: true }));
    }
    const { publicKey, identity, dnsNames, lifetimeMs, now } = order;
    const leaf = issueLeaf({ authority: current.authority, publicKey, identity, dnsNames, lifetimeMs, now });
    const { certificate: chain, serial, notBefore, notAfter } = leaf;
    return Promise.resolve({ chain, serial, notBefore, notAfter });
  }
}

function notReady(why: string): IssuerState {
  return { ready: false, reason: 'IssuerNotReady', message: why };
}

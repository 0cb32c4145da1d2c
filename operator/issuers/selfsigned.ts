// Issuers `selfSigned` and `ca`: sign in this process with the CA that lies in Tabard's own Secret. Takes about a millisecond. Which CA
// that is, and when another one takes its place, is decided in operator/authority.
import { AppError } from '../../lib/errors.ts';
import { BACKDATE_MS, issueLeaf } from '../../lib/pki/ca.ts';
import { aborted } from '../../lib/runtime/signals.ts';
import type { AuthoritySource } from '../authority/authority.ts';
import type { Issuer, IssuerState, KeylessOrder, LeafOrder, RunningIssuer, SignedLeaf } from './issuer.ts';

/** A leaf may last this part of its CA's life at most, so that one CA sees many generations of leaves and can be followed in time. */
const leafPart = 6;

/** Where leaves say that the list of a CA is, by its key id; undefined = they do not say. */
export type CrlUrl = (keyId: string) => string | undefined;

/** The issuer on top of a CA in memory. */
export class SelfSignedIssuer implements Issuer {
  readonly #source: AuthoritySource;
  readonly #crlUrl: CrlUrl;

  constructor(source: AuthoritySource, crlUrl: CrlUrl = () => undefined) {
    this.#source = source;
    this.#crlUrl = crlUrl;
  }

  state(now: Date): IssuerState {
    const current = this.#source.current();
    if (current === undefined) return notReady('its CA is not made or not readable yet', 'AuthorityMissing');
    const { notBefore, notAfter, keyId } = current.authority;
    if (now >= notAfter) return notReady(`its CA expired at ${notAfter.toISOString()}`, 'AuthorityExpired');
    if (now < notBefore) {
      return notReady(`its CA is valid from ${notBefore.toISOString()}; check the clocks`, 'AuthorityNotYetValid');
    }
    const { trustBundle, bundleFingerprint } = current;
    const lifeMs = notAfter.getTime() - notBefore.getTime() - BACKDATE_MS;
    const longestLifetimeMs = Math.max(1_000, Math.floor(lifeMs / leafPart / 1_000) * 1_000);
    return { ready: true, keyId, notAfter, trustBundle, bundleFingerprint, longestLifetimeMs, mesh: true };
  }

  sign(order: LeafOrder): Promise<SignedLeaf> {
    return this.#sign(order);
  }

  signFor(order: KeylessOrder): Promise<SignedLeaf> {
    return this.#sign(order);
  }

  #sign(order: Omit<LeafOrder, 'privateKey'>): Promise<SignedLeaf> {
    const current = this.#source.current();
    if (current === undefined) {
      return Promise.reject(new AppError('pki_invalid', 'the CA is not made or not readable yet', { retryable: true }));
    }
    const { publicKey, identity, dnsNames, lifetimeMs, now } = order;
    const { authority } = current;
    const crlUrl = this.#crlUrl(authority.keyId);
    const leaf = issueLeaf({
      authority,
      publicKey,
      identity,
      dnsNames,
      lifetimeMs,
      now,
      ...(crlUrl === undefined ? {} : { crlUrl }),
    });
    const { certificate, serial, notBefore, notAfter } = leaf;
    const chain = certificate + current.chain;
    return Promise.resolve({ chain, serial, notBefore, notAfter, authorityKeyId: authority.keyId });
  }
}

/** The issuer of a TLSIssuer object of kind selfSigned or ca; `source` holds its CAs. */
export function createAuthorityIssuer(source: AuthoritySource, changed: () => void, crlUrl?: CrlUrl): RunningIssuer {
  const issuer = new SelfSignedIssuer(source, crlUrl);
  return {
    state: (now) => issuer.state(now),
    sign: (order) => issuer.sign(order),
    signFor: (order) => issuer.signFor(order),
    run: async (signal) => {
      const leave = source.subscribe(changed);
      await aborted(signal);
      leave();
    },
  };
}

function notReady(why: string, fault: string): IssuerState {
  return { ready: false, reason: 'IssuerNotReady', message: why, fault };
}

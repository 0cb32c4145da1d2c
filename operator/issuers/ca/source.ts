// Where issuers of kind `ca` find the CA that is offered to them now. For a Secret that is the cache of Tabard's own namespace;
// other stores are asked by an issuer's own loop and put what they found here.
import { secretKeys } from '../../../lib/api/contract.ts';
import type { TLSIssuer } from '../../../lib/api/tlsissuer.ts';
import type { Secret } from '../../../lib/kube/object.ts';
import type { Store } from '../../../lib/kube/store.ts';
import { judgeOffer, type Offer, type OfferTexts, refused } from './offer.ts';

export interface OffersDeps {
  /** All Secrets of Tabard's own namespace. */
  readonly ownSecrets: Store<Secret>;
  /** All issuers, to know whom a Secret concerns. */
  readonly issuers: Store<TLSIssuer>;
  readonly namespace: string;
  readonly trustDomain: string;
}

interface Judged {
  readonly texts: OfferTexts;
  readonly offer: Offer;
  readonly untilMs: number;
}

/** The offers of all issuers of kind `ca`. */
export class CaOffers {
  readonly #deps: OffersDeps;
  readonly #listeners = new Set<(issuer: string) => void>();
  /** From elsewhere than Secrets: what was read last, or why it could not be. */
  readonly #elsewhere = new Map<string, OfferTexts | Offer>();
  readonly #judged = new Map<string, Judged>();

  constructor(deps: OffersDeps) {
    this.#deps = deps;
  }

  /** What is offered to an issuer now; undefined when it is not of kind `ca`. */
  of({ metadata: { name }, spec }: TLSIssuer, now: Date): Offer | undefined {
    if (spec.ca === undefined) return undefined;
    const found = spec.ca.secretRef === undefined ? this.#elsewhere.get(name) : this.#inSecret(spec.ca.secretRef.name);
    if (found === undefined) return refused('AuthorityMissing', 'its CA was not read yet');
    return 'kind' in found ? found : this.#judge(name, found, now);
  }

  /** What was read of a store that is no Secret: the texts, or why there are none. */
  put(issuer: string, found: OfferTexts | Offer): void {
    this.#elsewhere.set(issuer, found);
    for (const listener of this.#listeners) listener(issuer);
  }

  /** Told the name of an issuer to which something else may be offered. Returns the function that ends it. */
  subscribe(listener: (issuer: string) => void): () => void {
    this.#listeners.add(listener);
    const leave = this.#deps.ownSecrets.subscribe((before, after) => {
      const secret = (after ?? before)?.metadata.name;
      for (const { metadata, spec } of this.#deps.issuers.list()) {
        if (secret !== undefined && spec.ca?.secretRef?.name === secret) listener(metadata.name);
      }
    });
    return () => {
      this.#listeners.delete(listener);
      leave();
    };
  }

  #inSecret(name: string): OfferTexts | Offer {
    const { ownSecrets, namespace } = this.#deps;
    const secret = ownSecrets.get(`${namespace}/${name}`);
    if (secret === undefined)
      return refused('AuthorityMissing', `there is no Secret "${name}" in namespace ${namespace}`);
    const text = (key: string): string => Buffer.from(secret.data?.[key] ?? '', 'base64').toString('utf8');
    return {
      certificate: text(secretKeys.certificate),
      key: text(secretKeys.key),
      bundle: text(secretKeys.trustBundle),
    };
  }

  /** Judging takes signatures; the same texts are judged again only when time may have changed the verdict. */
  #judge(issuer: string, texts: OfferTexts, now: Date): Offer {
    const known = this.#judged.get(issuer);
    const same = (['certificate', 'key', 'bundle'] as const).every((name) => known?.texts[name] === texts[name]);
    if (known !== undefined && same && now.getTime() < known.untilMs) return known.offer;
    const offer = judgeOffer(texts, this.#deps.trustDomain, now);
    const lifeEnds = offer.kind === 'good' ? offer.generation.authority.notAfter.getTime() : 0;
    const untilMs = offer.kind === 'good' ? Math.min(lifeEnds, now.getTime() + 60_000) : 0;
    this.#judged.set(issuer, { texts, offer, untilMs });
    return offer;
  }
}

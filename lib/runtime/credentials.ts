// A certificate with its key and trust bundle, judged before anything uses it, and the port through which a process
// gets the newest one. Judging is pure: text and time in, credentials or the reason why not out.
import { createHash, type X509Certificate } from 'node:crypto';
import { messageOf } from '../errors.ts';
import { parseCertificates } from '../pki/bundle.ts';
import { parsePrivateKey } from '../pki/keys.ts';
import { type Chain, keyMismatch, parseChain } from '../pki/pair.ts';
import { chainVerdict } from '../pki/verify.ts';

/** The three texts of a certificate Secret (lib/api/contract.ts, `secretKeys`), all PEM. */
export interface CredentialTexts {
  /** Leaf first, then its chain without the root. */
  readonly certificate: string;
  readonly key: string;
  /** Every CA that peers may chain to. */
  readonly trustBundle: string;
}

/** Texts that were judged good, and the facts of the leaf. */
export interface Credentials extends CredentialTexts {
  readonly leaf: X509Certificate;
  /** Upper-case hex, as X509Certificate shows it. */
  readonly serial: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SHA-256 (hex) over all three texts: equal means that nothing changed. */
  readonly fingerprint: string;
}

/** Why a set of texts was refused. Closed, so that it can be a metric label. */
export type CredentialFault =
  | 'unreadable' // a file is missing or cannot be read
  | 'certificate_invalid' // no certificate, or one that does not parse
  | 'key_invalid' // no private key, or one that does not parse
  | 'key_mismatch' // the key belongs to another certificate
  | 'bundle_invalid' // no CA in the trust bundle, or one that does not parse
  | 'unknown_ca' // the chain leads to no CA of the trust bundle
  | 'not_yet_valid'
  | 'expired';

/** The outcome of judging. `detail` is a sentence for a log line; it never holds key material. */
export type CredentialVerdict =
  | { readonly good: true; readonly credentials: Credentials }
  | { readonly good: false; readonly fault: CredentialFault; readonly detail: string };

/** Gives the newest good credentials. A set that was refused never replaces one that was good. */
export interface CertificateSource {
  /** `undefined` until the first good set was seen. It may have expired since; the caller looks at `notAfter`. */
  current(): Credentials | undefined;
  /** Calls `listener`, which must not throw, with each new good set from now on. Returns the function that ends it. */
  subscribe(listener: (credentials: Credentials) => void): () => void;
}

/** SHA-256 over the three texts. */
export function fingerprintOf(texts: CredentialTexts): string {
  const hash = createHash('sha256');
  for (const text of [texts.certificate, texts.key, texts.trustBundle]) hash.update(`${text.length}\n`).update(text);
  return hash.digest('hex');
}

/** A chain with its key that can be stood with, whoever trusts it, or why not. `detail` never holds key material. */
export type PairVerdict =
  | { readonly good: true; readonly chain: Chain }
  | { readonly good: false; readonly fault: CredentialFault; readonly detail: string };

/** Judges the two texts that are shown: both parse in the strict form, each certificate is followed by its CA, the key is the leaf's. */
export function judgePair(texts: Pick<CredentialTexts, 'certificate' | 'key'>): PairVerdict {
  const chain = attempt(() => parseChain(texts.certificate));
  if (!chain.done) return refuse('certificate_invalid', chain.detail);
  const key = attempt(() => parsePrivateKey(texts.key));
  if (!key.done) return refuse('key_invalid', key.detail);
  const mismatch = keyMismatch(chain.value, key.value);
  return mismatch === undefined ? { good: true, chain: chain.value } : refuse('key_mismatch', mismatch);
}

/**
 * Judges a set of texts at a moment: everything parses, the key is the leaf's, the chain leads to a CA of the bundle,
 * and all of it is within its time.
 */
export function judgeCredentials(texts: CredentialTexts, now: Date): CredentialVerdict {
  const pair = judgePair(texts);
  if (!pair.good) return pair;
  const bundle = attempt(() => parseCertificates(texts.trustBundle));
  if (!bundle.done) return refuse('bundle_invalid', bundle.detail);
  const { leaf } = pair.chain;
  const path = chainVerdict({ ...pair.chain, bundle: bundle.value, now });
  if (!path.ok) return refuse(path.reason, path.detail);
  const { serialNumber: serial, validFromDate: notBefore, validToDate: notAfter } = leaf;
  return {
    good: true,
    credentials: { ...texts, leaf, serial, notBefore, notAfter, fingerprint: fingerprintOf(texts) },
  };
}

/** Credentials kept in memory: for a process that signs its own, and for tests. */
export class MemoryCertificateSource implements CertificateSource {
  #current: Credentials | undefined;
  readonly #listeners = new Set<(credentials: Credentials) => void>();

  current(): Credentials | undefined {
    return this.#current;
  }

  subscribe(listener: (credentials: Credentials) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Judges the texts and, when they are good and new, makes them current and tells every listener. */
  offer(texts: CredentialTexts, now: Date): CredentialVerdict {
    const verdict = judgeCredentials(texts, now);
    if (!verdict.good || verdict.credentials.fingerprint === this.#current?.fingerprint) return verdict;
    this.#current = verdict.credentials;
    for (const listener of this.#listeners) listener(verdict.credentials);
    return verdict;
  }
}

function refuse(fault: CredentialFault, detail: string): Extract<PairVerdict, { readonly good: false }> {
  return { good: false, fault, detail };
}

type Attempt<T> = { readonly done: true; readonly value: T } | { readonly done: false; readonly detail: string };

function attempt<T>(parse: () => T): Attempt<T> {
  try {
    return { done: true, value: parse() };
  } catch (error) {
    return { done: false, detail: messageOf(error) };
  }
}

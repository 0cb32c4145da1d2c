// Judges a CA that somebody else keeps, before anything is made of it: the three texts of cert-manager's format, tls.crt (the CA's
// certificate, then those above it), tls.key and ca.crt (its root). What is not exactly right is refused with what is wrong and
// what to do, and the CA in use stays; nothing is repaired here, since a text that one reader repairs another misreads. Pure.
import { generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { AppError, messageOf } from '../../../lib/errors.ts';
import { parseCertificates } from '../../../lib/pki/bundle.ts';
import { issueLeaf } from '../../../lib/pki/ca.ts';
import { parsePrivateKey } from '../../../lib/pki/keys.ts';
import { absence, checkLength, checkStrict, labelsOf, pemLimits } from '../../../lib/pki/pem.ts';
import { chainVerdict } from '../../../lib/pki/verify.ts';
import { type Generation, generationFrom } from '../../authority/ring.ts';

/** The three texts. */
export interface OfferTexts {
  readonly certificate: string;
  readonly key: string;
  /** May be empty where the CA is self-signed. */
  readonly bundle: string;
}

/** Why an offered CA is not taken; the reason of the TLSIssuer's condition. */
export type OfferFault =
  | 'AuthorityMissing' // there is no Secret
  | 'AuthorityIncomplete' // a key of the Secret is missing or empty
  | 'AuthorityBroken' // a text is not what it should be, or they do not belong together
  | 'AuthorityExpired'
  | 'AuthorityNotYetValid';

/** The outcome. `message` never holds any of the key. */
export type Offer =
  | { readonly kind: 'good'; readonly generation: Generation }
  | { readonly kind: 'refused'; readonly reason: OfferFault; readonly message: string };

/** Judges a CA at a moment. */
export function judgeOffer(texts: OfferTexts, trustDomain: string, now: Date): Offer {
  const missing = (['certificate', 'key'] as const).find((name) => texts[name].trim() === '');
  if (missing !== undefined) {
    const key = missing === 'certificate' ? 'tls.crt' : 'tls.key';
    return refused(
      'AuthorityIncomplete',
      `${key} is missing or empty; it needs tls.crt, tls.key and, below another CA, ca.crt`,
    );
  }
  try {
    const generation = read(texts, trustDomain);
    const late = untimely(generation, now);
    if (late !== undefined) return late;
    tryOut(generation, trustDomain, now);
    return { kind: 'good', generation };
  } catch (error) {
    return refused('AuthorityBroken', messageOf(error));
  }
}

function read({ certificate, key, bundle }: OfferTexts, trustDomain: string): Generation {
  const path = certificatesIn('tls.crt', certificate);
  const privateKey = keyIn(key);
  const roots = bundle.trim() === '' ? [] : certificatesIn('ca.crt', bundle);
  checkOrder(path, privateKey);
  const generation = generationFrom({ certificate, key, roots, trustDomain });
  const isRoot = generation.anchors[0] === generation.path[0];
  if (!isRoot && bundle.trim() === '') {
    throw new AppError('pki_invalid', 'ca.crt is missing: this CA is below another one, whose root peers must trust');
  }
  return generation;
}

/** Strictly: a reader of ours that lets more pass would be asked to sign by what another one reads otherwise. */
function certificatesIn(name: string, text: string): readonly X509Certificate[] {
  checkLength(text, pemLimits.bundle, name);
  checkStrict(text, /^CERTIFICATE$/, name);
  if (labelsOf(text).length === 0) throw new AppError('pki_invalid', `${name} ${absence(text)}`);
  return parseCertificates(text);
}

function keyIn(text: string): KeyObject {
  try {
    return parsePrivateKey(text);
  } catch (error) {
    throw new AppError('pki_invalid', `tls.key: ${messageOf(error)}`);
  }
}

/** The CA's own certificate first, each following one above it: another order is a sign of texts that were put together blindly. */
function checkOrder(certificates: readonly X509Certificate[], privateKey: KeyObject): void {
  const own = certificates.findIndex((each) => each.checkPrivateKey(privateKey));
  if (own < 0) throw new AppError('pki_invalid', 'tls.key is not the key of the certificate in tls.crt');
  if (own > 0) {
    throw new AppError(
      'pki_invalid',
      `tls.crt is in the wrong order: the certificate of tls.key must be first, it is number ${own + 1}`,
    );
  }
  for (const [index, each] of certificates.entries()) {
    const above = certificates[index + 1];
    if (above === undefined || each.checkIssued(above)) continue;
    throw new AppError(
      'pki_invalid',
      `tls.crt is in the wrong order: certificate ${index + 1} was not issued by the one after it`,
    );
  }
}

/** Signs a leaf and judges it as a sidecar would: path lengths, name constraints and key strengths are what they are there. */
function tryOut(generation: Generation, trustDomain: string, now: Date): void {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const identity = { trustDomain, namespace: 'tabard', service: 'trial' };
  const { authority, path, anchors } = generation;
  const trial = issueLeaf({ authority, publicKey, identity, dnsNames: ['trial'], lifetimeMs: 60_000, now });
  const leaf = new X509Certificate(trial.certificate);
  const verdict = chainVerdict({ leaf, intermediates: path, bundle: anchors, now });
  if (!verdict.ok) throw new AppError('pki_invalid', `peers would refuse what this CA signs: ${verdict.detail}`);
}

function untimely({ path, anchors }: Generation, now: Date): Offer | undefined {
  for (const each of [...path, ...anchors]) {
    const name = `certificate ${each.serialNumber}`;
    if (now >= each.validToDate)
      return refused('AuthorityExpired', `${name} expired at ${each.validToDate.toISOString()}; renew it`);
    if (now < each.validFromDate)
      return refused(
        'AuthorityNotYetValid',
        `${name} is valid from ${each.validFromDate.toISOString()}; check the clocks`,
      );
  }
  return undefined;
}

/** An offer that is not taken. */
export function refused(reason: OfferFault, message: string): Offer {
  return { kind: 'refused', reason, message };
}

// A certificate with its chain and its key, as two texts of one Secret or folder: whether they can be stood with at all. Sidecars judge what they
// are about to show by it, the operator what lies in Secrets, so that both mean the same by "broken". Trust and time are not looked at.
import type { KeyObject, X509Certificate } from 'node:crypto';
import { AppError } from '../errors.ts';
import { parseCertificates } from './bundle.ts';
import { checkLength, checkStrict, pemLimits } from './pem.ts';

/** The leaf and, in order, the CAs above it that are shown with it. */
export interface Chain {
  readonly leaf: X509Certificate;
  readonly intermediates: readonly X509Certificate[];
}

/** The certificates of a chain file: the leaf first, each issued by the next, which is a CA. Throws AppError `pki_invalid`. */
export function parseChain(pem: string): Chain {
  checkLength(pem, pemLimits.chain, 'the certificate with its chain');
  checkStrict(pem, /^CERTIFICATE$/, 'the certificate with its chain');
  const [leaf, ...intermediates] = parseCertificates(pem);
  if (leaf === undefined) throw new AppError('pki_invalid', 'there is no PEM certificate in the text');
  const chain = [leaf, ...intermediates];
  for (const [at, above] of intermediates.entries()) {
    if (above.ca && chain[at]?.checkIssued(above) === true) continue;
    const order = 'the leaf comes first, then each CA after what it issued, and nothing else';
    throw new AppError('pki_invalid', `certificate ${at + 2} of the chain did not issue the one before it: ${order}`);
  }
  return { leaf, intermediates };
}

/** Why the key is not the leaf's, as a sentence; undefined when it is. */
export function keyMismatch({ leaf, intermediates }: Chain, key: KeyObject): string | undefined {
  if (leaf.checkPrivateKey(key)) return undefined;
  const other = intermediates.findIndex((each) => each.checkPrivateKey(key));
  const hint = other < 0 ? '' : `; it is that of certificate ${other + 2}, which must come first`;
  return `the key does not belong to certificate ${leaf.serialNumber}${hint}`;
}

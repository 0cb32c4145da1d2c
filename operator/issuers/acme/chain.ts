// Judges what a CA sent against what was asked for: our key, exactly our names, valid now, every certificate signed by the next.
// Whether the chain ends in a root that anybody trusts is for those who meet it. Pure.
import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { messageOf } from '../../../lib/errors.ts';
import { formatCertificates, parseCertificates } from '../../../lib/pki/bundle.ts';
import { parseAlternativeNames } from '../../../lib/pki/identity.ts';
import type { SignedLeaf } from '../issuer.ts';
import { AcmeError } from './problem.ts';

/** What was asked for. */
export interface ChainRequest {
  /** Either half of the leaf's key. */
  readonly key: KeyObject;
  readonly dnsNames: readonly string[];
  readonly now: Date;
}

/** A CA's clock may be ahead of ours by so much. */
const skewMs = 5 * 60_000;
const longestChain = 8;

/** The leaf with its chain. Throws AcmeError `CertificateWrong` that says in what it is not what was asked for. */
export function judgeChain(pem: string, request: ChainRequest): SignedLeaf {
  const [leaf, ...issuers] = read(pem);
  if (leaf === undefined) throw wrong('there is no certificate in it');
  if (issuers.length >= longestChain) throw wrong(`the chain has ${issuers.length + 1} certificates`);
  if (!ownKey(leaf, request.key)) throw wrong('its key is not ours');
  judgeNames(leaf, request.dnsNames);
  const { validFromDate: notBefore, validToDate: notAfter, serialNumber: serial } = leaf;
  if (leaf.ca) throw wrong('it is the certificate of a CA');
  if (notBefore.getTime() > request.now.getTime() + skewMs)
    throw wrong(`it is valid only from ${notBefore.toISOString()}`);
  if (notAfter <= request.now) throw wrong(`it expired at ${notAfter.toISOString()}`);
  let below = leaf;
  for (const issuer of issuers) {
    if (!issuer.ca || !below.checkIssued(issuer) || !below.verify(issuer.publicKey)) {
      throw wrong(`certificate ${below.serialNumber} is not signed by the one after it`);
    }
    below = issuer;
  }
  // A root at the end is of no use to anybody: who trusts it has it.
  const sent = [leaf, ...issuers.filter((issuer) => !issuer.checkIssued(issuer))];
  return { chain: formatCertificates(sent), serial, notBefore, notAfter };
}

function read(pem: string): readonly X509Certificate[] {
  try {
    return parseCertificates(pem);
  } catch (error) {
    throw wrong(messageOf(error));
  }
}

function ownKey(leaf: X509Certificate, key: KeyObject): boolean {
  const ours = key.type === 'private' ? createPublicKey(key.export({ type: 'pkcs8', format: 'pem' })) : key;
  return leaf.publicKey.equals(ours);
}

function judgeNames(leaf: X509Certificate, dnsNames: readonly string[]): void {
  const names = parseAlternativeNames(leaf.subjectAltName ?? '') ?? [];
  const other = names.find(({ kind }) => kind !== 'DNS');
  if (other !== undefined) throw wrong(`it names ${other.kind} ${other.value}, which was not asked for`);
  const found = [...new Set(names.map(({ value }) => value.toLowerCase()))].sort();
  const wanted = [...new Set(dnsNames.map((name) => name.toLowerCase()))].sort();
  if (found.join(' ') !== wanted.join(' ')) {
    throw wrong(`it names ${found.join(', ') || 'nothing'}, asked for was ${wanted.join(', ')}`);
  }
}

function wrong(why: string): AcmeError {
  return new AcmeError('CertificateWrong', `the certificate that the ACME server sent is not usable: ${why}`);
}

// Judges a certificate that somebody else signed against what was asked for, before it is used: our key, exactly our names, no longer
// than asked, good for both ends of a connection, signed by a CA that we know. Anything else is refused and never written. Pure.
import type { X509Certificate } from 'node:crypto';
import { formatDuration } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import { fingerprint, formatCertificates, parseCertificates } from '../../lib/pki/bundle.ts';
import { formatIdentity, parseAlternativeNames } from '../../lib/pki/identity.ts';
import { chainVerdict } from '../../lib/pki/verify.ts';
import { authorityKeyIdOf } from '../../lib/pki/x509.ts';
import type { KeylessOrder, SignedLeaf } from './issuer.ts';
import { IssuerError } from './problem.ts';

/** What came back and what it is judged by. */
export interface Judged {
  /** PEM: the leaf first, then what the signer sent with it. */
  readonly pem: string;
  readonly order: Omit<KeylessOrder, 'request'>;
  /** CAs up to the roots, from elsewhere than this answer. */
  readonly intermediates: readonly X509Certificate[];
  readonly anchors: readonly X509Certificate[];
  readonly now: Date;
}

/** A leaf that may be used. */
export interface Approved {
  readonly leaf: SignedLeaf;
  /** Key id of the CA that signed it, upper-case hex. */
  readonly keyId: string | undefined;
  /** The CA by which it is trusted, SHA-256. */
  readonly anchor: string;
}

/** The signer's clock may be ahead of ours by so much. */
const skewMs = 120_000;

/** The leaf with its chain. Throws IssuerError `CertificateNotAsAsked` that says in what it differs. */
export function judgeLeaf({ pem, order, intermediates, anchors, now }: Judged): Approved {
  const [leaf, ...sent] = read(pem);
  if (leaf === undefined) throw wrong('there is no certificate in it');
  if (!leaf.publicKey.equals(order.publicKey)) throw wrong('its key is not ours');
  if (leaf.ca) throw wrong('it is the certificate of a CA');
  judgeNames(leaf, order);
  judgeTimes(leaf, order, now);
  const chain = judgeChain(leaf, [...sent, ...intermediates], anchors, now);
  const [anchor, ...below] = [...chain].reverse();
  if (anchor === undefined) throw wrong('it has no chain');
  return {
    leaf: {
      chain: formatCertificates(below.reverse()),
      serial: leaf.serialNumber,
      notBefore: leaf.validFromDate,
      notAfter: leaf.validToDate,
    },
    keyId: authorityKeyIdOf(leaf.raw),
    anchor: fingerprint(anchor),
  };
}

function read(pem: string): readonly X509Certificate[] {
  try {
    return parseCertificates(pem);
  } catch (error) {
    throw wrong(messageOf(error));
  }
}

function judgeNames(leaf: X509Certificate, { identity, dnsNames }: Judged['order']): void {
  const names = parseAlternativeNames(leaf.subjectAltName ?? '') ?? [];
  const found = names.map(({ kind, value }) => `${kind}:${kind === 'DNS' ? value.toLowerCase() : value}`);
  const wanted = [`URI:${formatIdentity(identity)}`, ...dnsNames.map((name) => `DNS:${name}`)];
  const missing = wanted.filter((name) => !found.includes(name));
  const foreign = found.filter((name) => !wanted.includes(name));
  if (missing.length > 0) throw wrong(`it does not name ${missing.slice(0, 5).join(', ')}`);
  if (foreign.length > 0) throw wrong(`it names ${foreign.slice(0, 5).join(', ')}, which was not asked for`);
}

function judgeTimes(leaf: X509Certificate, { lifetimeMs }: Judged['order'], now: Date): void {
  const { validFromDate: from, validToDate: to } = leaf;
  if (from.getTime() > now.getTime() + skewMs) throw wrong(`it is valid only from ${from.toISOString()}`);
  if (to <= now) throw wrong(`it expired at ${to.toISOString()}`);
  if (to.getTime() > now.getTime() + lifetimeMs + skewMs) {
    throw wrong(`it is valid until ${to.toISOString()}; ${formatDuration(lifetimeMs)} was asked for`);
  }
}

/** Both ends of a connection show the same certificate, so the path must hold for both purposes. */
function judgeChain(
  leaf: X509Certificate,
  intermediates: readonly X509Certificate[],
  anchors: readonly X509Certificate[],
  now: Date,
): readonly X509Certificate[] {
  const asServer = chainVerdict({ leaf, intermediates, bundle: anchors, now, purpose: 'server' });
  if (!asServer.ok) throw wrong(asServer.detail);
  const asClient = chainVerdict({ leaf, intermediates, bundle: anchors, now, purpose: 'client' });
  if (!asClient.ok) throw wrong(asClient.detail);
  return asServer.chain;
}

function wrong(why: string): IssuerError {
  return new IssuerError('CertificateNotAsAsked', `the certificate that the signer sent is refused: ${why}`);
}

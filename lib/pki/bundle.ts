// Trust bundles: concatenated PEM certificates of every CA that peers may chain to. Parsing is by node:crypto, comparison by
// SHA-256 of the DER and never by name or position. Shared by the operator and the sidecars; pure.
import { createHash, X509Certificate } from 'node:crypto';
import { AppError, messageOf } from '../errors.ts';
import { absence, checkLength, labelsOf, pemLimits } from './pem.ts';

const block = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]*-----END CERTIFICATE-----/g;

/** More certificates than any bundle or chain of ours holds: a bound on the work that a hostile text can cause. */
const maximumCertificates = 100;

/**
 * Every certificate of a PEM text, in order, without repeats. Text between blocks is a comment (RFC 7468 section 2), and so is a byte order mark in
 * front; lines may end in CR LF. Throws AppError `pki_invalid` when there is none, when one does not parse, when there are over
 * a hundred, when the text is longer than any bundle, and when a private key lies in it: such a text goes to everybody.
 */
export function parseCertificates(pem: string): readonly X509Certificate[] {
  checkLength(pem, pemLimits.bundle, 'the text of certificates');
  if (labelsOf(pem).some((label) => label.endsWith('PRIVATE KEY'))) {
    throw new AppError('pki_invalid', 'there is a private key among the certificates; take it out and replace it');
  }
  const blocks = pem.match(block) ?? [];
  const begun = pem.split('-----BEGIN CERTIFICATE-----').length - 1;
  if (begun === 0) throw new AppError('pki_invalid', `there is no PEM certificate in the text: it ${absence(pem)}`);
  if (begun > maximumCertificates)
    throw new AppError('pki_invalid', `over ${maximumCertificates} certificates in one PEM`);
  if (begun !== blocks.length) throw new AppError('pki_invalid', 'a PEM certificate is cut short or garbled');
  const seen = new Map<string, X509Certificate>();
  for (const [index, text] of blocks.entries()) {
    const certificate = parseOne(text, index + 1);
    const key = fingerprint(certificate);
    if (!seen.has(key)) seen.set(key, certificate);
  }
  return [...seen.values()];
}

function parseOne(text: string, position: number): X509Certificate {
  const name = `certificate ${position} of the PEM`;
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(text);
  } catch (cause) {
    throw new AppError('pki_invalid', `${name} does not parse: ${messageOf(cause)}`, { cause });
  }
  // OpenSSL leaves out what comes after the certificate, others do not: two readers would see two texts.
  const stated = Buffer.from(text.replaceAll(/-----[A-Z ]+-----/g, ''), 'base64').length;
  if (stated !== certificate.raw.length) throw new AppError('pki_invalid', `${name} has bytes after its end`);
  return certificate;
}

/** Certificates as concatenated PEM, each block ending in a newline. */
export function formatCertificates(certificates: readonly X509Certificate[]): string {
  return certificates.map((certificate) => certificate.toString().trimEnd().concat('\n')).join('');
}

/** SHA-256 of a certificate's DER, lower-case hex. */
export function fingerprint(certificate: X509Certificate): string {
  return createHash('sha256').update(certificate.raw).digest('hex');
}

/** SHA-256 (lower-case hex) of a bundle as a set: equal for the same certificates in any order, repeated or not. */
export function bundleFingerprint(certificates: readonly X509Certificate[]): string {
  const members = [...new Set(certificates.map(fingerprint))].sort();
  return createHash('sha256').update(members.join('\n')).digest('hex');
}

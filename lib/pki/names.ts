// Names as certificates and requests write them: distinguished names and subject alternative names, and the ids of extensions.
import { AppError } from '../errors.ts';
import { addressBytes } from './address.ts';
import { der, type Node, oid, primitive, sequence, set, Type, tagged } from './asn1.ts';

/** Object identifiers of the extensions that Tabard writes or reads (RFC 5280 section 4.2). */
export const extensionIds = {
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  alternativeNames: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  crlNumber: '2.5.29.20',
  crlReason: '2.5.29.21',
  nameConstraints: '2.5.29.30',
  crlDistributionPoints: '2.5.29.31',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
} as const;

/** The names of a leaf. At least one in all. */
export interface AlternativeNames {
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
}

/** The empty distinguished name of a leaf, whose names are all in its critical SAN. */
export const emptyName: Buffer = der(sequence());

/** DER of the name `O=<organization>, CN=<common name>`; each at most 64 characters (RFC 5280 appendix A.1). */
export function distinguishedName(organization: string, commonName: string): Buffer {
  const part = (type: string, value: string): Node =>
    set(sequence(oid(type), primitive(Type.UTF8, Buffer.from(value, 'utf8'))));
  return der(sequence(part('2.5.4.10', organization), part('2.5.4.3', commonName)));
}

/** GeneralNames (RFC 5280 section 4.2.1.6). Throws AppError `pki_invalid` when there is none. */
export function alternativeNames({ uris, dnsNames, ipAddresses }: AlternativeNames): Node {
  const names = [
    ...uris.map((uri) => tagged(6, uri)),
    ...dnsNames.map((name) => tagged(2, name)),
    ...ipAddresses.map((address) => tagged(7, addressBytes(address).toString('latin1'))),
  ];
  if (names.length === 0) throw new AppError('pki_invalid', 'a leaf certificate needs at least one name');
  return sequence(...names);
}

// What a certificate states that matters to a path and that node:crypto does not show: version, signature algorithm, names as bytes, critical
// extensions, path length, name constraints, usages (RFC 5280 section 4). Read strictly; a certificate that does not fit is refused.
import type { X509Certificate } from 'node:crypto';
import { AppError } from '../errors.ts';
import { type DerElement, derElements, derMembers, derTags } from './der.ts';

/** A general name (RFC 5280 section 4.2.1.6): the number of its kind and its bytes. */
export interface GeneralName {
  readonly kind: number;
  readonly content: Buffer;
}

/** Numbers of the kinds of general names that are told apart. */
export const nameKinds = { dns: 2, directory: 4, uri: 6, address: 7 } as const;

/** Name constraints (RFC 5280 section 4.2.1.10). Empty lists constrain nothing. */
export interface NameConstraints {
  readonly permitted: readonly GeneralName[];
  readonly excluded: readonly GeneralName[];
}

/** The facts. */
export interface PathFacts {
  /** 3 for every certificate that has extensions. */
  readonly version: number;
  /** Object identifier of the signature's algorithm, its content as hex. */
  readonly signatureAlgorithm: string;
  /** DER of issuer and subject; equal means self-issued. */
  readonly issuer: Buffer;
  readonly subject: Buffer;
  /** Content of the identifiers (hex) of extensions that are critical and mean nothing to us. */
  readonly unknownCritical: readonly string[];
  /** The CA bit of the basic constraints. */
  readonly ca: boolean;
  /** Undefined: any length. */
  readonly pathLength: number | undefined;
  readonly constraints: NameConstraints | undefined;
  /** First byte of the key usage bits; undefined when not stated. */
  readonly keyUsage: number | undefined;
  /** Contents of the identifiers as hex; undefined when not stated. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  readonly alternativeNames: readonly GeneralName[];
}

/** Extensions below 2.5.29 by the last byte of their identifier. */
const arc = '551d';
const ids = {
  keyUsage: `${arc}0f`,
  names: `${arc}11`,
  basic: `${arc}13`,
  constraints: `${arc}1e`,
  extended: `${arc}25`,
};
/** CRL points, policies, policy mappings and constraints, inhibitAnyPolicy: no rule of ours depends on them, as none of OpenSSL's does. */
const harmless = ['1f', '20', '21', '24', '36'].map((last) => `${arc}${last}`);
const understood = new Set([...Object.values(ids), ...harmless]);

interface Extension {
  readonly critical: boolean;
  readonly value: Buffer;
}

/** Reads the facts from the certificate's DER. Throws AppError `pki_invalid` when it does not have the form of RFC 5280. */
export function pathFacts(certificate: X509Certificate): PathFacts {
  const [body, algorithm] = derMembers(certificate.raw);
  const fields = membersOf(body);
  const versioned = fields[0]?.tag === context(0);
  // [0] version, serial, signature, issuer, validity, subject, key, then optional fields up to [3] extensions.
  const [, , issuer, , subject, key] = versioned ? fields.slice(1) : fields;
  requireNamedCurve(key);
  const found = extensionsOf(fields.find(({ tag }) => tag === context(3)));
  const value = (id: string): Buffer | undefined => found.get(id)?.value;
  const [constraints, names, usages] = [value(ids.constraints), value(ids.names), value(ids.extended)];
  return {
    version: versioned ? smallInteger(derElements(fields[0]?.content ?? Buffer.alloc(0))[0]) + 1 : 1,
    signatureAlgorithm: oidOf(membersOf(algorithm)[0]),
    issuer: tagged(issuer, derTags.sequence).whole,
    subject: tagged(subject, derTags.sequence).whole,
    unknownCritical: [...found].flatMap(([id, { critical }]) => (critical && !understood.has(id) ? [id] : [])),
    ...basicConstraints(value(ids.basic)),
    constraints: constraints === undefined ? undefined : constraintsOf(constraints),
    keyUsage: keyUsageOf(value(ids.keyUsage)),
    extendedKeyUsage: usages === undefined ? undefined : derMembers(usages).map(oidOf),
    alternativeNames: names === undefined ? [] : derMembers(names).map(generalName),
  };
}

/** The tag of a constructed context-specific element. */
const context = (number: number): number => 0xa0 | number;
const membersOf = (parent: DerElement | undefined): readonly DerElement[] =>
  derElements(tagged(parent, derTags.sequence).content);
const oidOf = (found: DerElement | undefined): string => tagged(found, derTags.oid).content.toString('hex');

/** The element, if it is there and has this tag. */
function tagged(found: DerElement | undefined, tag: number): DerElement {
  if (found?.tag === tag) return found;
  throw new AppError('pki_invalid', `tag ${found?.tag ?? 'none'} where ${tag} belongs`);
}

/** A version or path length: all that are of use take one byte. */
function smallInteger(found: DerElement | undefined): number {
  const [value = 0x80, ...more] = tagged(found, derTags.integer).content;
  if (value < 0x80 && more.length === 0) return value;
  throw new AppError('pki_invalid', 'an integer is out of range');
}

/** DER has one byte for "true" (X.690 section 11.1), and a default is not stated. */
function statedTrue({ tag, content }: DerElement): true {
  if (tag === 0x01 && content.length === 1 && content[0] === 0xff) return true;
  throw new AppError('pki_invalid', 'a boolean is not the byte FF');
}

/** Kinds 0, 3, 4 and 5 are constructed, the others not; the kind alone matters here. */
function generalName({ tag, content }: DerElement): GeneralName {
  if ((tag & 0xc0) !== 0x80) throw new AppError('pki_invalid', 'a name in the certificate has no kind');
  return { kind: tag & 0x1f, content };
}

const ecPublicKey = '2a8648ce3d0201';

/** A curve that is described instead of named can be one that its maker can break (RFC 5480 section 2.1.1; CVE-2020-0601). */
function requireNamedCurve(key: DerElement | undefined): void {
  const [algorithm, parameters] = membersOf(membersOf(key)[0]);
  if (oidOf(algorithm) === ecPublicKey) tagged(parameters, derTags.oid);
}

function extensionsOf(field: DerElement | undefined): ReadonlyMap<string, Extension> {
  const found = new Map<string, Extension>();
  if (field === undefined) return found;
  for (const each of derMembers(field.content)) {
    const [id, second, third] = membersOf(each);
    const critical = third !== undefined && second !== undefined && statedTrue(second);
    const key = oidOf(id);
    if (found.has(key)) throw new AppError('pki_invalid', 'an extension is stated twice');
    found.set(key, { critical, value: tagged(third ?? second, derTags.octetString).content });
  }
  return found;
}

function basicConstraints(value: Buffer | undefined): Pick<PathFacts, 'ca' | 'pathLength'> {
  const [first, second] = value === undefined ? [] : derMembers(value);
  if (first === undefined) return { ca: false, pathLength: undefined };
  // Without the CA bit there is nothing that a path length could limit (RFC 5280 section 4.2.1.9).
  return { ca: statedTrue(first), pathLength: second === undefined ? undefined : smallInteger(second) };
}

function keyUsageOf(value: Buffer | undefined): number | undefined {
  // The first byte of a bit string counts the unused bits of its last.
  return value === undefined ? undefined : (tagged(derElements(value)[0], derTags.bitString).content[1] ?? 0);
}

function constraintsOf(value: Buffer): NameConstraints {
  const parts = derMembers(value);
  const subtrees = (number: number): readonly GeneralName[] => {
    const part = parts.find(({ tag }) => tag === context(number));
    return part === undefined ? [] : derElements(part.content).map(subtree);
  };
  const [permitted, excluded] = [subtrees(0), subtrees(1)];
  if (permitted.length + excluded.length === 0) throw new AppError('pki_invalid', 'name constraints constrain nothing');
  return { permitted, excluded };
}

/** A base alone: minimum and maximum must not be used (RFC 5280 section 4.2.1.10). */
function subtree(each: DerElement): GeneralName {
  const [base, ...more] = membersOf(each);
  if (base === undefined || more.length > 0) throw new AppError('pki_invalid', 'a name constraint has bounds');
  return generalName(base);
}

// Name constraints of CAs put on the names of what they signed (RFC 5280 section 4.2.1.10). DNS names, URIs and addresses are compared in full,
// directory names as bytes; a constraint on any other kind of name refuses every certificate that carries such a name. Pure.

import type { X509Certificate } from 'node:crypto';
import { derElements, derMembers } from './der.ts';
import { type GeneralName, type NameConstraints, nameKinds, type PathFacts, pathFacts } from './facts.ts';

/** Comparisons that one CA's constraints may cost: more is an attack, not a certificate. */
const maximumComparisons = 50_000;

const commonName = '550403';
const dnsForm = /^(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/;

/** What of the certificate the constraints forbid, as a sentence; undefined when nothing. */
export function forbiddenName(facts: PathFacts, constraints: NameConstraints): string | undefined {
  const { permitted, excluded } = constraints;
  const names = namesOf(facts);
  const attributes = derMembers(facts.subject).length;
  if ((names.length + attributes) * (permitted.length + excluded.length) > maximumComparisons)
    return 'too many names to compare';
  for (const name of names) {
    const same = ({ kind }: GeneralName): boolean => kind === name.kind;
    const [allowing, forbidding] = [permitted.filter(same), excluded.filter(same)];
    if (allowing.length + forbidding.length === 0) continue;
    if (forbidding.some((base) => !disjoint(name, base)))
      return `a name of kind ${name.kind} may be one that is excluded`;
    if (allowing.length > 0 && !allowing.some((base) => within(name, base))) {
      return `a name of kind ${name.kind} is not one that is permitted`;
    }
  }
  return undefined;
}

/** Whether a CA's certificate limits names of this kind at all. Throws AppError `pki_invalid` as `pathFacts` does. */
export function constrainsNames(authority: X509Certificate, kind: keyof typeof nameKinds): boolean {
  const { permitted = [], excluded = [] } = pathFacts(authority).constraints ?? {};
  return [...permitted, ...excluded].some((base) => base.kind === nameKinds[kind]);
}

/** All names: the alternative ones, the subject, and a common name that is written like a DNS name where no DNS name is stated. */
function namesOf({ alternativeNames, subject }: PathFacts): readonly GeneralName[] {
  const rdns = derMembers(subject);
  if (rdns.length === 0) return alternativeNames;
  const names = [...alternativeNames, { kind: nameKinds.directory, content: subject }];
  if (alternativeNames.some(({ kind }) => kind === nameKinds.dns)) return names;
  for (const attribute of rdns.flatMap((rdn) => derElements(rdn.content))) {
    const [type, value] = derElements(attribute.content);
    if (type?.content.toString('hex') !== commonName || value === undefined) continue;
    if (value.content.includes('.')) names.push({ kind: nameKinds.dns, content: value.content });
  }
  return names;
}

/** Whether everything that the name stands for lies below the base. False for a kind that is not compared. */
function within(name: GeneralName, base: GeneralName): boolean {
  const limit = textOf(base);
  switch (name.kind) {
    case nameKinds.dns:
      return dnsForm.test(textOf(name)) && belowDns(textOf(name).replace(/^\*\./, ''), limit);
    case nameKinds.uri: {
      const host = hostOf(textOf(name));
      return host !== undefined && (limit.startsWith('.') ? host.endsWith(limit) : host === limit);
    }
    case nameKinds.address:
      return inNetwork(name.content, base.content) === true;
    case nameKinds.directory:
      return startsWithNames(name.content, base.content);
    default:
      return false;
  }
}

/** Whether nothing that the name stands for lies below the base. False where that cannot be told. */
function disjoint(name: GeneralName, base: GeneralName): boolean {
  const limit = textOf(base);
  switch (name.kind) {
    case nameKinds.dns:
      return dnsForm.test(textOf(name)) && !overlapsDns(textOf(name), limit);
    case nameKinds.uri: {
      const host = hostOf(textOf(name));
      return host !== undefined && !(limit.startsWith('.') ? host.endsWith(limit) : host === limit);
    }
    case nameKinds.address:
      return inNetwork(name.content, base.content) === false;
    default:
      return false;
  }
}

const textOf = ({ content }: GeneralName): string => content.toString('latin1').toLowerCase();

/** A base means itself and all below; with a leading dot, as many CAs write it, all below. An empty one means every name. */
function belowDns(name: string, base: string): boolean {
  if (base === '' || name === base) return true;
  return name.endsWith(base.startsWith('.') ? base : `.${base}`);
}

/** A wildcard stands for every name one label longer, so it meets a base that is such a name, too. */
function overlapsDns(name: string, base: string): boolean {
  if (!name.startsWith('*.')) return belowDns(name, base);
  const parent = name.slice(1);
  return belowDns(name.slice(2), base) || belowDns(base.replace(/^\./, ''), parent);
}

/** The host of a URI with an authority; undefined where there is none, or one with a user, a bracket or a port in it. */
function hostOf(uri: string): string | undefined {
  const host = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]+)/.exec(uri)?.[1];
  return host !== undefined && dnsForm.test(host) ? host : undefined;
}

/** Whether an address is in a network (address, then mask); undefined when either has no valid form. */
function inNetwork(address: Buffer, network: Buffer): boolean | undefined {
  const half = network.length / 2;
  if (![4, 16].includes(address.length) || ![4, 16].includes(half)) return undefined;
  const bits = [...network.subarray(half)].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  if (!/^1*0*$/.test(bits)) return undefined;
  return (
    address.length === half &&
    address.every((byte, at) => ((byte ^ (network[at] ?? 0)) & (network[half + at] ?? 0)) === 0)
  );
}

/** Compared as bytes: two spellings of one name count as two, which can only refuse more. */
function startsWithNames(subject: Buffer, base: Buffer): boolean {
  // A directory name of an alternative name or a constraint is the name itself, within its tag.
  const [all, first] = [subject, base].map((name) => derMembers(name));
  return first !== undefined && first.every((rdn, at) => all?.[at]?.whole.equals(rdn.whole) === true);
}

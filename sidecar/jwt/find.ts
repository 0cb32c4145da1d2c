// Where the token of a request is. One token or none: of two, the application might believe the other one. Pure.
import type { TokenHeader, TokenIssuer } from '../../lib/api/authentication.ts';

/** The fields of a request's head. */
export interface RequestFields {
  /** Every value of a field by its lower-case name, in their order, without blanks around them. */
  values(name: string): readonly string[];
}

/** A token and the place where it was found. */
export interface FoundToken {
  readonly token: string;
  readonly header: Required<TokenHeader>;
}

/** The places where tokens may be, each once; of those in one header the longest prefix first. */
export function placesOf(issuers: readonly TokenIssuer[]): readonly Required<TokenHeader>[] {
  const places = new Map(issuers.flatMap(({ from }) => from.map((each) => [`${each.name} ${prefixOf(each)}`, each])));
  return [...places.values()].sort((a, b) => b.prefix.length - a.prefix.length);
}

/** Whether two places are the same. */
export function isSamePlace(one: Required<TokenHeader>, other: Required<TokenHeader>): boolean {
  return one.name === other.name && prefixOf(one) === prefixOf(other);
}

/** The token of a request; undefined = it has none. */
export function findToken(
  fields: RequestFields,
  places: readonly Required<TokenHeader>[],
): FoundToken | 'several_tokens' | undefined {
  let found: FoundToken | undefined;
  const seen = new Set<string>();
  for (const { name } of places) {
    if (seen.has(name)) continue;
    seen.add(name);
    const values = fields.values(name);
    for (const value of values) {
      const header = places.find((each) => each.name === name && startsWith(value, each));
      if (header === undefined) continue;
      // A second value of the header counts even when it is no token: who reads which one is anybody's guess.
      if (found !== undefined || values.length > 1) return 'several_tokens';
      found = { token: value.slice(header.prefix.length).trim(), header };
    }
  }
  return found;
}

/** A tab behind the scheme is no blank (RFC 9110 section 11.4), but there are applications that take it for one. */
function startsWith(value: string, header: Required<TokenHeader>): boolean {
  const before = value.slice(0, header.prefix.length).toLowerCase().replaceAll('\t', ' ');
  return before === prefixOf(header) && value.length > header.prefix.length;
}

function prefixOf({ prefix }: Required<TokenHeader>): string {
  return prefix.toLowerCase();
}

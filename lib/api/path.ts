// The one path that decisions are made by. Back ends disagree about what a path means that holds dot segments, empty segments, parameters,
// backslashes or escaped separators (nginx resolves what Node passes on; others cut `;` away). A decision by path is only as
// good as that agreement, so such a path has no canonical form and is refused wherever a rule asks for paths.

/** A path that means the same to everybody, or why there is none. */
export type CanonicalPath =
  | { readonly ok: true; readonly path: string }
  | { readonly ok: false; readonly why: PathAmbiguity };

/** What makes a path ambiguous. */
export type PathAmbiguity =
  | 'dot_segment' // /a/../b, /./, %2e
  | 'empty_segment' // //
  | 'parameter' // ;
  | 'backslash' // \ or %5c
  | 'escaped_separator' // %2f
  | 'escaped_control' // %00 to %1f, %7f
  | 'escaped_non_utf8'
  | 'twice_escaped' // %25 before two hexadecimal digits
  | 'bad_escape'
  | 'not_a_path'; // `*`, the authority of CONNECT, or a whole URL, which many an application takes for a path

/**
 * Canonical form of a request target's path (RFC 3986 section 6.2.2): without query, escapes of unreserved characters resolved, the others in
 * upper case. Case is kept: it differs for most back ends.
 */
export function canonicalPath(target: string): CanonicalPath {
  if (!target.startsWith('/')) return { ok: false, why: 'not_a_path' };
  const query = target.indexOf('?');
  const path = query < 0 ? target : target.slice(0, query);
  // By far the most paths: nothing in them needs a second look.
  if (/^(?:\/[A-Za-z0-9_~-][A-Za-z0-9_~.-]*)+\/?$/.test(path) || path === '/') return { ok: true, path };
  const escapes = escapeFault(path);
  if (escapes !== undefined) return { ok: false, why: escapes };
  const resolved = path.replace(/%[0-9a-f]{2}/gi, (escape) => {
    const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16));
    return /[A-Za-z0-9._~-]/.test(character) ? character : escape.toUpperCase();
  });
  const fault = segmentFault(resolved);
  return fault === undefined ? { ok: true, path: resolved } : { ok: false, why: fault };
}

/**
 * A canonical path as those servers read it that resolve every escape: `/items%3Apurge` as `/items:purge`, and `/a|b` as `/a%7Cb`. By RFC 3986 section
 * 2.2 an escape of a reserved character is another path than the character, and servers disagree about it; so whoever denies by path looks at this
 * one, too, and whoever allows by path at none but the other.
 */
export function resolvedPath(path: string): string {
  if (!/[%"<>[\]^`{|}]/.test(path)) return path;
  return path.replace(/%[0-9A-F]{2}|["<>[\]^`{|}]/gi, (part) => {
    const character = part.length === 1 ? part : String.fromCharCode(Number.parseInt(part.slice(1), 16));
    if (/[!$&'()*+,:=@]/.test(character)) return character;
    return part.length === 1 ? `%${part.charCodeAt(0).toString(16).toUpperCase()}` : part;
  });
}

function escapeFault(path: string): PathAmbiguity | undefined {
  if (/%(?![0-9a-f]{2})/i.test(path)) return 'bad_escape';
  if (/%25[0-9a-f]{2}/i.test(path)) return 'twice_escaped';
  if (/%2f/i.test(path)) return 'escaped_separator';
  if (/%5c|\\/i.test(path)) return 'backslash';
  if (/%3b|;/i.test(path)) return 'parameter';
  if (/%[01][0-9a-f]|%7f/i.test(path)) return 'escaped_control';
  return isUtf8(path) ? undefined : 'escaped_non_utf8';
}

function isUtf8(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}

/** Of a path whose unreserved characters are resolved. */
function segmentFault(path: string): PathAmbiguity | undefined {
  // `%25%32e`, of which no reader sees an escape before it has resolved one.
  if (/%25[0-9a-f]{2}/i.test(path)) return 'twice_escaped';
  if (path.includes('//')) return 'empty_segment';
  return /\/\.{1,2}(?:\/|$)/.test(path) ? 'dot_segment' : undefined;
}

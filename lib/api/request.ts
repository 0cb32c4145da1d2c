// What rules may ask of a request, whichever version of HTTP it came in. Gates read it off the wire (sidecar/http1, sidecar/http2), the CLI off
// its options, and `decideRequest` (decide.ts) judges by it. Pure.

/** One request as rules see it. A gRPC call is a request by POST to the path `/<package>.<Service>/<Method>`. */
export interface RequestFacts {
  /** As it was sent; methods are case-sensitive (RFC 9110 section 9.1). */
  readonly method: string;
  /** See `hostOf`. Undefined = it was not said. */
  readonly host: string | undefined;
  /** The canonical path (path.ts), without query. Undefined = it has none: no Allow rule with paths matches it, every Deny rule with paths does. */
  readonly path: string | undefined;
  /**
   * Fields by name in lower case, those that were repeated joined by ", " (RFC 9110 section 5.3). Needed only where rules have conditions
   * (`RequestJudge.wantsHeaders`); undefined = nobody looked.
   */
  readonly headers?: Readonly<Record<string, string>>;
  /** Claims of the end user's token, verified. Undefined = there is none. */
  readonly claims?: Readonly<Record<string, unknown>>;
}

/**
 * The name in a Host field or `:authority`, by which hosts are compared: in lower case, without port and the final dot of a full name.
 * Undefined for an empty one, and for one with escapes: whoever reads it as a URL resolves them (the URL Standard, section 3.5), others do not.
 */
export function hostOf(authority: string): string | undefined {
  // In brackets an IPv6 address has colons of its own.
  const colon = authority.indexOf(':', authority.startsWith('[') ? authority.indexOf(']') : 0);
  const host = (colon < 0 ? authority : authority.slice(0, colon)).toLowerCase();
  const name = host.endsWith('.') ? host.slice(0, -1) : host;
  return name === '' || name.includes('%') ? undefined : name;
}

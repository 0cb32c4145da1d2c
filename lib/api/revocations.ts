// Wire types of revocation in the control API: GET /v1/revocations, one line per change, the same line for every sidecar.
// A reader ignores members and entries that it does not know.

/** Who is not trusted although its certificate is good. A serial is upper-case hex; `until` is RFC 3339: it ends by itself then. */
export type RevokedEntry =
  | { readonly identity: string; readonly until?: string }
  | { readonly serial: string; readonly until?: string };

/** The revocation list of a CA that somebody else keeps. */
export interface ForeignList {
  /** Name of the CA as node:crypto prints the issuer of what it signed: a serial means nothing without it. */
  readonly issuer: string;
  readonly serials: readonly string[];
}

/** What is revoked now, whole. */
export interface RevocationSnapshot {
  /** Opaque; equal versions mean equal content. */
  readonly version: string;
  /** Grows with every change of the entries and means the same on every replica: what has a lower one is older. */
  readonly number: number;
  /** Set while the operator itself hears nothing from the API server: when it last did. RFC 3339. */
  readonly asOf?: string;
  readonly entries: readonly RevokedEntry[];
  readonly lists: readonly ForeignList[];
}

/** A certificate's holder as revocation looks at it. */
export interface RevocationSubject {
  /** SPIFFE URI. */
  readonly identity: string;
  /** Upper-case hex. */
  readonly serial: string;
  /** As node:crypto prints it; empty where it is not known, and foreign lists are then not asked. */
  readonly issuer: string;
}

/** A serial in one form: tools differ in leading zeros and in case. */
export function plainSerial(serial: string): string {
  return serial.toUpperCase().replace(/^0+(?=.)/, '');
}

// What the caller of the end-to-end suites is told and what it reports.

/** Where to call. */
export interface Target {
  readonly name: string;
  /** Name or address; also the name that the certificate must have, unless `servername` gives another. */
  readonly host: string;
  readonly port: number;
  readonly servername?: string;
  /** PEM of whom to trust instead of the folder's `ca.crt`. */
  readonly ca?: string;
  /** Calls also on one connection that must last. */
  readonly lasting?: boolean;
}

/** What came of the calls to one target since it first answered. */
export interface TargetReport {
  calls: number;
  failed: number;
  /** The first ten failures. */
  readonly errors: string[];
  /** Serials that it showed on new connections, in order of their coming. */
  readonly serials: string[];
  readonly lasting: { calls: number; serial: string };
  /** Its last answer; before the first one, why there was none. */
  said: string;
}

// Wire types of the control API (design section 4): HTTP/2 over mTLS, port 16010, newline-delimited JSON, one whole
// snapshot per line. A reader ignores members it does not know, so that versions one minor apart work together.
import type { Authentication } from './authentication.ts';
import type { Authorization, RuleHits } from './authorization.ts';
import type { Group, Mode, Protocol } from './tlspolicy.ts';

/** Paths of the control API. A destination is `<ip>:<port>`, IPv6 in brackets, percent-encoded as one path segment. */
export const controlPaths = {
  self: '/v1/self',
  destinations: '/v1/destinations/',
  status: '/v1/status',
  revocations: '/v1/revocations',
} as const;

/** What holds for one pod: TLSPolicy, TLSBaseline and defaults resolved. Times are milliseconds. */
export interface EffectivePolicy {
  /** `<namespace>/<name>` of the TLSPolicy, or "defaults". */
  readonly source: string;
  readonly mode: Mode;
  /** Every container port with a mode or protocol of its own, already merged with the Service's appProtocol. */
  readonly ports: readonly { readonly port: number; readonly mode: Mode; readonly protocol: Protocol }[];
  readonly tls: {
    readonly minVersion: '1.2' | '1.3';
    /** IANA names of cipher suites; empty = Tabard's default order. */
    readonly ciphers: readonly string[];
    readonly groups: readonly Group[];
  };
  readonly connections: {
    readonly maxAgeMs: number;
    readonly idleTimeoutMs: number;
    readonly handshakeTimeoutMs: number;
    readonly maxConcurrent: number;
    /** How connections to other sidecars are carried, and accepted from them. Absent from older operators: Tunnel. */
    readonly transport?: 'Tunnel' | 'Direct';
  };
  readonly accessLog: 'None' | 'Denied' | 'All';
  /** With All: one in so many of what went well gets a line. Absent = every one. */
  readonly accessLogOneIn?: number;
  /** What is done to HTTP where a port speaks it. `hsts` is the value of Strict-Transport-Security. Absent = bytes pass unread. */
  readonly http?: { readonly hsts: string };
  /** Further fields for answers over TLS where a port speaks HTTP, unless the application says them itself. Absent = none. */
  readonly securityHeaders?: readonly { readonly name: string; readonly value: string }[];
  /** Requests may have field names with `_`, but for those behind which one hides that no client may send. Absent = they may not. */
  readonly underscoresInHeaders?: 'Pass';
  /** The application is told which certificate a client has proved. Absent = it is not. */
  readonly clientCertificate?: {
    readonly headers: readonly ForwardedHeader[];
    /** SPIFFE IDs of clients whose own word about their clients passes. */
    readonly trustedForwarders: readonly string[];
  };
  /**
   * What holds while news of revocations does not arrive: Hard refuses peers once the last news is older than `maxAgeMs`. Present
   * where the control API serves revocations at all.
   */
  readonly revocation?: { readonly mode: 'Hard' | 'Soft'; readonly maxAgeMs: number };
  /** Whose tokens requests may carry; absent = tokens are not looked at. */
  readonly authentication?: Authentication;
  /** Who may call what; absent = everybody whom the mode lets in. */
  readonly authorization?: Authorization;
}

/** How the application is told of a client's certificate: by RFC 9440, or as Envoy does. */
export type ForwardedHeader = 'Client-Cert' | 'X-Forwarded-Client-Cert';

/**
 * What a sidecar answers to an ACME CA in the name of its service until it is taken back: http-01 (RFC 8555 section 8.3) or
 * tls-alpn-01 (RFC 8737). Certificate and key are PEM, made for this one answer.
 */
export type AcmeChallenge =
  | { readonly type: 'http-01'; readonly token: string; readonly keyAuthorization: string }
  | {
      readonly type: 'tls-alpn-01';
      readonly token: string;
      readonly domain: string;
      readonly certificate: string;
      readonly key: string;
    };

/** One line of GET /v1/self: all that a sidecar must know about itself. */
export interface SelfSnapshot {
  /** Opaque; equal versions mean equal content. */
  readonly version: string;
  readonly trustDomain: string;
  readonly namespace: string;
  readonly service: string;
  readonly identity: string;
  readonly policy: EffectivePolicy;
  /** Concatenated PEM certificates of every CA that peers may chain to. */
  readonly trustBundle: string;
  /**
   * SHA-256 of CAs that left the bundle in good order: live connections that were made by them may end in their own time. Whoever else
   * is no longer accepted by the bundle is cut at once. Absent = none.
   */
  readonly retired?: readonly string[];
  /** Peers of other trust domains and the CAs by which they are accepted as clients. Absent from older operators. */
  readonly federated?: readonly { readonly trustDomain: string; readonly bundle: string }[];
  /** Who is revoked. Absent from older operators. */
  readonly revocations?: RevocationList;
  /** CIDRs of the cluster's pods and services; an unknown address in them fails closed while the control API is away. */
  readonly clusterRanges: readonly string[];
  /** Challenges to answer now; absent = none. */
  readonly challenges?: readonly AcmeChallenge[];
}

/** Everyone who is revoked now. `number` rises with every change and never goes back, on whichever replica. */
export interface RevocationList {
  readonly number: number;
  readonly entries: readonly ({ readonly identity: string } | { readonly serial: string /** Upper-case hex. */ })[];
}

/** How to reach one endpoint: mTLS to exactly `identity`, or untouched bytes because its policy or capture says so. */
export type Endpoint =
  | { readonly address: string; readonly port: number; readonly transport: 'mutual'; readonly identity: string }
  | { readonly address: string; readonly port: number; readonly transport: 'plain'; readonly why: PlainReason };

/** Why an endpoint or a destination is reached without TLS. Metric label and log field of pass-through connections. */
export type PlainReason =
  | 'not_in_mesh' // no injected pod behind this address
  | 'policy_disabled' // mode Disabled on that port
  | 'application_tls' // protocol Passthrough, or a pod that has the certificate alone (tabard.dev/inject: "certificate")
  | 'port_excluded' // exclude-inbound-ports of the target
  | 'control_unavailable'; // outside the cluster's ranges while the control API is away

/** One line of GET /v1/destinations/<ip>:<port>. */
export interface DestinationSnapshot {
  readonly version: string;
  /** False: the address belongs to nothing in the mesh and is passed through untouched. */
  readonly known: boolean;
  /** Name for logs and SNI: `<service>.<namespace>.svc.<cluster domain>`. Present when known. */
  readonly serverName?: string;
  /** Ready endpoints. Known and empty: nothing can be reached now (`upstream_unreachable`). */
  readonly endpoints: readonly Endpoint[];
}

/** A caller whose connections or requests were let in. */
export interface CallerSeen {
  /** SPIFFE ID; empty for whoever proved none. */
  readonly identity: string;
  /** Container port. */
  readonly port: number;
  /** Connections, and streams of tunnels. */
  readonly count: number;
}

/** What a caller was let ask for, where requests are read. */
export interface RequestSeen {
  /** SPIFFE ID; empty for whoever proved none. */
  readonly identity: string;
  /** Container port. */
  readonly port: number;
  readonly method: string;
  /** Absent = none was said, or none that a rule can name. */
  readonly host?: string;
  /** A canonical path, or with a final `/*` (lib/api/requestshape.ts). Absent = it had no canonical form. */
  readonly path?: string;
  readonly count: number;
}

/** Body of POST /v1/status: what the sidecar applied and saw since its last report. */
export interface StatusReport {
  readonly podName: string;
  readonly podUid: string;
  readonly selfVersion: string;
  /** SHA-256 (hex) of the trust bundle in use. */
  readonly bundleFingerprint: string;
  /** Serial in use for new handshakes, upper-case hex; empty when none. */
  readonly serial: string;
  /** Key id of the CA that signed it, upper-case hex. Absent from older sidecars. */
  readonly issuerKeyId?: string;
  readonly notAfter: string;
  /** SHA-256 (lower-case hex) of every CA of the bundle in use. Absent from older sidecars. */
  readonly authorities?: readonly string[];
  /** RevocationList.number that is enforced. Absent from older sidecars. */
  readonly revocations?: number;
  /** Tokens of the challenges that it answers now; absent = none. */
  readonly challenges?: readonly string[];
  /** Form of authorization rules that it enforces. Absent from sidecars that know no rules. */
  readonly authorization?: number;
  /** Form of authentication (tokens of end users) that it enforces. Absent from sidecars that look at no tokens. */
  readonly authentication?: number;
  /** Rules that matched since the last report; absent = none. */
  readonly rules?: readonly RuleHits[];
  /** Issuers of tokens that came since the last report signed with a key that is not among those of the policy; absent = none. */
  readonly keysWanted?: readonly string[];
  /** Who was let in since the last report, by what it proved (empty: nothing) and the container port; absent = nobody. */
  readonly callers?: readonly CallerSeen[];
  /** What was let through since the last report where requests are read; absent = nothing. */
  readonly requests?: readonly RequestSeen[];
  /** Plaintext seen since the last report, refused or (Permissive) passed. */
  readonly plaintext: readonly {
    readonly address: string;
    readonly port: number;
    readonly count: number;
    readonly refused: boolean;
  }[];
}

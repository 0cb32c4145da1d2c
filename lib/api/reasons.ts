// The closed vocabulary of why a connection was refused or ended. Log field, metric label, CLI and docs use these words.

/** One sentence per reason that tells an operator what it means and where to look. */
export const reasonHints = {
  plaintext: 'The client sent plaintext; inject its workload or set the policy to Permissive while you migrate.',
  no_client_certificate: 'The client spoke TLS but showed no certificate; only mesh members may call a Mutual port.',
  unknown_ca: "The peer's certificate was not signed by a CA of this mesh's trust bundle.",
  expired: "The peer's certificate is past its notAfter; check that its Secret is renewed and mounted.",
  not_yet_valid: "The peer's certificate is not valid yet; check the clocks of both nodes.",
  revoked:
    "The peer's identity, serial or pod, or this pod's own, is revoked: by a TLSRevocation (kubectl get tlsr) or by a list that a TLSIssuer imports.",
  identity_mismatch: 'The peer proved another identity than discovery gave; the address may have moved to another pod.',
  protocol_version: 'The peer offers no TLS version that the policy accepts.',
  no_shared_cipher: 'The peer offers no cipher suite or key exchange group that the policy accepts.',
  handshake_timeout:
    'The peer did not finish the TLS handshake in time; a server-first protocol without a sidecar waits like this.',
  denied:
    'An authorization rule of the called side denies this connection or request, or none allows it; `tabard authz explain` says which.',
  token_required: 'The request has no token of an end user, and the policy (spec.authentication) asks for one.',
  token_invalid:
    'The token of the request is not accepted, or has expired under what it let in (WebSocket, CONNECT, gRPC): the log of the called sidecar says why (expired, bad_signature, other_audience, no_key, ...).',
  malformed:
    'The peer sent bytes that are neither TLS nor an accepted protocol, or a message that breaks a rule of HTTP, which the detail names.',
  overload:
    'The proxy is at its connection limit (raise connections.maxConcurrent or scale out), or a client floods, or comes from an address that did: the detail says with what.',
  upstream_unreachable: 'No endpoint of the destination accepted a connection.',
  control_unavailable:
    'The control API is away, and nothing is cached for this cluster address or, with revocation mode Hard, news of revocations is too old; it is refused to fail closed.',
  own_certificate_expired: "This proxy's own certificate has expired; check the operator and the Secret.",
  reset: 'The connection was reset by a peer before it ended in order.',
} as const;

/** Why a connection was refused or ended early. */
export type Reason = keyof typeof reasonHints;

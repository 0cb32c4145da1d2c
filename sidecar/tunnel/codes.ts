// Codes of tabard/1 (docs/tunnel-protocol.md section 7): why a stream or a tunnel ends, as one byte. A number, once given, keeps its
// meaning for ever: peers of other versions read it. Pure.
import type { Reason } from '../../lib/api/reasons.ts';

const reasonCodes: Readonly<Record<Reason, number>> = {
  reset: 0,
  plaintext: 1,
  no_client_certificate: 2,
  unknown_ca: 3,
  expired: 4,
  not_yet_valid: 5,
  revoked: 6,
  identity_mismatch: 7,
  protocol_version: 8,
  no_shared_cipher: 9,
  handshake_timeout: 10,
  denied: 11,
  malformed: 12,
  overload: 13,
  upstream_unreachable: 14,
  control_unavailable: 15,
  own_certificate_expired: 16,
  token_required: 17,
  token_invalid: 18,
};

const reasons = new Map(Object.entries(reasonCodes).map(([reason, code]) => [code, reason as Reason]));

/** The code of a reason in RESET, REFUSE and, where not 0, GOAWAY. */
export function codeOf(reason: Reason): number {
  return reasonCodes[reason];
}

/** The reason of a code as the peer means it; one of a later version is `reset`. */
export function reasonOf(code: number): Reason {
  return reasons.get(code) ?? 'reset';
}

/** GOAWAY: no more streams are to be opened; those that stand end in their own time. */
export const RETIRE = 0;

/** REFUSE: this tunnel takes no more streams, another one will (section 5.3). */
export const ELSEWHERE = 255;

/** The rules whose violation ends a tunnel, with the code that GOAWAY names them by. */
export const rules = {
  /** A payload is longer than its type allows. */
  frame_too_long: 64,
  /** A payload has not the length that its type asks for. */
  bad_length: 65,
  /** A frame of the tunnel on a stream, or a frame of a stream on stream 0. */
  wrong_scope: 66,
  /** A frame of a stream that was never opened. */
  unknown_stream: 67,
  /** OPEN by the accepting side, with a number that does not rise, without a port, or with an address of no known family. */
  bad_open: 68,
  /** More DATA than was granted. */
  window_exceeded: 69,
  /** A WINDOW of nothing, or credit beyond 2^31-1. */
  bad_window: 70,
  /** DATA or END before the stream was accepted. */
  before_answer: 71,
  /** DATA or END after END. */
  after_end: 72,
  /** ACCEPT or REFUSE of a stream that was answered, or by the dialling side. */
  bad_answer: 73,
  /** So many frames ask for an answer that the answers cannot leave. */
  flood: 74,
} as const;

/** Name of a rule. */
export type Rule = keyof typeof rules;

const ruleNames = new Map<number, Rule>(Object.entries(rules).map(([rule, code]) => [code, rule as Rule]));

/** The rule that a GOAWAY names, undefined for a code that is no violation. */
export function ruleOf(code: number): Rule | 'unknown_rule' | undefined {
  return code < rules.frame_too_long ? undefined : (ruleNames.get(code) ?? 'unknown_rule');
}

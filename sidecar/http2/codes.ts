// Numbers of HTTP/2 (RFC 9113 sections 6, 7 and 11), and the rules whose violation ends a connection or a stream. Pure.
import type { Reason } from '../../lib/api/reasons.ts';

/** Frame types. */
export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Flags. ACK of SETTINGS and PING has the number of END_STREAM. */
export const flags = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

/** Octets before a payload: length (3), type, flags, stream (4). */
export const HEADER_OCTETS = 9;
/** Payloads of at most this many octets must be taken by everybody (section 4.2). */
export const MIN_MAX_FRAME = 16_384;
/** What a client begins with (section 3.4). */
export const preface: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Error codes (section 7). */
export const errorCodes = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  enhanceYourCalm: 0xb,
  inadequateSecurity: 0xc,
} as const;

/** Settings (section 6.5.2, RFC 8441). */
export const settingIds = {
  headerTableSize: 0x1,
  enablePush: 0x2,
  maxConcurrentStreams: 0x3,
  initialWindowSize: 0x4,
  maxFrameSize: 0x5,
  maxHeaderListSize: 0x6,
  enableConnectProtocol: 0x8,
} as const;

/** Rules of the connection, with the code that GOAWAY says. */
const connectionRules = {
  bad_preface: errorCodes.protocolError,
  frame_too_large: errorCodes.frameSizeError,
  bad_frame_length: errorCodes.frameSizeError,
  bad_padding: errorCodes.protocolError,
  wrong_stream: errorCodes.protocolError,
  after_end: errorCodes.streamClosed,
  interrupted_block: errorCodes.protocolError,
  bad_compression: errorCodes.compressionError,
  bad_setting: errorCodes.protocolError,
  bad_initial_window: errorCodes.flowControlError,
  unasked_push: errorCodes.protocolError,
  bad_trailers: errorCodes.protocolError,
  bad_status: errorCodes.protocolError,
  body_differs_from_content_length: errorCodes.protocolError,
  head_timeout: errorCodes.enhanceYourCalm,
} as const;

/** What too much of ends a connection; GOAWAY says ENHANCE_YOUR_CALM. */
const floods = [
  'block_too_large',
  'continuation_flood',
  'reset_flood',
  'settings_flood',
  'ping_flood',
  'window_update_flood',
  'priority_flood',
  'empty_frame_flood',
  'unknown_frame_flood',
] as const;

/** A flood. */
export type Flood = (typeof floods)[number];

/** What a connection may not do: log field `rule`. docs/http.md says of each what it means. */
export type ConnectionRule = keyof typeof connectionRules | Flood;

/** What a request may not be; its stream is reset. Those that HTTP/1.1 has, too, have the names that they have there. */
export type MessageRule =
  | 'head_too_large'
  | 'too_many_fields'
  | 'uppercase_field_name'
  | 'bad_field_name'
  | 'bad_field_value'
  | 'underscore_in_field_name'
  | 'connection_field'
  | 'bad_te'
  | 'bad_pseudo_field'
  | 'bad_method'
  | 'bad_scheme'
  | 'bad_target'
  | 'missing_host'
  | 'repeated_host'
  | 'bad_host'
  | 'host_differs_from_target'
  | 'bad_content_length'
  | 'repeated_content_length'
  | 'too_many_streams';

/** The code that a GOAWAY for this rule has. */
export function codeOf(rule: ConnectionRule): number {
  return isFlood(rule) ? errorCodes.enhanceYourCalm : connectionRules[rule];
}

/** The reason of a connection that ends for this rule. */
export function reasonOf(rule: ConnectionRule): Reason {
  return isFlood(rule) ? 'overload' : 'malformed';
}

function isFlood(rule: ConnectionRule): rule is Flood {
  return floodNames.has(rule);
}

const floodNames: ReadonlySet<string> = new Set(floods);

// Answers that a gate gives itself. They say a reason of the closed vocabulary and never which rule of a policy it was.
import type { Reason } from '../../lib/api/reasons.ts';
import type { TokenRefusal } from '../jwt/authenticate.ts';

/** An answer in place of the application's. */
export interface Reply {
  readonly status: number;
  /** Reason phrase of the status line. */
  readonly phrase: string;
  /** Text of the body: one line. */
  readonly text: string;
  /** Field `x-tabard-reason`, by which programs tell our answers from those of the application. */
  readonly reason: Reason;
  /** Value of WWW-Authenticate (RFC 9110 section 11.6.1). */
  readonly challenge?: string | undefined;
}

/** The message broke a rule of HTTP or of time: nothing after it is read. */
export function badRequest(rule: string): Reply {
  const [status, phrase] = statuses.get(rule) ?? ([400, 'Bad Request'] as const);
  return { status, phrase, text: `malformed: ${rule}`, reason: 'malformed' };
}

/** Rules that have a status of their own (RFC 9110 section 15.5, RFC 6585 section 5). */
const statuses: ReadonlyMap<string, readonly [number, string]> = new Map([
  ['target_too_long', [414, 'URI Too Long']],
  ['head_too_large', [431, 'Request Header Fields Too Large']],
  ['too_many_fields', [431, 'Request Header Fields Too Large']],
  ['head_timeout', [408, 'Request Timeout']],
  ['body_timeout', [408, 'Request Timeout']],
]);

/** The application's answer broke a rule of HTTP. */
export function badGateway(rule: string): Reply {
  return { status: 502, phrase: 'Bad Gateway', text: `malformed: ${rule}`, reason: 'malformed' };
}

/** Policy says no. */
export function forbidden(reason: Reason): Reply {
  return { status: 403, phrase: 'Forbidden', text: reason, reason };
}

const phrases = { 400: 'Bad Request', 401: 'Unauthorized', 503: 'Service Unavailable' } as const;

/** The end user's token is missing or no good. */
export function unauthenticated({ status, reason, challenge }: TokenRefusal): Reply {
  return { status, phrase: phrases[status], text: reason, reason, challenge };
}

/** How a reply is sent. */
export interface ReplyTerms {
  readonly now: Date;
  /** The connection ends after it. */
  readonly last: boolean;
  /** It answers HEAD. */
  readonly head: boolean;
  /** Whole field lines that belong into every answer. */
  readonly fields: Buffer | undefined;
}

/** The reply as octets. */
export function replyOctets(
  { status, phrase, text, reason, challenge }: Reply,
  { now, last, head, fields }: ReplyTerms,
): Buffer {
  const body = `${text}\n`;
  const lines = [
    `HTTP/1.1 ${status} ${phrase}`,
    `Date: ${now.toUTCString()}`,
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    `X-Tabard-Reason: ${reason}`,
    ...(challenge === undefined ? [] : [`WWW-Authenticate: ${challenge}`]),
    ...(last ? ['Connection: close'] : []),
  ];
  const start = Buffer.from(`${lines.join('\r\n')}\r\n`);
  return Buffer.concat([start, fields ?? Buffer.alloc(0), Buffer.from(`\r\n${head ? '' : body}`)]);
}

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

/** The message broke a rule of HTTP: nothing after it is read. */
export function badRequest(rule: string): Reply {
  return { status: 400, phrase: 'Bad Request', text: `malformed: ${rule}`, reason: 'malformed' };
}

/** The application's answer broke a rule of HTTP. */
export function badGateway(rule: string): Reply {
  return { status: 502, phrase: 'Bad Gateway', text: `malformed: ${rule}`, reason: 'malformed' };
}

/** The request, or what was left of it, did not come in time. */
export function requestTimeout(rule: string): Reply {
  return { status: 408, phrase: 'Request Timeout', text: `malformed: ${rule}`, reason: 'malformed' };
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

/** The reply as octets. `last`: the connection ends after it. `fields`: whole field lines that belong into every answer. */
export function replyOctets(
  { status, phrase, text, reason, challenge }: Reply,
  { last, head, fields }: { readonly last: boolean; readonly head: boolean; readonly fields: Buffer | undefined },
): Buffer {
  const body = `${text}\n`;
  const lines = [
    `HTTP/1.1 ${status} ${phrase}`,
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

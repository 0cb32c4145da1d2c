// What a vector of RFC 9110 or RFC 9112 is: octets for a gate, and what must become of them. Vectors are data: the unit test runs each of them, and
// docs/http-conformance.md is made of them.

/** What becomes of a vector. */
export type Outcome =
  /** Through to the application, whose answers reach the client: both as they were sent, unless something else is said here. */
  | {
      readonly kind: 'passes';
      readonly through?: string;
      readonly answered?: string;
      readonly ends?: Ends;
    }
  /** The gate answers, and of what broke a rule the application gets nothing; `ends` is always in order. */
  | { readonly kind: 'refused'; readonly status: number; readonly rule: string }
  /** The application's answer is replaced by 502. */
  | { readonly kind: 'bad answer'; readonly rule: string }
  /** The gate answers by a rule of a policy, with all of these in its head. */
  | { readonly kind: 'own'; readonly status: number; readonly has: readonly string[]; readonly ends: Ends };

/** How the client's connection is afterwards: open, ended behind the last answer, or cut. */
export type Ends = 'open' | 'in order' | 'cut';

/** Octets and their outcome. Requests for /no are denied, those for /token lack a token. */
export interface Vector {
  readonly what: string;
  /** What the client sends, all at once or in pieces. */
  readonly sent: string;
  /** What the application says, one after the other, once it has got all that goes through. */
  readonly says: readonly string[];
  /** Who ends its direction after that. */
  readonly hangsUp?: 'application' | 'client';
  /** Answers get Strict-Transport-Security from a policy. */
  readonly hsts?: true;
  readonly outcome: Outcome;
}

/** One requirement of an RFC on who receives, answers or forwards messages. */
export interface RfcRule {
  readonly section: string;
  /** In our words. */
  readonly rule: string;
  /** `stricter`: what could be mended is refused. `left`: not done, by choice. `elsewhere`: nothing that octets at a gate could show. */
  readonly stand: 'kept' | 'stricter' | 'left' | 'elsewhere';
  /** Why, or where; needed of everything that is not just kept. */
  readonly why?: string;
  readonly vectors: readonly Vector[];
}

/** A whole answer. */
export const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** A GET of /, with these field lines. */
export const get = (...lines: readonly string[]): string => request('GET / HTTP/1.1', ...lines);

/** A request by its first line with Host and these field lines. */
export const request = (first: string, ...lines: readonly string[]): string =>
  `${[first, 'Host: web', ...lines].join('\r\n')}\r\n\r\n`;

/** An answer by its first line and field lines. */
export const answer = (first: string, ...lines: readonly string[]): string =>
  `${[first, ...lines].join('\r\n')}\r\n\r\n`;

/** The chunked body of a POST. */
export const chunked = (body: string): string => `${request('POST / HTTP/1.1', 'Transfer-Encoding: chunked')}${body}`;

type More = Partial<Omit<Extract<Outcome, { kind: 'passes' }>, 'kind'>> & Pick<Vector, 'hangsUp' | 'hsts'>;

/** Goes through, and is answered. */
export function passes(what: string, sent: string, says: string | readonly string[] = ok, more: More = {}): Vector {
  const { hangsUp, hsts, ...changed } = more;
  return {
    what,
    sent,
    says: typeof says === 'string' ? [says] : says,
    ...(hangsUp === undefined ? {} : { hangsUp }),
    ...(hsts === undefined ? {} : { hsts }),
    outcome: { kind: 'passes', ...changed },
  };
}

/** A request that is refused. */
export function refused(what: string, sent: string, rule: string, status = 400): Vector {
  return { what, sent, says: [], outcome: { kind: 'refused', status, rule } };
}

/** An answer that is replaced. */
export function badAnswer(what: string, says: string, rule: string, sent = get()): Vector {
  return { what, sent, says: [says], outcome: { kind: 'bad answer', rule } };
}

/** A request that a policy says no to; the answer has all of these. */
export function denied(what: string, sent: string, status: number, has: readonly string[]): Vector {
  const ends: Ends = has.some((each) => each.startsWith('Connection: close')) ? 'in order' : 'open';
  return { what, sent, says: [], outcome: { kind: 'own', status, has, ends } };
}

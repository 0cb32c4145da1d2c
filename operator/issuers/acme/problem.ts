// What can go wrong between us and an ACME server, as a closed list of reasons, each with what a person can do about it; and
// the way from the server's problem documents (RFC 8555 section 6.7, RFC 7807) to that list. Pure.
import { membersOf } from '../json.ts';
import { type FailureDetails, quoted, SignerError } from '../problem.ts';

/** Every reason, with what to do. Conditions, events and logs use these words. */
export const acmeHints = {
  Unreachable: 'check spec.acme.server, DNS, the network policy and spec.acme.caBundle',
  BadAnswer: 'the address may not be an ACME server; check spec.acme.server',
  ServerFailed: 'the server failed; it is asked again',
  RateLimited: 'the server asked to slow down; it is asked again when it allows',
  Unauthorized: 'the server does not let this account do that; check the account with the CA',
  AccountMissing: 'the server does not know the account of the key; it is registered anew',
  AccountKeyBroken: 'restore the Secret of the account key, or delete it for a new account',
  AccountRefused: 'check spec.acme.email and spec.acme.externalAccountBinding with the CA',
  BindingRequired: 'this CA wants an account that it knows already: set spec.acme.externalAccountBinding',
  ActionRequired: 'the CA wants a person to act, usually to agree to new terms',
  NameRefused: 'the CA does not issue for this name; change dnsNames',
  NoSolver: 'let a solver of the TLSIssuer fit the name; wildcards need dns01',
  ChallengeFailed: 'the CA could not verify that the name is ours; check that it reaches the service by this name',
  ChallengeNotServed:
    'no sidecar of the service took the challenge over; check that its pods run and reach the operator',
  DnsUpdateFailed: 'check the nameserver and the TSIG key of the dns01 solver',
  CaaForbids: 'a CAA record forbids this CA; change the record or the issuer',
  BadCsr: 'the CA refuses the request itself; choose another certificate.key',
  ProfileUnknown: 'the CA does not offer spec.acme.profile; its directory lists those that it does',
  OrderFailed: 'the CA gave the order up; it is tried again',
  CertificateWrong: 'what came back is not what was asked for; something between us and the CA is not to be trusted',
} as const;

/** Why an ACME server did not give what was asked for. */
export type AcmeReason = keyof typeof acmeHints;

/** Reasons that a later try without any change may overcome. */
const passing: ReadonlySet<AcmeReason> = new Set([
  'Unreachable',
  'BadAnswer',
  'ServerFailed',
  'RateLimited',
  'AccountMissing',
  'ChallengeFailed',
  'ChallengeNotServed',
  'DnsUpdateFailed',
  'OrderFailed',
]);

/** A failure of an ACME exchange. */
export class AcmeError extends SignerError<AcmeReason> {
  /** The server's own word for it, after `urn:ietf:params:acme:error:`. */
  readonly type: string | undefined;

  constructor(
    reason: AcmeReason,
    detail: string,
    { type, ...details }: FailureDetails & { readonly type?: string | undefined } = {},
  ) {
    super(reason, detail, { ...details, hint: acmeHints[reason], retryable: passing.has(reason) });
    this.name = 'AcmeError';
    this.type = type;
  }
}

const byType: Readonly<Record<string, AcmeReason>> = {
  accountDoesNotExist: 'AccountMissing',
  badCSR: 'BadCsr',
  badNonce: 'ServerFailed',
  badPublicKey: 'BadCsr',
  badSignatureAlgorithm: 'AccountKeyBroken',
  caa: 'CaaForbids',
  connection: 'ChallengeFailed',
  dns: 'ChallengeFailed',
  externalAccountRequired: 'BindingRequired',
  incorrectResponse: 'ChallengeFailed',
  invalidContact: 'AccountRefused',
  invalidProfile: 'ProfileUnknown',
  orderNotReady: 'OrderFailed',
  rateLimited: 'RateLimited',
  rejectedIdentifier: 'NameRefused',
  serverInternal: 'ServerFailed',
  tls: 'ChallengeFailed',
  unauthorized: 'Unauthorized',
  unsupportedContact: 'AccountRefused',
  unsupportedIdentifier: 'NameRefused',
  userActionRequired: 'ActionRequired',
};

const prefix = 'urn:ietf:params:acme:error:';

/** Where a problem came up: some words of the server mean something else at a challenge than at a request. */
export interface ProblemPlace {
  /** What was being done, for the message: "new order". */
  readonly doing: string;
  readonly status?: number;
  readonly retryAfterMs?: number | undefined;
  /** It was found while the server looked at a challenge. */
  readonly challenge?: boolean;
}

/** The error for a problem document, or for an answer without one. */
export function problemOf(document: unknown, place: ProblemPlace): AcmeError {
  const problem = membersOf(document);
  const type =
    typeof problem['type'] === 'string' && problem['type'].startsWith(prefix)
      ? problem['type'].slice(prefix.length)
      : undefined;
  const reason = reasonOf(type, problem, place);
  const said = saidBy(problem);
  const status = place.status === undefined ? '' : ` (HTTP ${place.status})`;
  const detail = `${place.doing}: the ACME server said ${type ?? 'no'}${status}${said === '' ? '' : `: ${said}`}`;
  return new AcmeError(reason, detail, { type, retryAfterMs: place.retryAfterMs });
}

function reasonOf(
  type: string | undefined,
  problem: Readonly<Record<string, unknown>>,
  place: ProblemPlace,
): AcmeReason {
  if (place.challenge === true && (type === undefined || type === 'unauthorized' || type === 'malformed'))
    return 'ChallengeFailed';
  // Several things at once (section 6.7.1): the first that we have a word for.
  if (type === 'compound' || (type === 'malformed' && Array.isArray(problem['subproblems']))) {
    for (const each of subproblemsOf(problem)) {
      const inner = problemOf(each, place).reason;
      if (inner !== 'BadAnswer' && inner !== 'ServerFailed') return inner;
    }
  }
  const known = type === undefined ? undefined : byType[type];
  if (known !== undefined) return known;
  if (place.status === 429 || (place.status === 503 && place.retryAfterMs !== undefined)) return 'RateLimited';
  if (place.status === undefined) return 'OrderFailed';
  return place.status >= 500 ? 'ServerFailed' : 'BadAnswer';
}

function saidBy(problem: Readonly<Record<string, unknown>>): string {
  const own = typeof problem['detail'] === 'string' ? problem['detail'] : '';
  const inner = subproblemsOf(problem).map((each) => {
    const { identifier, detail } = each;
    const { value } = membersOf(identifier);
    return `${typeof value === 'string' ? value : ''}: ${typeof detail === 'string' ? detail : ''}`;
  });
  return quoted([own, ...inner].filter((each) => each !== '').join('; '));
}

function subproblemsOf(problem: Readonly<Record<string, unknown>>): readonly Readonly<Record<string, unknown>>[] {
  const inner = problem['subproblems'];
  return Array.isArray(inner) ? inner.slice(0, 10).map(membersOf) : [];
}

// One order from its beginning to the chain that came of it (RFC 8555 section 7.4): names are proved together, what was put up to
// prove them is taken down whatever happens, and everything waits as the server says and for no longer than a stated time. In two steps: the
// first keeps the CA and sidecars busy, the second only waits.
import type { KeyObject } from 'node:crypto';
import type { AcmeSolver } from '../../../lib/api/tlsissuer.ts';
import type { Clock } from '../../../lib/clock.ts';
import { deadline } from '../../../lib/runtime/deadline.ts';
import type { Logger } from '../../../lib/runtime/logger.ts';
import { membersOf } from '../json.ts';
import { keyAuthorization } from './jws.ts';
import { AcmeError, problemOf } from './problem.ts';
import { type AcmeReply, type AcmeSession, type Signer, textOf, urlOf } from './session.ts';
import { challengeTypeOf, type ProofRequest, type Solver, solverFor } from './solvers.ts';

/** What is ordered. */
export interface OrderRequest {
  readonly dnsNames: readonly string[];
  /** DER of the certificate request. */
  readonly csr: Buffer;
  readonly profile?: string | undefined;
  /** ARI's name of the certificate that the new one takes the place of (RFC 9773 section 5). */
  readonly replaces?: string | undefined;
}

/** What ordering works with. */
export interface OrderDeps {
  readonly session: AcmeSession;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signer: Signer & { readonly key: KeyObject };
  readonly solvers: readonly AcmeSolver[];
  /** The one that carries a solver's settings out. */
  solver(settings: AcmeSolver): Solver;
}

type Members = Readonly<Record<string, unknown>>;

/** A challenge that will be answered. */
interface Proof {
  readonly settings: AcmeSolver;
  readonly request: ProofRequest;
  readonly challengeUrl: string;
  readonly authorizationUrl: string;
}

/** Longest time for proving names, for the CA's own deliberation after it, and for taking things down. */
const proveMs = 10 * 60_000;
const deliberateMs = 24 * 3_600_000;
const withdrawMs = 30_000;

/** An order whose names are proved and for which the CA has our request. */
export interface PlacedOrder {
  readonly url: string;
}

/** Places an order and proves its names, within ten minutes. Rejects with an AcmeError, or the signal's reason. */
export async function placeOrder(deps: OrderDeps, request: OrderRequest, signal: AbortSignal): Promise<PlacedOrder> {
  const { session, signer, clock } = deps;
  const limit = deadline(clock, proveMs, `proving ${request.dnsNames.join(', ')} to the ACME server`, signal);
  try {
    const { url, order } = await newOrder(deps, request, limit.signal);
    await prove(deps, order, limit.signal);
    await ready(deps, url, limit.signal);
    const payload = { csr: request.csr.toString('base64url') };
    const finalize = urlOf(order, 'finalize', 'order');
    await session.post({ doing: 'finalize', url: finalize, signer, payload }, limit.signal);
    return { url };
  } finally {
    limit.end();
  }
}

/**
 * The chain of an order as PEM, not judged yet. A CA may take a day for it, and may be away in between: `waits` is told how it stands.
 * Rejects with an AcmeError when the CA gives the order up.
 */
export async function collectChain(
  { session, signer, clock }: Pick<OrderDeps, 'session' | 'signer' | 'clock'>,
  { url }: PlacedOrder,
  { waits, signal }: { readonly waits: (why: string) => void; readonly signal: AbortSignal },
): Promise<string> {
  const limit = deadline(clock, deliberateMs, `the ACME server's work on order ${url}`, signal);
  const settled = (order: Members): string | undefined => {
    if (order['status'] === 'valid') return urlOf(order, 'certificate', 'order');
    if (order['status'] === 'invalid') throw failedOrder(order);
    waits(`the ACME server has not made up its mind about order ${url}`);
    return undefined;
  };
  try {
    const request = { doing: 'order', url, signer };
    const certificateUrl = await session.until(request, settled, limit.signal, (why) => waits(`order ${url}: ${why}`));
    const accept = 'application/pem-certificate-chain';
    return (await session.post({ doing: 'certificate', url: certificateUrl, signer, accept }, limit.signal)).body;
  } finally {
    limit.end();
  }
}

async function newOrder(
  deps: OrderDeps,
  { dnsNames, profile, replaces }: OrderRequest,
  signal: AbortSignal,
): Promise<{ readonly url: string; readonly order: Members }> {
  const { newOrder: url, profiles } = await deps.session.directory(signal);
  if (profile !== undefined && profiles?.includes(profile) !== true) {
    const offered = profiles === undefined || profiles.length === 0 ? 'none' : profiles.join(', ');
    throw new AcmeError('ProfileUnknown', `the ACME server offers these profiles: ${offered}; not "${profile}"`);
  }
  const identifiers = dnsNames.map((value) => ({ type: 'dns', value }));
  const payload = { identifiers, ...(profile === undefined ? {} : { profile }) };
  const post = (body: unknown): Promise<AcmeReply> =>
    deps.session.post({ doing: 'new order', url, signer: deps.signer, payload: body }, signal);
  const reply = await (replaces === undefined ? post(payload) : post({ ...payload, replaces }).catch(withoutReplaces));
  if (reply.location === undefined) throw new AcmeError('BadAnswer', 'the ACME server made an order without a URL');
  return { url: reply.location, order: reply.object() };

  /**
   * A CA that does not know the old certificate, or had it replaced before, still makes new ones; and one that fails over its name
   * (pebble, where the serial number begins with a zero octet) must not keep it from being renewed.
   */
  function withoutReplaces(error: unknown): Promise<AcmeReply> {
    const mayConcernIt = ['alreadyReplaced', 'malformed', 'unauthorized', 'serverInternal'];
    if (!(error instanceof AcmeError && mayConcernIt.includes(error.type ?? ''))) throw error;
    deps.logger.info({ replaces, why: error.message }, 'acme order made without naming the certificate it replaces');
    return post(payload);
  }
}

async function prove(deps: OrderDeps, order: Members, signal: AbortSignal): Promise<void> {
  const authorizations = order['authorizations'];
  if (!Array.isArray(authorizations)) throw new AcmeError('BadAnswer', "the ACME server's order has no authorizations");
  const proofs: Proof[] = [];
  for (const each of authorizations.slice(0, 100)) {
    const proof = await proofFor(deps, urlOf({ url: each }, 'url', 'authorization'), signal);
    if (proof !== undefined) proofs.push(proof);
  }
  const groups = [...Map.groupBy(proofs, ({ settings }) => settings)];
  try {
    for (const [settings, group] of groups) {
      await deps.solver(settings).present(
        group.map(({ request }) => request),
        signal,
      );
    }
    await answer(deps, proofs, signal);
  } finally {
    for (const [settings, group] of groups) await withdraw(deps, settings, group);
  }
}

/** The challenge to answer for one name; undefined when the CA has its proof already. */
async function proofFor(deps: OrderDeps, authorizationUrl: string, signal: AbortSignal): Promise<Proof | undefined> {
  const { session, signer, solvers } = deps;
  const reply = await session.post({ doing: 'authorization', url: authorizationUrl, signer }, signal);
  const authorization = reply.object();
  if (authorization['status'] === 'valid') return undefined;
  const domain = textOf(membersOf(authorization['identifier']), 'value', 'identifier');
  if (authorization['status'] !== 'pending') throw failedAuthorization(authorization, domain);
  const challenges = Array.isArray(authorization['challenges']) ? authorization['challenges'].map(membersOf) : [];
  const offered = new Set(challenges.map(({ type }) => String(type)));
  const wildcard = authorization['wildcard'] === true;
  const settings = solverFor(solvers, { domain, wildcard }, offered);
  const type = settings === undefined ? undefined : challengeTypeOf(settings);
  const challenge = challenges.find((each) => each['type'] === type);
  if (settings === undefined || challenge === undefined) {
    const name = wildcard ? `*.${domain}` : domain;
    throw new AcmeError(
      'NoSolver',
      `no solver fits ${name}; the CA offers ${[...offered].join(', ') || 'no challenge'}`,
    );
  }
  const token = tokenOf(challenge);
  const request = { domain, token, keyAuthorization: keyAuthorization(token, signer.key) };
  return { settings, request, challengeUrl: urlOf(challenge, 'url', 'challenge'), authorizationUrl };
}

/** Section 8.3: base64url. It becomes part of a path and of file names elsewhere: nothing else is taken. */
function tokenOf(challenge: Members): string {
  const token = textOf(challenge, 'token', 'challenge');
  if (/^[A-Za-z0-9_-]{16,256}$/.test(token)) return token;
  throw new AcmeError('BadAnswer', "the token of the ACME server's challenge is not base64url");
}

async function answer({ session, signer }: OrderDeps, proofs: readonly Proof[], signal: AbortSignal): Promise<void> {
  for (const { challengeUrl } of proofs) {
    await session.post({ doing: 'challenge', url: challengeUrl, signer, payload: {} }, signal);
  }
  for (const { authorizationUrl, request } of proofs) {
    const settled = (authorization: Members): true | undefined => {
      if (authorization['status'] === 'valid') return true;
      if (authorization['status'] === 'pending') return undefined;
      throw failedAuthorization(authorization, request.domain);
    };
    await session.until({ doing: 'authorization', url: authorizationUrl, signer }, settled, signal);
  }
}

function failedAuthorization(authorization: Members, domain: string): AcmeError {
  const challenges = Array.isArray(authorization['challenges']) ? authorization['challenges'].map(membersOf) : [];
  const failed = challenges.find((each) => each['error'] !== undefined);
  if (failed !== undefined) {
    return problemOf(failed['error'], { doing: `${String(failed['type'])} challenge for ${domain}`, challenge: true });
  }
  return new AcmeError('ChallengeFailed', `the authorization for ${domain} is ${String(authorization['status'])}`);
}

/** Also after an abort: nothing is left behind that a stranger could use. */
async function withdraw(deps: OrderDeps, settings: AcmeSolver, group: readonly Proof[]): Promise<void> {
  const limit = deadline(deps.clock, withdrawMs, 'taking challenges down');
  try {
    await deps.solver(settings).withdraw(
      group.map(({ request }) => request),
      limit.signal,
    );
  } catch (err) {
    deps.logger.warn({ err, domains: group.map(({ request }) => request.domain) }, 'acme challenges not taken down');
  } finally {
    limit.end();
  }
}

async function ready({ session, signer }: OrderDeps, url: string, signal: AbortSignal): Promise<void> {
  const settled = (order: Members): true | undefined => {
    if (order['status'] === 'invalid') throw failedOrder(order);
    return order['status'] === 'pending' ? undefined : true;
  };
  await session.until({ doing: 'order', url, signer }, settled, signal);
}

function failedOrder(order: Members): AcmeError {
  return order['error'] === undefined
    ? new AcmeError('OrderFailed', 'the ACME server gave the order up without a reason')
    : problemOf(order['error'], { doing: 'order' });
}

// One CertificateSigningRequest from making to deleting: what it asks for, how it is followed for as long as somebody may take, and what
// its end means.
import { randomBytes } from 'node:crypto';
import { fieldManagers, labels, MANAGED_BY } from '../../../lib/api/contract.ts';
import type { KubernetesCsrIssuerSpec } from '../../../lib/api/tlsissuer.ts';
import { type Clock, formatDuration } from '../../../lib/clock.ts';
import { messageOf } from '../../../lib/errors.ts';
import type { KubeClient } from '../../../lib/kube/client.ts';
import { isKube } from '../../../lib/kube/errors.ts';
import type { CertificateSigningRequest } from '../../../lib/kube/object.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { requestPem } from '../../../lib/pki/csr.ts';
import { deadline } from '../../../lib/runtime/deadline.ts';
import { orAborted } from '../../../lib/runtime/signals.ts';
import { IssuerError, quoted } from '../problem.ts';
import type { RequestDesk } from './desk.ts';

/** What following a request takes. */
export interface RequestDeps {
  readonly client: Pick<KubeClient, 'create' | 'patch'>;
  readonly clock: Clock;
  readonly desk: Pick<RequestDesk, 'follow' | 'ask' | 'remove'>;
  /** How long approval and signing may take together; a day by default. */
  readonly waitMs?: number;
}

/** What is asked for. */
export interface SigningRequest {
  readonly spec: KubernetesCsrIssuerSpec;
  /** Name of the TLSIssuer. */
  readonly issuer: string;
  /** PKCS#10, DER. */
  readonly request: Buffer;
  readonly lifetimeMs: number;
  /** Told whom the request waits for, as a sentence. */
  readonly waits: (why: string) => void;
}

/** Kubernetes itself deletes a request that nobody decided about after a day. */
const defaultWaitMs = 24 * 3_600_000;
/** Whoever denied a request is not asked again at once. */
const deniedMs = 10 * 60_000;
/** Least that the API takes (certificates.k8s.io/v1, expirationSeconds). */
const leastSeconds = 600;
const usages = ['digital signature', 'client auth', 'server auth'];
const { certificatesigningrequests } = resources;

/** Label selector of the requests that Tabard makes. */
export const ours = `${labels.managedBy}=${MANAGED_BY}`;

/** Whether a request was made for a TLSIssuer: by its name, which is made here alone. */
export function isRequestOf(issuer: string, { metadata }: Pick<CertificateSigningRequest, 'metadata'>): boolean {
  const start = `tabard-${issuer}-`;
  return metadata.name.startsWith(start) && /^[0-9a-f]{16}$/.test(metadata.name.slice(start.length));
}

/** The PEM that the signer put into the request. Rejects with IssuerError; the request is deleted in any case. */
export async function signedThroughApi(
  wanted: SigningRequest,
  deps: RequestDeps,
  signal: AbortSignal,
): Promise<string> {
  const { clock, desk, waitMs = defaultWaitMs } = deps;
  const { spec } = wanted;
  const name = `tabard-${wanted.issuer}-${randomBytes(8).toString('hex')}`;
  const limit = deadline(clock, waitMs, 'the signing of a CertificateSigningRequest', signal);
  const course = new Course(name, wanted);
  const end = desk.follow(name, (request) => course.becomes(request));
  const over = new AbortController();
  let made: CertificateSigningRequest | undefined;
  try {
    made = await make(name, wanted, deps, limit.signal);
    course.becomes(spec.approve === true ? await approve(made, deps, limit.signal) : made);
    void desk.ask(name, over.signal);
    return await orAborted(course.outcome, limit.signal);
  } catch (error) {
    signal.throwIfAborted();
    throw limit.expired ? course.late(waitMs) : failureOf(error, spec);
  } finally {
    limit.end();
    over.abort();
    if (made !== undefined) await desk.remove(made);
    end();
  }
}

/** What becomes of one request. */
class Course {
  readonly #name: string;
  readonly #spec: KubernetesCsrIssuerSpec;
  readonly #waits: (why: string) => void;
  readonly #outcome = Promise.withResolvers<string>();
  #newest: CertificateSigningRequest | undefined;

  constructor(name: string, { spec, waits }: Pick<SigningRequest, 'spec' | 'waits'>) {
    this.#name = name;
    this.#spec = spec;
    this.#waits = waits;
    // Whoever gave up does not hear of it any more.
    this.#outcome.promise.catch(() => undefined);
  }

  /** The certificate's PEM. Rejects with IssuerError when it ends without one. */
  get outcome(): Promise<string> {
    return this.#outcome.promise;
  }

  /** The request as it is now; undefined when it is gone. */
  becomes(request: CertificateSigningRequest | undefined): void {
    if (request === undefined) {
      this.#outcome.reject(new IssuerError('SignerFailed', `somebody deleted the request ${this.#name}`));
      return;
    }
    this.#newest = request;
    const refused = refusalOf(request);
    if (refused !== undefined) this.#outcome.reject(refused);
    const certificate = request.status?.certificate ?? '';
    if (certificate !== '') this.#outcome.resolve(Buffer.from(certificate, 'base64').toString('utf8'));
    else if (refused === undefined) this.#waits(this.#waitingFor());
  }

  /** Why nothing came of it in time. */
  late(waitMs: number): IssuerError {
    const did = this.#isApproved ? 'signed' : 'approved';
    const detail = `the request to ${this.#spec.signerName} was not ${did} within ${formatDuration(waitMs)}`;
    const reason = this.#isApproved ? 'NotSigned' : 'NotApproved';
    return new IssuerError(this.#newest === undefined ? 'Unreachable' : reason, detail);
  }

  #waitingFor(): string {
    const { signerName } = this.#spec;
    const request = `CertificateSigningRequest ${this.#name} to signer ${signerName}`;
    return this.#isApproved ? `${request} is approved and not signed yet` : `${request} waits to be approved`;
  }

  get #isApproved(): boolean {
    return this.#newest?.status?.conditions?.some(({ type }) => type === 'Approved') === true;
  }
}

function make(
  name: string,
  { spec, request, lifetimeMs }: SigningRequest,
  { client }: RequestDeps,
  signal: AbortSignal,
): Promise<CertificateSigningRequest> {
  const input = {
    metadata: { name, labels: { [labels.managedBy]: MANAGED_BY } },
    spec: {
      request: Buffer.from(requestPem(request)).toString('base64'),
      signerName: spec.signerName,
      expirationSeconds: Math.max(leastSeconds, Math.floor(lifetimeMs / 1_000)),
      usages,
    },
  };
  return client.create(certificatesigningrequests, input, { signal, fieldManager: fieldManagers.operator });
}

function approve(
  { metadata: { name, resourceVersion } }: CertificateSigningRequest,
  { client }: RequestDeps,
  signal: AbortSignal,
): Promise<CertificateSigningRequest> {
  const condition = {
    type: 'Approved',
    status: 'True',
    reason: 'RequestedByTabard',
    message: 'The operator made this request itself and the TLSIssuer says approve: true.',
  };
  // On the version that we made: a request that somebody denied in between stays denied.
  const patch = { metadata: { resourceVersion }, status: { conditions: [condition] } };
  const options = { signal, subresource: 'approval', fieldManager: fieldManagers.operator } as const;
  return client.patch(certificatesigningrequests, { name }, patch, options);
}

/** Why a request ended without a certificate; undefined while it is open, or signed. */
function refusalOf({ metadata: { name }, status }: CertificateSigningRequest): IssuerError | undefined {
  const found = status?.conditions?.find(({ type }) => type === 'Denied' || type === 'Failed');
  if (found === undefined) return undefined;
  const said = quoted([found.reason, found.message].filter((each) => (each ?? '') !== '').join(': '));
  const detail = `request ${name} is ${found.type}${said === '' ? '' : `: ${said}`}`;
  return found.type === 'Denied'
    ? new IssuerError('Denied', detail, { retryAfterMs: deniedMs })
    : new IssuerError('SignerFailed', detail);
}

function failureOf(error: unknown, { signerName }: KubernetesCsrIssuerSpec): IssuerError {
  if (error instanceof IssuerError) return error;
  const detail = `the request to ${signerName}: ${messageOf(error)}`;
  if (isKube(error, 'Forbidden', 'Unauthorized')) return new IssuerError('RightMissing', detail, { cause: error });
  if (isKube(error, 'Invalid')) return new IssuerError('SpecInvalid', detail, { cause: error });
  return new IssuerError('Unreachable', detail, { cause: error });
}

// One CertificateSigningRequest from making to deleting: what it asks for, how it is followed, and what its end means.
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
import type { Logger } from '../../../lib/runtime/logger.ts';
import { IssuerError, quoted } from '../problem.ts';

/** What following a request takes. */
export interface RequestDeps {
  readonly client: Pick<KubeClient, 'get' | 'create' | 'patch' | 'watch' | 'delete'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long approval and signing may take together; half a minute by default. */
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
}

/** The order holds one of the operator's workers as long as it waits. */
const defaultWaitMs = 30_000;
const deleteMs = 10_000;
/** Least that the API takes (certificates.k8s.io/v1, expirationSeconds). */
const leastSeconds = 600;
const usages = ['digital signature', 'client auth', 'server auth'];
/** Failures of the API server that end while the request waits. */
const passing = ['Gone', 'Unavailable', 'Throttled'] as const;
const againMs = 500;
const { certificatesigningrequests } = resources;

/** The PEM that the signer put into the request. Rejects with IssuerError; the request is deleted in any case. */
export async function signedThroughApi(
  wanted: SigningRequest,
  deps: RequestDeps,
  signal: AbortSignal,
): Promise<string> {
  const { clock, waitMs = defaultWaitMs } = deps;
  const limit = deadline(clock, waitMs, 'the signing of a CertificateSigningRequest', signal);
  let made: CertificateSigningRequest | undefined;
  let newest: CertificateSigningRequest | undefined;
  try {
    made = await make(wanted, deps, limit.signal);
    newest = made;
    if (wanted.spec.approve === true) newest = await approve(made, deps, limit.signal);
    for await (const each of changesOf(newest, deps, limit.signal)) {
      newest = each;
      const pem = outcomeOf(each);
      if (pem !== undefined) return pem;
    }
    throw limit.signal.reason;
  } catch (error) {
    signal.throwIfAborted();
    throw limit.expired ? late(newest, wanted.spec, waitMs) : failureOf(error, wanted.spec);
  } finally {
    limit.end();
    if (made !== undefined) await remove(made, deps);
  }
}

function make(
  { spec, issuer, request, lifetimeMs }: SigningRequest,
  { client }: RequestDeps,
  signal: AbortSignal,
): Promise<CertificateSigningRequest> {
  const input = {
    metadata: {
      name: `tabard-${issuer}-${randomBytes(8).toString('hex')}`,
      labels: { [labels.managedBy]: MANAGED_BY },
    },
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

/** The request as it is and as it becomes; ends when the signal is aborted. */
async function* changesOf(
  first: CertificateSigningRequest,
  deps: RequestDeps,
  signal: AbortSignal,
): AsyncGenerator<CertificateSigningRequest> {
  const { name } = first.metadata;
  let { resourceVersion } = first.metadata;
  yield first;
  while (!signal.aborted) {
    const options = { fieldSelector: `metadata.name=${name}`, resourceVersion, timeoutSeconds: 300, idleMs: 300_000 };
    try {
      for await (const event of deps.client.watch(certificatesigningrequests, { ...options, signal })) {
        ({ resourceVersion } = event);
        if (event.type === 'BOOKMARK') continue;
        if (event.type === 'DELETED') throw new IssuerError('SignerFailed', `somebody deleted the request ${name}`);
        yield event.object;
      }
    } catch (error) {
      // A watch that broke or is too old begins anew from what there is.
      if (!isKube(error, ...passing)) throw error;
      const now = await reread(name, deps, signal);
      ({ resourceVersion } = now.metadata);
      yield now;
    }
  }
}

/** The request as it is; asks until the API server answers or the signal is aborted. */
async function reread(
  name: string,
  { client, clock }: RequestDeps,
  signal: AbortSignal,
): Promise<CertificateSigningRequest> {
  for (;;) {
    try {
      return await client.get(certificatesigningrequests, { name }, { signal });
    } catch (error) {
      if (!isKube(error, ...passing)) throw error;
      await clock.sleep(againMs, signal);
    }
  }
}

/** The certificate's PEM; undefined while the request is open. Throws IssuerError when it ended without one. */
function outcomeOf({ metadata: { name }, status }: CertificateSigningRequest): string | undefined {
  for (const [type, reason] of [
    ['Denied', 'Denied'],
    ['Failed', 'SignerFailed'],
  ] as const) {
    const found = status?.conditions?.find((each) => each.type === type);
    if (found === undefined) continue;
    const said = quoted([found.reason, found.message].filter((each) => (each ?? '') !== '').join(': '));
    throw new IssuerError(reason, `request ${name} is ${type}${said === '' ? '' : `: ${said}`}`);
  }
  const certificate = status?.certificate ?? '';
  return certificate === '' ? undefined : Buffer.from(certificate, 'base64').toString('utf8');
}

function late(
  newest: CertificateSigningRequest | undefined,
  { signerName }: KubernetesCsrIssuerSpec,
  waitMs: number,
): IssuerError {
  const approved = newest?.status?.conditions?.some(({ type }) => type === 'Approved') === true;
  const did = approved ? 'signed' : 'approved';
  const detail = `the request to ${signerName} was not ${did} within ${formatDuration(waitMs)}`;
  return new IssuerError(newest === undefined ? 'Unreachable' : approved ? 'NotSigned' : 'NotApproved', detail);
}

function failureOf(error: unknown, { signerName }: KubernetesCsrIssuerSpec): IssuerError {
  if (error instanceof IssuerError) return error;
  const detail = `the request to ${signerName}: ${messageOf(error)}`;
  if (isKube(error, 'Forbidden', 'Unauthorized')) return new IssuerError('RightMissing', detail, { cause: error });
  if (isKube(error, 'Invalid')) return new IssuerError('SpecInvalid', detail, { cause: error });
  return new IssuerError('Unreachable', detail, { cause: error });
}

/** Also when the order was given up: its own little time. What is left behind Kubernetes removes within a day. */
async function remove({ metadata: { name, uid } }: CertificateSigningRequest, deps: RequestDeps): Promise<void> {
  const limit = deadline(deps.clock, deleteMs, 'deleting a CertificateSigningRequest');
  try {
    await deps.client.delete(certificatesigningrequests, { name }, { uid, signal: limit.signal });
  } catch (error) {
    if (!isKube(error, 'NotFound')) {
      deps.logger.warn({ request: name, reason: messageOf(error) }, 'a signing request was not deleted');
    }
  } finally {
    limit.end();
  }
}

// Opens the mTLS connection to the control API: every address that its name has is tried, and the answering certificate must prove
// exactly the operator's identity.
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import type { Clock } from '../../lib/clock.ts';
import { AppError } from '../../lib/errors.ts';
import { identityOf } from '../../lib/pki/identity.ts';
import type { CertificateSource } from '../../lib/runtime/credentials.ts';
import { tlsFailure } from '../tls/reason.ts';
import { dialPlain } from '../transport/plain.ts';

/** Where the control API is and who must answer. */
export interface ControlPeer {
  readonly host: string;
  readonly port: number;
  /** SPIFFE URI. */
  readonly identity: string;
}

/** What dialling needs. */
export interface DialDeps {
  readonly peer: ControlPeer;
  readonly source: CertificateSource;
  /** The bundle that the control API pushed last (PEM), beside the mounted one: after a change of CA either may be the newer. */
  pushedBundle(): string | undefined;
  readonly clock: Clock;
}

const RESOLVE_TIMEOUT_MS = 3_000;
const CONNECT_TIMEOUT_MS = 2_000;
const HANDSHAKE_TIMEOUT_MS = 3_000;

/** A connection on which HTTP/2 can begin. Rejects with the fault of the last address tried, after a bounded time. */
export async function dialControl(deps: DialDeps): Promise<TLSSocket> {
  const credentials = deps.source.current();
  if (credentials === undefined)
    throw new AppError('pki_invalid', 'there is no certificate to show to the control API', { retryable: true });
  const pushed = deps.pushedBundle();
  const context = createSecureContext({
    cert: credentials.certificate,
    key: credentials.key,
    ca: pushed === undefined ? credentials.trustBundle : [credentials.trustBundle, pushed],
    minVersion: 'TLSv1.3',
  });
  let last: unknown;
  for (const address of await addressesOf(deps)) {
    try {
      return await dialAddress(address, { ...deps, context });
    } catch (error) {
      last = error;
    }
  }
  throw last ?? new AppError('timeout', `${deps.peer.host} has no address`, { retryable: true });
}

/** All addresses in random order, so that the replicas share the load and a dead one costs one timeout at most. */
async function addressesOf({ peer, clock }: DialDeps): Promise<readonly string[]> {
  if (isIP(peer.host) !== 0) return [peer.host];
  const stop = new AbortController();
  const late = clock.sleep(RESOLVE_TIMEOUT_MS, stop.signal).then(() => {
    throw new AppError('timeout', `resolving ${peer.host} took over ${RESOLVE_TIMEOUT_MS} ms`, { retryable: true });
  });
  late.catch(() => undefined);
  try {
    const found = await Promise.race([lookup(peer.host, { all: true }), late]);
    return found
      .map(({ address }) => ({ address, order: Math.random() }))
      .sort((a, b) => a.order - b.order)
      .map(({ address }) => address);
  } finally {
    stop.abort();
  }
}

async function dialAddress(address: string, deps: DialDeps & { readonly context: SecureContext }): Promise<TLSSocket> {
  const { peer, context, clock } = deps;
  const dialled = await dialPlain({ address, port: peer.port }, CONNECT_TIMEOUT_MS);
  if (!dialled.ok) {
    throw new AppError('timeout', `no connection to ${address}:${peer.port}: ${dialled.detail}`, { retryable: true });
  }
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  // An end is an end here: HTTP/2 takes no notice of half of one, and would wait for ever on a server that hung up.
  dialled.socket.allowHalfOpen = false;
  const socket = connectTls({
    socket: dialled.socket,
    secureContext: context,
    ...(isIP(peer.host) === 0 ? { servername: peer.host } : {}),
    ALPNProtocols: ['h2'],
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  });
  const refuse = (why: string): void => {
    socket.destroy();
    reject(new AppError('control_protocol', `${address}:${peer.port} is refused: ${why}`, { retryable: true }));
  };
  const timer = setTimeout(() => refuse('the TLS handshake did not end in time'), HANDSHAKE_TIMEOUT_MS);
  socket.on('error', (error) => refuse(tlsFailure(error).code));
  socket.once('close', () => refuse('the connection was closed during the handshake'));
  socket.once('secureConnect', () => {
    const fault = faultOf(socket, peer, clock.now());
    if (fault === undefined) resolve(socket);
    else refuse(fault);
  });
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}

function faultOf(socket: TLSSocket, peer: ControlPeer, now: Date): string | undefined {
  if (!socket.authorized) return `its certificate does not verify: ${String(socket.authorizationError)}`;
  const certificate = socket.getPeerX509Certificate();
  const identity = certificate === undefined ? undefined : identityOf(certificate);
  if (certificate === undefined || identity !== peer.identity) return `it proved ${identity ?? 'no identity'}`;
  if (now >= certificate.validToDate) return 'its certificate has expired';
  return socket.alpnProtocol === 'h2' ? undefined : 'it does not speak HTTP/2';
}

// The way from this replica to another one: one HTTP/2 connection over mTLS on which reports are posted as they come in. A new
// connection begins with all that this replica knows at first hand, since the other one may have just started.
import { type ClientHttp2Session, connect as connectHttp2, constants } from 'node:http2';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { Clock } from '../../lib/clock.ts';
import { AppError, messageOf } from '../../lib/errors.ts';
import { parseCertificates } from '../../lib/pki/bundle.ts';
import { identityOf } from '../../lib/pki/identity.ts';
import { chainVerdict } from '../../lib/pki/verify.ts';
import { Backoff } from '../../lib/runtime/backoff.ts';
import type { CertificateSource } from '../../lib/runtime/credentials.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import { batchLimits, batchText, replicaPath } from './replicabody.ts';
import type { PodReport, ReportStore } from './report.ts';

export interface ReplicaDeps {
  readonly certificates: CertificateSource;
  readonly reports: Pick<ReportStore, 'own' | 'onAccepted'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

const connectTimeoutMs = 5_000;
const answerTimeoutMs = 5_000;
/** Reports of this long go together. */
const gatherMs = 500;
/** Shorter than the idle limit of the other side. */
const keepAliveMs = 20_000;
/** Reports that wait while the other side is slow; the oldest go. The next one of the same pod brings most of it again. */
const mostWaiting = 10_000;

/** Keeps another replica informed until the signal is aborted, or until it turns out to be this replica itself. Never rejects. */
export async function informReplica(
  to: { readonly address: string; readonly port: number },
  deps: ReplicaDeps,
  signal: AbortSignal,
): Promise<void> {
  const backoff = new Backoff({ initialMs: 200, maxMs: 10_000 });
  while (!signal.aborted) {
    try {
      const session = await dial(to, deps);
      if (session === 'self') return;
      backoff.reset();
      await post(session, deps, signal).finally(() => cut(session));
    } catch (error) {
      if (signal.aborted) return;
      deps.logger.info({ ...to, why: messageOf(error) }, 'another replica cannot be told of reports');
    }
    await deps.clock.sleep(backoff.next(), signal).catch(() => undefined);
  }
}

interface Link {
  readonly http: ClientHttp2Session;
  readonly socket: TLSSocket;
}

/** Without its socket a session cannot wait for a write that a dead peer never takes. */
function cut({ http, socket }: Link): void {
  http.destroy();
  socket.destroy();
}

async function dial(
  { address, port }: { readonly address: string; readonly port: number },
  { certificates, clock }: ReplicaDeps,
): Promise<Link | 'self'> {
  const own = certificates.current();
  if (own === undefined)
    throw new AppError('pki_invalid', 'there is no certificate of our own yet', { retryable: true });
  const socket = connectTls({
    host: address,
    port,
    cert: own.certificate,
    key: own.key,
    ca: own.trustBundle,
    minVersion: 'TLSv1.3',
    ALPNProtocols: ['h2'],
    // Judged below: the name that counts is the identity, not a DNS name.
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.on('error', reject);
  socket.once('secureConnect', resolve);
  const stop = new AbortController();
  clock.sleep(connectTimeoutMs, stop.signal).then(
    () => reject(new AppError('timeout', `no TLS after ${connectTimeoutMs} ms`, { retryable: true })),
    () => undefined,
  );
  try {
    await promise;
    const peer = socket.getPeerX509Certificate();
    if (peer?.fingerprint256 === own.leaf.fingerprint256) {
      socket.destroy();
      return 'self';
    }
    const bundle = parseCertificates(own.trustBundle);
    const chain = peer === undefined ? undefined : chainVerdict({ leaf: peer, bundle, now: clock.now() });
    if (peer === undefined || chain?.ok !== true || !socket.authorized || identityOf(peer) !== identityOf(own.leaf)) {
      throw new AppError('control_protocol', 'what answers there is no replica of this operator', { retryable: true });
    }
    const http = connectHttp2('https://replica', { createConnection: () => socket });
    http.on('error', () => undefined);
    return { http, socket };
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    stop.abort();
  }
}

/** Posts what is known, then what comes in, until the connection ends or the signal is aborted. */
async function post(link: Link, { reports, clock }: ReplicaDeps, signal: AbortSignal): Promise<void> {
  const waiting: PodReport[] = [...reports.own()];
  let news = new AbortController();
  const leave = reports.onAccepted((report) => {
    if (waiting.length >= mostWaiting) waiting.shift();
    waiting.push(report);
    news.abort();
  });
  link.http.once('goaway', () => cut(link));
  link.http.once('close', () => news.abort());
  try {
    while (!signal.aborted && !link.http.destroyed) {
      const batch = waiting.splice(0, batchLimits.reports);
      await postOne(link, batchText(batch), clock);
      if (waiting.length > 0) continue;
      news = new AbortController();
      await clock.sleep(keepAliveMs, AbortSignal.any([signal, news.signal])).catch(() => undefined);
      await clock.sleep(gatherMs, signal).catch(() => undefined);
    }
  } finally {
    leave();
  }
}

async function postOne({ http }: Link, body: string, clock: Clock): Promise<void> {
  const stream = http.request({ ':method': 'POST', ':path': replicaPath, 'content-type': 'application/json' });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const stop = new AbortController();
  clock.sleep(answerTimeoutMs, stop.signal).then(
    () => reject(new AppError('timeout', `no answer after ${answerTimeoutMs} ms`, { retryable: true })),
    () => undefined,
  );
  stream.on('error', reject);
  stream.on('close', () => reject(new AppError('control_protocol', 'the stream was closed', { retryable: true })));
  stream.on('response', ({ ':status': status }) => {
    if (status === 204) resolve();
    else reject(new AppError('control_protocol', `the answer was ${status}`, { retryable: true }));
  });
  stream.resume();
  stream.end(body);
  try {
    await promise;
  } catch (error) {
    stream.close(constants.NGHTTP2_CANCEL);
    throw error;
  } finally {
    stop.abort();
  }
}

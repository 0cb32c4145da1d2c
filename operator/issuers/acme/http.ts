// Requests to one ACME server: what is particular about them is how small an answer may be, and the words for what goes wrong.
import type { Clock } from '../../../lib/clock.ts';
import { type HttpsAnswer, HttpsClient, HttpsError } from '../https.ts';
import { AcmeError } from './problem.ts';

/** What is sent. */
export interface AcmeRequest {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** The way to one ACME server. */
export interface AcmeTransport {
  /** Rejects with AcmeError `Unreachable` or `BadAnswer`, or with the signal's reason. */
  send(request: AcmeRequest, signal: AbortSignal): Promise<HttpsAnswer>;
  /** Closes kept connections. */
  close(): void;
}

/** A chain of certificates is the largest thing that an ACME server sends. */
const maximumBytes = 512 * 1024;
const timeoutMs = 30_000;

/** A transport that trusts `trust` (PEM) alone, or the system's roots without it. */
export function httpsTransport(options: {
  readonly clock: Clock;
  readonly userAgent: string;
  readonly trust?: string | undefined;
}): AcmeTransport {
  const https = new HttpsClient({ ...options, timeoutMs, maximumBytes });
  return {
    send: async ({ url, ...wanted }, signal) => {
      const address = URL.parse(url);
      if (address === null) throw new AcmeError('Unreachable', `"${url.slice(0, 200)}" is no address`);
      try {
        return await https.send({ ...wanted, url: address }, signal);
      } catch (error) {
        if (!(error instanceof HttpsError)) throw error;
        const reason = error.fault === 'too_large' ? 'BadAnswer' : 'Unreachable';
        throw new AcmeError(reason, error.message, { cause: error });
      }
    },
    close: () => https.close(),
  };
}

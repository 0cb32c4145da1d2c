// The kubelet's httpGet probe (kubernetes pkg/probe/http): one GET on a new connection, certificates not looked at, redirects
// followed while they stay on the same host, at most ten; 200 to 399 is success. HTTP/1.1 only: where the kubelet's client would
// agree on HTTP/2 with a TLS server, this one does not offer it.
import { type ClientRequest, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import type { ProbeAction } from '../../lib/api/probes.ts';
import { messageOf } from '../../lib/errors.ts';
import { failed, type ProbeContext, type ProbeOutcome } from './outcome.ts';

const MAX_REDIRECTS = 10;
/** The kubelet reads that much of an answer; the rest is not fetched. */
const MAX_BODY_BYTES = 10 * 1024;

/** An httpGet action. */
export type HttpAction = Extract<ProbeAction, { kind: 'http' }>;

/** One place to ask. The host is a name or an address without brackets. */
interface Target {
  readonly secure: boolean;
  readonly host: string;
  readonly port: number;
  readonly path: string;
}

/** Asks and follows. Never rejects. */
export async function probeHttp(action: HttpAction, context: ProbeContext): Promise<ProbeOutcome> {
  const first: Target = {
    secure: action.scheme === 'HTTPS',
    host: action.host ?? context.address,
    port: action.port,
    path: requestPath(action.path),
  };
  try {
    const headers = requestHeaders(action, context.userAgent);
    let target = first;
    for (let hops = 0; ; hops += 1) {
      const response = await ask(target, headers, context.signal);
      const next = redirectTarget(target, response, first.host);
      if (next === undefined) return await outcomeOf(response, context.signal);
      response.destroy();
      if (hops === MAX_REDIRECTS - 1) return failed(`stopped after ${MAX_REDIRECTS} redirects`);
      target = next;
    }
  } catch (error) {
    return failed(messageOf(context.signal.aborted ? context.signal.reason : error));
  }
}

function ask(
  target: Target,
  headers: Readonly<Record<string, string | string[]>>,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const { secure, host, port, path } = target;
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const authority = isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
  const options: RequestOptions = { host, port, path, headers: { host: authority, ...headers }, agent: false, signal };
  const request: ClientRequest = secure
    ? // An address is no name to ask a certificate for; and which one it is, is not looked at, as the kubelet does not.
      httpsRequest({ ...options, rejectUnauthorized: false, servername: isIP(host) === 0 ? host : '' })
    : httpRequest(options);
  request.on('response', resolve).on('error', reject);
  request.end();
  return promise;
}

/** The author's headers, then the kubelet's own where the author gave none; an empty User-Agent or Accept takes them away. */
function requestHeaders(action: HttpAction, userAgent: string): Readonly<Record<string, string | string[]>> {
  const headers: Record<string, string[]> = Object.create(null);
  for (const { name, value } of action.headers) (headers[name.toLowerCase()] ??= []).push(value);
  for (const [name, value] of [
    ['user-agent', userAgent],
    ['accept', '*/*'],
  ] as const) {
    const given = headers[name];
    if (given === undefined) headers[name] = [value];
    else if (given[0] === '') delete headers[name];
  }
  // Node takes a list for a header that may be there several times, and would refuse one for Host.
  const single = Object.entries(headers).map(([name, values]) => [name, values.length === 1 ? values[0] : values]);
  return { ...Object.fromEntries(single), connection: 'close' };
}

/** The author's path as a request target: with a leading slash, without a fragment, unsafe characters escaped. */
function requestPath(path: string): string {
  const [target = ''] = path.split('#');
  const escaped = target.replace(/[^\x21-\x7e]/gu, (character) => encodeURIComponent(character));
  return escaped.startsWith('/') ? escaped : `/${escaped}`;
}

/** Where to go on, or undefined when this is the answer: no redirect, no usable place, or another host (then a 3xx counts as success). */
function redirectTarget(from: Target, { statusCode = 0, headers }: IncomingMessage, host: string): Target | undefined {
  if (![301, 302, 303, 307, 308].includes(statusCode) || headers.location === undefined) return undefined;
  const bracketed = isIP(from.host) === 6 ? `[${from.host}]` : from.host;
  const base = `${from.secure ? 'https' : 'http'}://${bracketed}:${from.port}${from.path}`;
  const url = URL.canParse(headers.location, base) ? new URL(headers.location, base) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) return undefined;
  const secure = url.protocol === 'https:';
  const name = url.hostname.replace(/^\[|\]$/g, '');
  if (name !== new URL(`http://${isIP(host) === 6 ? `[${host}]` : host}`).hostname.replace(/^\[|\]$/g, ''))
    return undefined;
  return {
    secure,
    host,
    port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
    path: url.pathname + url.search,
  };
}

async function outcomeOf(response: IncomingMessage, signal: AbortSignal): Promise<ProbeOutcome> {
  const status = response.statusCode ?? 0;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes >= MAX_BODY_BYTES || signal.aborted) break;
  }
  if (signal.aborted) throw signal.reason;
  const message = Buffer.concat(chunks).subarray(0, MAX_BODY_BYTES).toString();
  return { success: status >= 200 && status < 400, answered: true, status, message };
}

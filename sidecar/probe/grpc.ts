// The kubelet's grpc probe (kubernetes pkg/probe/grpc): grpc.health.v1.Health/Check over HTTP/2 without TLS. The two messages
// are a string and an enum, so protobuf is written and read by hand here (protobuf encoding specification, wire types 0 and 2).
import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders } from 'node:http2';
import { isIP } from 'node:net';
import { messageOf } from '../../lib/errors.ts';
import { failed, type ProbeContext, type ProbeOutcome } from './outcome.ts';

const CHECK = '/grpc.health.v1.Health/Check';
/** HealthCheckResponse.ServingStatus (grpc/health/v1/health.proto). */
const statusNames = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'] as const;
const SERVING = 1;
/** A health answer has a few bytes; what is longer is none. */
const MAX_ANSWER_BYTES = 4096;

/** Asks for the health of a service; success is SERVING. Never rejects. */
export async function probeGrpc(
  action: { readonly port: number; readonly service: string },
  context: ProbeContext,
): Promise<ProbeOutcome> {
  const { address, signal } = context;
  const host = isIP(address) === 6 ? `[${address}]` : address;
  const session = connect(`http://${host}:${action.port}`);
  try {
    return await Promise.race([check(session, action.service, context), ended(session, signal)]);
  } catch (error) {
    return failed(messageOf(signal.aborted ? signal.reason : error));
  } finally {
    session.on('error', () => undefined);
    session.destroy();
  }
}

/** Rejects when the connection fails or the time is up. */
function ended(session: ClientHttp2Session, signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    session.on('error', reject);
    session.on('close', () => reject(new Error('the connection was closed')));
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    if (signal.aborted) reject(signal.reason);
  });
}

function check(session: ClientHttp2Session, service: string, { userAgent }: ProbeContext): Promise<ProbeOutcome> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: CHECK,
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': userAgent,
    });
    let headers: IncomingHttpHeaders = {};
    let answer = Buffer.alloc(0);
    stream.on('response', (received) => {
      headers = received;
    });
    // Without a body the status is among the headers ("Trailers-Only").
    stream.on('trailers', (received) => {
      headers = { ...headers, ...received };
    });
    stream.on('data', (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk]);
      if (answer.length > MAX_ANSWER_BYTES) reject(new Error('the answer is too long to be a health status'));
    });
    stream.on('end', () => resolve(outcomeOf(headers, answer)));
    stream.on('error', reject);
    stream.end(encodeRequest(service));
  });
}

function outcomeOf(headers: IncomingHttpHeaders, answer: Buffer): ProbeOutcome {
  const code = headers['grpc-status'];
  if (code === undefined)
    return failed(`HTTP status ${String(headers[':status'])} without a gRPC status: no gRPC server`);
  if (code !== '0') {
    const said = decodeURIComponentSafely(String(headers['grpc-message'] ?? ''));
    return failed(`the health service answered with gRPC status ${String(code)}${said === '' ? '' : ` (${said})`}`);
  }
  const status = decodeResponse(answer);
  if (status === undefined) return failed('the answer is no health status');
  const name = statusNames[status] ?? String(status);
  return status === SERVING
    ? { success: true, answered: true, status: 200, message: name }
    : failed(`service unhealthy (${name})`);
}

function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** HealthCheckRequest { string service = 1 } in one uncompressed gRPC message. */
export function encodeRequest(service: string): Buffer {
  const name = Buffer.from(service);
  const body = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a]), varint(name.length), name]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(body.length, 1);
  return Buffer.concat([prefix, body]);
}

/**
 * HealthCheckResponse { ServingStatus status = 1 } out of exactly one uncompressed gRPC message; an absent field is 0. Fields
 * that are not known are skipped, as protobuf asks. `undefined` for anything else.
 */
export function decodeResponse(answer: Buffer): number | undefined {
  if (answer.length < 5 || answer[0] !== 0 || answer.readUInt32BE(1) !== answer.length - 5) return undefined;
  let status = 0;
  let offset = 5;
  while (offset < answer.length) {
    const tag = readVarint(answer, offset);
    if (tag === undefined) return undefined;
    const value = readVarint(answer, tag.next);
    const wireType = tag.value % 8;
    if (value === undefined || (wireType !== 0 && wireType !== 2)) return undefined;
    if (tag.value === 0x08) status = value.value;
    offset = wireType === 2 ? value.next + value.value : value.next;
  }
  return offset === answer.length ? status : undefined;
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  return Buffer.from([...bytes, rest]);
}

/** At most four bytes: nothing in a health answer is larger. */
function readVarint(bytes: Buffer, offset: number): { readonly value: number; readonly next: number } | undefined {
  let value = 0;
  for (let index = 0; index < 4; index += 1) {
    const byte = bytes[offset + index];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) << (7 * index);
    if (byte < 0x80) return { value, next: offset + index + 1 };
  }
  return undefined;
}

// Signatures of DNS messages by a shared key (TSIG, RFC 8945): signing a request, and checking that its answer was signed for
// exactly that request. Pure; the time is given.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { AppError } from '../../../../lib/errors.ts';
import { classes, encodeName, encodeRecord, readMessage, readName, types } from './message.ts';

/** A shared key. */
export interface TsigKey {
  readonly name: string;
  readonly algorithm: 'HMACSHA256' | 'HMACSHA384' | 'HMACSHA512';
  readonly secret: Buffer;
}

/** Names of algorithms in DNS and in OpenSSL (RFC 8945 section 6). */
const algorithms = {
  HMACSHA256: { dns: 'hmac-sha256', digest: 'sha256' },
  HMACSHA384: { dns: 'hmac-sha384', digest: 'sha384' },
  HMACSHA512: { dns: 'hmac-sha512', digest: 'sha512' },
} as const;

/** Seconds by which clocks may differ (section 10 recommends it). */
const fudge = 300;
/** Errors of a signature by number (section 3). */
const errors: Readonly<Record<number, string>> = { 16: 'BADSIG', 17: 'BADKEY', 18: 'BADTIME', 22: 'BADTRUNC' };

/** A signed message, and its MAC: the answer is signed over it, too. */
export interface Signed {
  readonly bytes: Buffer;
  readonly mac: Buffer;
}

/** Signs a message that has no signature yet. */
export function signMessage(message: Buffer, key: TsigKey, now: Date): Signed {
  const time = seconds(now);
  const variables = signedVariables(key, time, { error: 0, other: Buffer.alloc(0) });
  const mac = macOf(key, [message, variables]);
  const data = Buffer.concat([
    encodeName(algorithms[key.algorithm].dns),
    time,
    number(fudge),
    number(mac.length),
    mac,
    message.subarray(0, 2),
    number(0),
    number(0),
  ]);
  const record = encodeRecord({ name: key.name, type: types.tsig, class: classes.any, ttl: 0, data });
  const bytes = Buffer.concat([message, record]);
  bytes.writeUInt16BE(message.readUInt16BE(10) + 1, 10);
  return { bytes, mac };
}

/**
 * Checks that an answer was signed with the key, for the request with this MAC, at this time. Throws AppError `input_invalid`
 * that says in what it fails; the server's own complaint about our signature is among it.
 */
export function verifyAnswer(answer: Buffer, key: TsigKey, requestMac: Buffer, now: Date): void {
  const record = readMessage(answer).additionals.at(-1);
  if (record?.type !== types.tsig) throw refused('it is not signed');
  const { name: algorithm, end } = readName(record.data, 0);
  const fields = record.data.subarray(end);
  if (fields.length < 10) throw refused('its signature ends early');
  const macLength = fields.readUInt16BE(8);
  const rest = fields.subarray(10 + macLength);
  if (rest.length < 6) throw refused('its signature ends early');
  const error = rest.readUInt16BE(2);
  const other = rest.subarray(6);
  if (error !== 0) throw refused(`the server says ${errors[error] ?? `error ${error}`} of our signature`);
  if (record.name !== normal(key.name) || algorithm !== algorithms[key.algorithm].dns) {
    throw refused('it is signed with another key');
  }
  const time = fields.subarray(0, 6);
  const unsigned = Buffer.from(answer.subarray(0, record.start));
  unsigned.writeUInt16BE(answer.readUInt16BE(10) - 1, 10);
  rest.copy(unsigned, 0, 0, 2);
  const expected = macOf(key, [
    number(requestMac.length),
    requestMac,
    unsigned,
    signedVariables(key, time, { error, other }),
  ]);
  const mac = fields.subarray(10, 10 + macLength);
  if (mac.length !== expected.length || !timingSafeEqual(mac, expected)) throw refused('its signature does not fit');
  if (Math.abs(time.readUIntBE(0, 6) - now.getTime() / 1_000) > fudge)
    throw refused('its time is not ours; check the clocks');
}

/** Section 4.3.3: what is digested beside the message. */
function signedVariables(
  key: TsigKey,
  time: Buffer,
  { error, other }: { readonly error: number; readonly other: Buffer },
): Buffer {
  const head = [encodeName(key.name), number(classes.any), Buffer.alloc(4), encodeName(algorithms[key.algorithm].dns)];
  return Buffer.concat([...head, time, number(fudge), number(error), number(other.length), other]);
}

function macOf({ algorithm, secret }: TsigKey, parts: readonly Buffer[]): Buffer {
  const mac = createHmac(algorithms[algorithm].digest, secret);
  for (const part of parts) mac.update(part);
  return mac.digest();
}

function normal(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}

function seconds(now: Date): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUIntBE(Math.floor(now.getTime() / 1_000), 0, 6);
  return bytes;
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function refused(why: string): AppError {
  return new AppError('input_invalid', `the answer of the name server is not to be trusted: ${why}`);
}

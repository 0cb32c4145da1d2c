// DNS messages (RFC 1035 section 4), just as much of them as finding a zone and changing records in it takes (RFC 2136). Names are
// written in lower case and uncompressed, as TSIG digests them. Pure; what cannot be read throws AppError `input_invalid`.
import { AppError } from '../../../../lib/errors.ts';

/** Numbers of record types and classes that are used here. */
export const types = { soa: 6, txt: 16, tsig: 250 } as const;
export const classes = { internet: 1, none: 254, any: 255 } as const;
const opcodes = { query: 0, update: 5 } as const;

/** Response codes by number (RFC 1035, RFC 2136 section 2.2, RFC 8945 section 3). */
const responseCodes = [
  'NOERROR',
  'FORMERR',
  'SERVFAIL',
  'NXDOMAIN',
  'NOTIMP',
  'REFUSED',
  'YXDOMAIN',
  'YXRRSET',
  'NXRRSET',
  'NOTAUTH',
  'NOTZONE',
];

/** A resource record. `start` and `end` are its place in the message that it was read from. */
export interface DnsRecord {
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly ttl: number;
  readonly data: Buffer;
  readonly start: number;
}

/** A message that was read. */
export interface DnsMessage {
  readonly id: number;
  /** NOERROR, NXDOMAIN, … */
  readonly code: string;
  readonly answers: readonly DnsRecord[];
  readonly authorities: readonly DnsRecord[];
  readonly additionals: readonly DnsRecord[];
}

/** A change of a TXT record set. */
export interface TxtChange {
  readonly kind: 'add' | 'delete';
  readonly name: string;
  readonly text: string;
}

const headerBytes = 12;
/** Seconds that anybody may keep a record: it is gone in a minute. */
const ttlSeconds = 60;

/** A question for the records of a type. */
export function queryMessage(id: number, name: string, type: number): Buffer {
  return Buffer.concat([header(id, opcodes.query << 11, 1, 0), encodeName(name), numbers(type, classes.internet)]);
}

/** An update of TXT records in one zone (RFC 2136 section 2). */
export function updateMessage(id: number, zone: string, changes: readonly TxtChange[]): Buffer {
  const zoneSection = [encodeName(zone), numbers(types.soa, classes.internet)];
  return Buffer.concat([header(id, opcodes.update << 11, 1, changes.length), ...zoneSection, ...changes.map(change)]);
}

/** A record as it stands in a message. */
export function encodeRecord(record: Omit<DnsRecord, 'start'>): Buffer {
  const ttl = Buffer.alloc(4);
  ttl.writeUInt32BE(record.ttl);
  return Buffer.concat([
    encodeName(record.name),
    numbers(record.type, record.class),
    ttl,
    numbers(record.data.length),
    record.data,
  ]);
}

/** A name as labels with their lengths. Throws for a name that DNS cannot hold. */
export function encodeName(name: string): Buffer {
  const labels = name
    .toLowerCase()
    .replace(/\.$/, '')
    .split('.')
    .filter((label) => label !== '');
  const parts = labels.map((label) => {
    const bytes = Buffer.from(label, 'latin1');
    if (bytes.length > 63) throw bad(`the label "${label}" is longer than 63 bytes`);
    return Buffer.concat([Buffer.of(bytes.length), bytes]);
  });
  const whole = Buffer.concat([...parts, Buffer.of(0)]);
  if (whole.length > 255) throw bad(`the name "${name}" is longer than 255 bytes`);
  return whole;
}

/** Reads a message. */
export function readMessage(bytes: Buffer): DnsMessage {
  if (bytes.length < headerBytes) throw bad('it ends in the header');
  const flags = bytes.readUInt16BE(2);
  const counts = [4, 6, 8, 10].map((at) => bytes.readUInt16BE(at));
  const [questions = 0, answers = 0, authorities = 0, additionals = 0] = counts;
  if (answers + authorities + additionals > 1_000) throw bad('it has too many records');
  let at = headerBytes;
  for (let left = questions; left > 0; left -= 1) at = readName(bytes, at).end + 4;
  const section = (count: number): readonly DnsRecord[] =>
    Array.from({ length: count }, () => {
      const { record, end } = readRecord(bytes, at);
      at = end;
      return record;
    });
  const code = flags & 0xf;
  return {
    id: bytes.readUInt16BE(0),
    code: responseCodes[code] ?? `code ${code}`,
    answers: section(answers),
    authorities: section(authorities),
    additionals: section(additionals),
  };
}

/** A name that may be compressed (RFC 1035 section 4.1.4), lower case, without the last dot; and where the reading goes on. */
export function readName(bytes: Buffer, start: number): { readonly name: string; readonly end: number } {
  const labels: string[] = [];
  let at = start;
  let end: number | undefined;
  // Each jump must lead backwards, so that no message can send us round in circles.
  let limit = start;
  for (;;) {
    const length = bytes[at];
    if (length === undefined || labels.length > 127) throw bad('a name ends early');
    if (length === 0) return { name: labels.join('.').toLowerCase(), end: end ?? at + 1 };
    if ((length & 0xc0) === 0xc0) {
      const target = ((length & 0x3f) << 8) | (bytes[at + 1] ?? 0);
      if (target >= limit) throw bad('a name points forward');
      end ??= at + 2;
      limit = target;
      at = target;
      continue;
    }
    if (length > 63 || at + 1 + length > bytes.length) throw bad('a label ends early');
    labels.push(bytes.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
}

function readRecord(bytes: Buffer, start: number): { readonly record: DnsRecord; readonly end: number } {
  const { name, end: at } = readName(bytes, start);
  if (at + 10 > bytes.length) throw bad('a record ends early');
  const end = at + 10 + bytes.readUInt16BE(at + 8);
  if (end > bytes.length) throw bad('a record ends early');
  const record = {
    name,
    type: bytes.readUInt16BE(at),
    class: bytes.readUInt16BE(at + 2),
    ttl: bytes.readUInt32BE(at + 4),
    data: bytes.subarray(at + 10, end),
    start,
  };
  return { record, end };
}

/** Section 2.5: a record is added with the zone's class, and a single one deleted with class NONE and no TTL. */
function change({ kind, name, text }: TxtChange): Buffer {
  const value = Buffer.from(text, 'latin1');
  if (value.length > 255) throw bad('a text is longer than 255 bytes');
  const data = Buffer.concat([Buffer.of(value.length), value]);
  const adds = kind === 'add';
  return encodeRecord({
    name,
    type: types.txt,
    class: adds ? classes.internet : classes.none,
    ttl: adds ? ttlSeconds : 0,
    data,
  });
}

/** Counts: questions (or zones) and updates; answers (or prerequisites) and additionals are none. */
function header(id: number, flags: number, questions: number, updates: number): Buffer {
  return numbers(id, flags, questions, 0, updates, 0);
}

function numbers(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  for (const [index, value] of values.entries()) bytes.writeUInt16BE(value, index * 2);
  return bytes;
}

function bad(why: string): AppError {
  return new AppError('input_invalid', `the DNS message cannot be read or written: ${why}`);
}

// From parsed JSON to a snapshot of revocations. Strict in what is relied on; entries and members of a newer operator that
// this proxy does not know are passed over. Pure; throws AppError `control_protocol`.
import type { ForeignList, RevocationSnapshot, RevokedEntry } from '../../lib/api/revocations.ts';
import { AppError } from '../../lib/errors.ts';

type Members = Readonly<Record<string, unknown>>;

const serialForm = /^[0-9A-Fa-f]{1,64}$/;

/** One line of GET /v1/revocations. */
export function parseRevocations(message: unknown): RevocationSnapshot {
  const line = object(message, 'the line');
  const { version, number, asOf } = line;
  if (typeof version !== 'string' || version === '') fail('version', 'a text');
  if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 0) fail('number', 'a whole number');
  return {
    version,
    number,
    ...(asOf === undefined ? {} : { asOf: time(asOf, 'asOf') }),
    entries: list(line['entries'], 'entries').flatMap((each) => entryOf(object(each, 'an entry')) ?? []),
    lists: list(line['lists'], 'lists').map((each) => listOf(object(each, 'a list'))),
  };
}

function entryOf(entry: Members): RevokedEntry | undefined {
  const { identity, serial } = entry;
  const until = entry['until'] === undefined ? {} : { until: time(entry['until'], 'until') };
  if (typeof identity === 'string' && identity !== '') return { identity, ...until };
  if (serial === undefined) return undefined;
  return { serial: serialOf(serial), ...until };
}

function listOf(value: Members): ForeignList {
  const { issuer } = value;
  if (typeof issuer !== 'string' || issuer === '') return fail('issuer', 'a name');
  return { issuer, serials: list(value['serials'], 'serials').map(serialOf) };
}

function serialOf(value: unknown): string {
  return typeof value === 'string' && serialForm.test(value) ? value : fail('serial', 'hexadecimal');
}

function time(value: unknown, name: string): string {
  return typeof value === 'string' && !Number.isNaN(Date.parse(value)) ? value : fail(name, 'a time');
}

function object(value: unknown, name: string): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail(name, 'an object');
  return value as Members;
}

function list(value: unknown, name: string): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : fail(name, 'a list');
}

function fail(member: string, wanted: string): never {
  throw new AppError('control_protocol', `the control API sent revocations in which ${member} is not ${wanted}`);
}

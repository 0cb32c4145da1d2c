// docs/logs.md and the fields that are written: each has all of the other.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { ecsNames } from '../../../../sidecar/log/ecs.ts';
import type { Entry, Names } from '../../../../sidecar/log/entry.ts';
import { otelNames } from '../../../../sidecar/log/otel.ts';

const page = readFileSync(resolve(import.meta.dirname, '../../../../docs/logs.md'), 'utf8');
const place = { address: '10.0.0.1', port: 1 };

/** Everything that a line can say. */
const entry: Required<Omit<Entry, 'direction'>> = {
  source: place,
  destination: place,
  endpoint: place,
  peer: { identity: 'spiffe://a/b', serial: 'AA' },
  tls: {
    version: 'TLSv1.3',
    cipher: 'TLS_AES_256_GCM_SHA384',
    group: 'X25519',
    resumed: false,
    serial: 'BB',
    started: '2026-01-01T00:00:00.000Z',
    alpn: 'tabard/1',
  },
  established: true,
  tunnel: { id: '00ff', stream: 1, application: place },
  plain: 'not_in_mesh',
  exchange: {
    method: 'ODD',
    target: '/',
    host: 'a:1',
    version: '2',
    status: 200,
    grpcStatus: 0,
    ms: 1,
    bytesIn: 1,
    bytesOut: 1,
    trace: { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) },
  },
  bytesIn: 1,
  bytesOut: 1,
  ms: 1.5,
  ending: 'failed',
  reason: 'reset',
  detail: 'ECONNRESET',
  told: true,
  suppressed: 3,
};

/** Names in a column of the table of fields. */
function documented(column: 2 | 3): readonly string[] {
  const rows = page.split('\n').filter((line) => line.startsWith('| ') && line.split('|').length === 5);
  const table = rows.slice(rows.findIndex((line) => line.includes('| OpenTelemetry | ECS |')) + 1);
  return table.flatMap((line) =>
    [...(line.split('|')[column] ?? '').matchAll(/`([^`]+)`/g)].map(([, name = '']) => name),
  );
}

const fieldsOf = (names: Names, direction: Entry['direction']) => {
  const whole: Entry = { ...entry, direction };
  return { ...names.standing(whole), ...names.passing(whole) };
};

function written(names: Names): readonly string[] {
  const lines = (['inbound', 'outbound'] as const).map((direction) => fieldsOf(names, direction));
  return [
    ...new Set(
      lines.flatMap((line) => Object.entries(line).flatMap(([name, value]) => (value === undefined ? [] : [name]))),
    ),
  ];
}

describe('the fields of the log', () => {
  test.each([
    ['OpenTelemetry', 2, otelNames, ['time', 'level', 'msg', 'process']],
    ['ECS', 3, ecsNames, ['@timestamp', 'log.level', 'message', 'process.name', 'ecs.version']],
  ] as const)('by %s are those of docs/logs.md', (_, column, names, frame) => {
    expect([...written(names), ...frame].sort()).toEqual([...documented(column)].sort());
  });

  test.each([
    ['inbound', 'AA', 'BB'],
    ['outbound', 'BB', 'AA'],
  ] as const)('say %s whose serial is whose', (direction, client, server) => {
    for (const names of [otelNames, ecsNames]) {
      expect(fieldsOf(names, direction)).toMatchObject({
        'tls.client.x509.serial_number': client,
        'tls.server.x509.serial_number': server,
      });
    }
  });
});

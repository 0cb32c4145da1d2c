// The matrix of old and new leaf by old and new bundle, as clients and servers meet it during a rotation, judged by other people's TLS:
// Node, OpenSSL, Go and Java. What the bundle of a phase promises must hold in each, in both directions, and after the drop the old
// leaf must be refused.

import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, type Server } from 'node:tls';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { formatCertificates } from '../../../lib/pki/bundle.ts';
import { chainOf, type Generation, madeGeneration, type Ring } from '../../../operator/authority/ring.ts';
import { firstRing, turned } from '../../../operator/authority/turn.ts';
import { DAY_MS, testAuthority, testLeaf } from '../../support/pki.ts';
import { goClient, javaClient, nodeClient, opensslClient, type TlsClient } from '../../support/tlsclients.ts';

jest.setTimeout(600_000);

type Age = 'old' | 'new';

const folder = mkdtempSync(join(tmpdir(), 'tabard-matrix-'));
const clients = new Map<string, TlsClient>();
const servers = new Map<string, { readonly server: Server; readonly port: number }>();
/** The bundle of each phase of a rotation, in order. */
const bundles = new Map<string, string>();

async function leafFiles(age: Age, generation: Generation): Promise<void> {
  const { certificate, key } = await testLeaf(generation.authority, { service: age });
  writeFileSync(join(folder, `${age}.crt`), certificate + chainOf(generation));
  writeFileSync(join(folder, `${age}.key`), key);
}

/** A server that shows one leaf, trusts one bundle, requires a certificate, and says who came. */
async function serve(age: Age, phase: string, cert: string, key: string): Promise<void> {
  const ca = bundles.get(phase);
  const server = createServer(
    { cert, key, ca, requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.3' },
    (socket) => {
      socket.on('error', () => undefined);
      socket.end(socket.authorized ? 'welcome\n' : `refused: ${String(socket.authorizationError)}\n`);
    },
  );
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  servers.set(`${age} ${phase}`, { server, port: (server.address() as AddressInfo).port });
}

beforeAll(async () => {
  const now = new Date();
  const made = async (): Promise<Generation> => madeGeneration(await testAuthority({ lifetimeMs: 90 * DAY_MS }));
  const [old, fresh] = [await made(), await made()];
  const idle = firstRing(old);
  const prepared = turned(idle, { kind: 'prepare', from: 'own', reason: 'test' }, { now, fresh });
  const active = turned(prepared, { kind: 'activate' }, { now, fresh: undefined });
  const dropped = turned(active, { kind: 'retire' }, { now, fresh: undefined });
  const phases: Readonly<Record<string, Ring>> = { idle, prepared, active, dropped };
  for (const [phase, { trusted }] of Object.entries(phases)) {
    bundles.set(phase, formatCertificates(trusted));
    writeFileSync(join(folder, `${phase}.pem`), formatCertificates(trusted));
  }
  await leafFiles('old', old);
  await leafFiles('new', fresh);
  for (const age of ['old', 'new'] as const) {
    const [cert, key] = ['crt', 'key'].map((kind) => readFileSync(join(folder, `${age}.${kind}`), 'utf8'));
    for (const phase of bundles.keys()) await serve(age, phase, cert ?? '', key ?? '');
  }
  clients.set('Node', nodeClient());
  clients.set('OpenSSL', opensslClient());
  clients.set('Go', await goClient(folder));
  clients.set('Java', await javaClient(folder));
}, 600_000);

afterAll(() => {
  for (const { server } of servers.values()) server.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Leaf and bundle on the two sides of a connection: one side proves itself with the leaf, the other judges by the bundle. */
const matrix: readonly (readonly [leaf: Age, phase: string, good: boolean, when: string])[] = [
  ['old', 'idle', true, 'before'],
  ['old', 'prepared', true, 'the bundle arrived first'],
  ['new', 'prepared', true, 'the other replica activated already'],
  ['old', 'active', true, 'not renewed yet'],
  ['new', 'active', true, 'renewed'],
  ['new', 'dropped', true, 'after'],
  ['new', 'idle', false, 'cannot occur: nobody signs before all have the bundle'],
  ['old', 'dropped', false, 'whoever kept an old leaf'],
];

describe.each(['Node', 'OpenSSL', 'Go', 'Java'])('%s', (name) => {
  test.each(matrix)(
    'as a client, judges a server with %s leaf under the bundle of phase %s: %s (%s)',
    async (leaf, phase, good) => {
      // The server's own trust is not the question here.
      const port = servers.get(`${leaf} prepared`)?.port ?? 0;
      const seen = await clients.get(name)?.({ port, leaf: join(folder, 'new'), bundle: join(folder, `${phase}.pem`) });
      expect(seen).toEqual(good ? { trusted: true, answer: 'welcome' } : expect.objectContaining({ trusted: false }));
    },
  );

  test.each(matrix)(
    'as a client, with %s leaf, is judged by a server under the bundle of phase %s: %s (%s)',
    async (leaf, phase, good) => {
      const port = servers.get(`new ${phase}`)?.port ?? 0;
      const seen = await clients.get(name)?.({ port, leaf: join(folder, leaf), bundle: join(folder, 'prepared.pem') });
      expect(seen).toMatchObject({ trusted: true, answer: good ? 'welcome' : expect.stringContaining('refused') });
    },
  );
});

// Our rules for paths beside OpenSSL on the cases of x509-limbo: the program `openssl`, and the OpenSSL inside of Node in real handshakes. What we
// accept OpenSSL accepts, too, or the handshake fails anyway; what we alone refuse is named in test/support/limbo.ts, with its reason.
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer, type Server } from 'node:tls';
import { afterAll, describe, expect, test } from '@jest/globals';
import {
  idsOf,
  type LimboCase,
  limboCases,
  limboTime,
  limboVerdict,
  otherPath,
  stricter,
} from '../../support/limbo.ts';

const cases = limboCases();
const folder = mkdtempSync(join(tmpdir(), 'tabard-limbo-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Whether `openssl verify` accepts a case, with the settings of our handshakes: security level 2. */
function opensslAccepts(each: LimboCase): boolean {
  const file = (name: string, pem: readonly string[]): string => {
    const path = join(folder, name);
    writeFileSync(path, pem.join('\n'));
    return path;
  };
  const args = ['verify', '-no-CApath', '-no-CAstore', '-auth_level', '2'];
  args.push('-attime', String(Math.floor(limboTime(each).getTime() / 1_000)), '-purpose', `ssl${each.purpose}`);
  args.push('-CAfile', file('trusted.pem', each.trusted));
  if (each.untrusted.length > 0) args.push('-untrusted', file('untrusted.pem', each.untrusted));
  return spawnSync('openssl', [...args, file('leaf.pem', [each.leaf])]).status === 0;
}

/** Undefined for a certificate or key that OpenSSL refuses to stand with: nobody will ever meet it. */
function serverOf({ leaf, untrusted, key }: LimboCase): Server | undefined {
  try {
    return createServer({ cert: [leaf, ...untrusted].join('\n'), key });
  } catch {
    return undefined;
  }
}

/** Whether the OpenSSL inside of Node accepts the leaf of a case in a real handshake with a server that shows it. */
async function handshakeAccepts(each: LimboCase): Promise<boolean | undefined> {
  const server = serverOf(each);
  if (server === undefined) return undefined;
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const trust = { ca: [...each.trusted], rejectUnauthorized: false };
  // The name is another matter: no name is asked for.
  const socket = connect({ ...trust, host: '127.0.0.1', port, checkServerIdentity: () => undefined });
  const { promise, resolve } = Promise.withResolvers<boolean>();
  socket.once('secureConnect', () => resolve(socket.authorized));
  socket.once('error', () => resolve(false));
  socket.once('close', () => resolve(false));
  try {
    return await promise;
  } finally {
    socket.destroy();
    server.close();
  }
}

/** What we accept and they do not, and the other way round, without a reason that is written down. */
async function unexplained(
  those: readonly LimboCase[],
  theirs: (each: LimboCase) => boolean | Promise<boolean | undefined>,
) {
  const [early, known] = [idsOf(otherPath), idsOf(stricter)];
  const found: string[] = [];
  let agreed = 0;
  for (const each of those) {
    const [we, they] = [limboVerdict(each).ok, await theirs(each)];
    if (we === they) agreed += 1;
    if (we && they === false && !early.has(each.id)) found.push(`${each.id}: laxer`);
    if (!we && they && !known.has(each.id)) found.push(`${each.id}: stricter`);
  }
  return { found, agreed };
}

describe('we accept nothing that OpenSSL refuses but where it gives up early, and refuse more only for a stated reason', () => {
  test('openssl verify, on all cases', async () => {
    execFileSync('openssl', ['version']);
    const { found, agreed } = await unexplained(cases, opensslAccepts);
    expect(found).toEqual([]);
    expect(agreed).toBeGreaterThan(160);
  }, 120_000);

  test('handshakes of Node, on those that hold today and have a key that it can use', async () => {
    const shown = cases.filter(
      ({ purpose, time, key }) => purpose === 'server' && time === undefined && key !== undefined,
    );
    const { found, agreed } = await unexplained(shown, (each) => handshakeAccepts(each));
    expect(found).toEqual([]);
    expect(agreed).toBeGreaterThan(120);
  }, 120_000);
});

// Autobahn's cases for WebSocket through a gate between two sidecars, in both directions: its client against a server of `ws`, and a client of `ws`
// against its server. Whatever each of them makes of the other without sidecars it makes of it with them, down to the code that it closes with.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { WebSocket, WebSocketServer } from 'ws';
import { type Autobahn, autobahn, fuzzServer, type Outcomes, startCaseServer } from '../../support/http1/autobahn.ts';
import { captured } from '../../support/http2/captured.ts';
import { Mesh, refusals, until } from '../../support/pocketmesh.ts';

const minute = 60_000;
/** Of the cases about limits and compression one of each kind: they differ in sizes, and what is read here is their beginning. */
const costly = /^(?:9\.[125678]\.(?!1$)|9\.[34]\.(?!5$)|9\.9\.|1[23]\.\d+\.(?!1$))/;
const payloads = { maxPayload: 64 * 1_048_576, perMessageDeflate: true };

let suite: Autobahn;
let cases: readonly string[];
let mesh: Mesh;

beforeAll(async () => {
  suite = await autobahn();
  cases = suite.known.filter((number) => !costly.test(number));
}, 10 * minute);
beforeEach(async () => {
  mesh = await Mesh.start();
});
afterEach(() => mesh.end());

/** Where an application is found behind two sidecars. */
async function behind(port: number): Promise<number> {
  const ports = [{ port, mode: 'Mutual' as const, protocol: 'HTTP' as const }];
  const connections = { handshakeTimeoutMs: minute };
  const self = { ports, http: { hsts: 'max-age=60' }, connections };
  const api = await mesh.pod('api', { applicationPort: port, self });
  mesh.publish(8080, [api]);
  mesh.onEnd(() => expect(refusals(api)).toEqual([]));
  return captured(mesh, await mesh.pod('shop', { self: { connections } }), 8080);
}

/** Runs cases both ways until they agree: they have times to keep, and what was late on a busy machine is on time in another run. */
async function compared(
  run: (where: 'bare' | 'gated', cases: readonly string[]) => Promise<Outcomes>,
): Promise<Outcomes> {
  const bare = new Map<string, string>();
  let differ = cases;
  for (let tries = 0; tries < 4 && differ.length > 0; tries += 1) {
    const gated = await run('gated', differ);
    for (const [number, outcome] of await run('bare', differ)) bare.set(number, outcome);
    differ = differ.filter((number) => bare.get(number) === undefined || gated.get(number) !== bare.get(number));
  }
  expect(differ).toEqual([]);
  return bare;
}

function summary(of: Outcomes): string {
  const kinds = new Map<string, number>();
  for (const outcome of of.values()) {
    const [kind = ''] = outcome.split(',');
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  return [...kinds].map(([kind, count]) => `${count} ${kind}`).join(', ');
}

test(
  "Autobahn's client finds a server behind the gate as it is without",
  async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', ...payloads });
    await once(server, 'listening');
    mesh.onEnd(() => {
      for (const peer of server.clients) peer.terminate();
      server.close();
    });
    server.on('connection', (peer) => {
      peer.on('message', (data, isBinary) => peer.send(data, { binary: isBinary }));
      peer.on('error', () => undefined);
    });
    const { port } = server.address() as AddressInfo;
    const ports = { bare: port, gated: await behind(port) };
    const outcomes = await compared((where, wanted) => fuzzServer(suite, ports[where], wanted));
    console.log(`Autobahn against ws, bare and behind the gate: ${summary(outcomes)}`);
    expect(outcomes.size).toBeGreaterThan(260);
    expect([...outcomes].filter(([, outcome]) => outcome.startsWith('FAILED'))).toEqual([]);
  },
  20 * minute,
);

test(
  "and Autobahn's server finds a client in front of the gate as it is without",
  async () => {
    const server = await startCaseServer(suite);
    mesh.onEnd(() => server.stop());
    const ports = { bare: server.port, gated: await behind(server.port) };
    const ask = async (port: number, number: string): Promise<void> => {
      const peer = new WebSocket(`ws://127.0.0.1:${port}/${number}`, payloads);
      peer.on('message', (data, isBinary) => peer.send(data, { binary: isBinary }));
      peer.on('error', () => undefined);
      await new Promise((resolve) => peer.once('close', resolve));
    };
    const run = async (where: 'bare' | 'gated', wanted: readonly string[]): Promise<Outcomes> => {
      server.outcomes.clear();
      const waiting = [...wanted];
      const worker = async (): Promise<void> => {
        for (let number = waiting.shift(); number !== undefined; number = waiting.shift())
          await ask(ports[where], number);
      };
      await Promise.all(Array.from({ length: 8 }, worker));
      await until(() => server.outcomes.size === wanted.length, 'all cases have ended', 2 * minute);
      return new Map(server.outcomes);
    };
    const outcomes = await compared(run);
    console.log(`Autobahn against a client of ws, bare and in front of the gate: ${summary(outcomes)}`);
    expect(outcomes.size).toBeGreaterThan(260);
    expect([...outcomes].filter(([, outcome]) => outcome.startsWith('FAILED'))).toEqual([]);
  },
  20 * minute,
);

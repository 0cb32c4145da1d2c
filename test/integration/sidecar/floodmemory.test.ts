// Two sidecars as processes of their own, and hostile clients beside healthy ones: every flood of test/support/floods, by clients of the mesh without a
// sidecar, and some from the very pod that the healthy ones are in. What is asserted is that the healthy ones get every answer, and that both sidecars' memory
// stays bounded; never a time (that is `make bench-floods`).
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { floodedApplication } from '../../support/floods/application.ts';
import { Hostile } from '../../support/floods/hostile.ts';
import { type Flood, floods } from '../../support/floods/kinds.ts';
import { type TestLeaf, testLeaf } from '../../support/pki.ts';
import { client, Mesh, until as within } from '../../support/pocketmesh.ts';
import { sidecarProcess, type WebProcess } from '../../support/webprocess.ts';

const minute = 60_000;
const until = (condition: () => boolean, what: string): Promise<void> => within(condition, what, 3 * minute);
/** Where the server is published. */
const port = 8_080;
/** What a flood may keep: of JavaScript, and of the process with what its allocators hold on to. */
const mostHeapMb = 24;
const mostRssMb = 120;

let mesh: Mesh;
let server: WebProcess;
let shop: WebProcess;
let leaf: TestLeaf;
let hostile: Hostile | undefined;

beforeAll(async () => {
  mesh = await Mesh.start();
  const application = floodedApplication();
  mesh.onEnd(() => application.end());
  const web = await mesh.application((socket) => application.serve(socket));
  // A busy machine takes its time for hundreds of handshakes at once.
  const connections = { handshakeTimeoutMs: minute };
  mesh.tell('web', {
    connections,
    accessLog: 'Denied',
    ports: [{ port: web.port, mode: 'Mutual', protocol: 'HTTP' }],
    http: { hsts: 'max-age=60' },
  });
  mesh.tell('shop', { connections });
  server = await sidecarProcess(mesh, { service: 'web', applicationPort: web.port, logFormat: 'OpenTelemetry' });
  shop = await sidecarProcess(mesh, { service: 'shop', applicationPort: port, logFormat: 'OpenTelemetry' });
  for (const each of [server, shop]) each.read();
  const identity = 'spiffe://cluster.local/ns/shop/svc/web';
  mesh.control.setDestination(`127.0.0.1:${port}`, {
    known: true,
    serverName: 'web.shop.svc.cluster.local',
    endpoints: [{ address: '127.0.0.1', port: server.inboundPort, transport: 'mutual', identity }],
  });
  leaf = await testLeaf(mesh.authority, { service: 'flood' });
  // What is only made once is not counted as growth.
  await expectHealthy(300);
}, 3 * minute);
afterEach(() => {
  hostile?.stop();
  hostile = undefined;
});
afterAll(() => mesh.end());

/** Requests of the healthy clients of the pod, each of which is answered. */
async function expectHealthy(count: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  agent.createConnection = () => connect({ host: '127.0.0.1', port: shop.outboundPort });
  let left = count;
  const worker = async (): Promise<void> => {
    for (; left > 0; ) {
      left -= 1;
      const [answer] = await once(request({ agent }).end(), 'response');
      for await (const _ of answer);
      expect(answer.statusCode).toBe(200);
    }
  };
  await Promise.all(Array.from({ length: 4 }, worker)).finally(() => agent.destroy());
}

let addresses = 0;

/** Each connection has an address of its own: nobody is held back, so that there is as much of a flood as there can be. */
async function direct({ protocol }: Flood) {
  addresses += 1;
  const localAddress = `127.78.${addresses >> 8}.${addresses & 255}`;
  const raw = connect({ host: '127.0.0.1', port: server.inboundPort, localAddress });
  raw.on('error', () => undefined);
  if (protocol === 'silent') return raw;
  const socket = client(raw, leaf);
  await Promise.race([once(socket, 'secureConnect'), once(raw, 'close')]);
  return socket;
}

async function throughSidecar() {
  const socket = connect({ host: '127.0.0.1', port: shop.outboundPort });
  socket.on('error', () => undefined);
  await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
  return socket;
}

interface Memory {
  readonly heapMb: number;
  readonly rssMb: number;
}

async function memory(): Promise<Readonly<Record<'server' | 'shop', Memory>>> {
  const [one, other] = [await server.figures(), await shop.figures()];
  return { server: one, shop: other };
}

async function survives(flood: Flood, dial: () => Promise<Awaited<ReturnType<typeof direct>>>): Promise<void> {
  const before = await memory();
  const attack = new Hostile(flood, dial);
  hostile = attack;
  await until(() => attack.complete, 'all of them are there');
  attack.act();
  // Of memory that each act costs, so many show something.
  const acts = Math.min(200, flood.rate * 2);
  do await expectHealthy(40);
  while (attack.counts.acts < acts);
  const during = await memory();
  for (const name of ['server', 'shop'] as const) {
    const grown = (of: keyof Memory): string => (during[name][of] - before[name][of]).toFixed(1);
    console.log(
      `${flood.name}: ${name} has ${grown('heapMb')} MB more of heap and buffers, ${grown('rssMb')} MB in all`,
    );
    expect(during[name].heapMb - before[name].heapMb).toBeLessThan(mostHeapMb);
    expect(during[name].rssMb - before[name].rssMb).toBeLessThan(mostRssMb);
  }
}

describe('memory is bounded, and every healthy request is answered, beside', () => {
  test.each(floods)('$name: $what', (flood) => survives(flood, () => direct(flood)), 4 * minute);

  test.each(
    floods.filter(({ name }) => ['slow bodies', 'answers that nobody reads', 'rapid reset', 'crumbs'].includes(name)),
  )('$name from the same pod, through its sidecar', (flood) => survives(flood, throughSidecar), 4 * minute);
});

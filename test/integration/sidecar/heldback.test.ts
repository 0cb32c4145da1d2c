// Addresses that flood are held back and others are not, and storms of handshakes all get through: over real sockets, with a sidecar in this process.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { preface } from '../../../sidecar/http2/codes.ts';
import { MOST_WAITING } from '../../../sidecar/offenders.ts';
import { floodedApplication } from '../../support/floods/application.ts';
import { settings } from '../../support/http2/raw.ts';
import { type TestLeaf, testLeaf } from '../../support/pki.ts';
import { client, Mesh, type Pod, refusals, until as within } from '../../support/pocketmesh.ts';

const until = (condition: () => boolean, what: string): Promise<void> => within(condition, what, 120_000);
const pauses = 'connections of an address that floods are held back';
const refusal = 'connections of this address were ended for floods';

let mesh: Mesh;
let pod: Pod;
let leaf: TestLeaf;
const open = new Set<Socket>();

beforeAll(async () => {
  mesh = await Mesh.start();
  const application = floodedApplication();
  mesh.onEnd(() => application.end());
  const { port } = await mesh.application((socket) => application.serve(socket));
  pod = await mesh.pod('web', {
    applicationPort: port,
    self: {
      // A busy machine takes its time for hundreds of handshakes at once.
      connections: { handshakeTimeoutMs: 60_000 },
      http: { hsts: 'max-age=60' },
      ports: [{ port, mode: 'Mutual', protocol: 'HTTP' }],
    },
  });
  leaf = await testLeaf(mesh.authority, { service: 'client' });
});
afterEach(() => {
  for (const socket of open) socket.destroy();
  open.clear();
});
afterAll(() => mesh.end());

function knock(localAddress: string): Socket {
  const raw = connect({ host: '127.0.0.1', port: pod.core.inbound.port, localAddress });
  open.add(raw);
  raw.on('error', () => undefined);
  return raw;
}

/** A client of the mesh; what it gets is thrown away. */
function dial(localAddress: string): TLSSocket {
  const socket = client(knock(localAddress), leaf);
  socket.on('error', () => undefined).resume();
  return socket;
}

/** However it ends. */
const closed = (socket: Socket): Promise<unknown> =>
  socket.closed ? Promise.resolve() : new Promise((done) => socket.once('close', done));

/** What an address is answered on a connection of its own; empty where it is not. */
async function answer(address: string): Promise<string> {
  const socket = dial(address);
  let got = '';
  socket.on('data', (chunk: Buffer) => (got += chunk.toString('latin1')));
  socket.write('GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n');
  await closed(socket);
  return got.split('\r\n')[0] ?? '';
}

/** Sends more SETTINGS than are let pass, until the connection is ended. */
async function flood(address: string): Promise<void> {
  const socket = dial(address);
  const ended = closed(socket);
  await Promise.race([once(socket, 'secureConnect'), ended]);
  socket.write(preface);
  const more = Buffer.concat(Array.from({ length: 20 }, () => settings()));
  const timer = setInterval(() => void (socket.writable && socket.write(more)), 20);
  await ended;
  clearInterval(timer);
}

const paused = (address: string): number =>
  pod.lines.filter((line) => line['msg'] === pauses && line['address'] === address).length;
const heldBack = async (): Promise<number> =>
  Number(/^tabard_connections_held_back_total (\d+)$/m.exec(await pod.metrics.text())?.[1] ?? 0);

test('an address that floods again is held back and told of, others are served meanwhile, and it is let in after all', async () => {
  const [hostile, healthy] = ['127.79.0.1', '127.79.0.2'];
  await flood(hostile);
  expect(paused(hostile)).toBe(0);
  // Two floods that lie too far apart are none: a machine may be as slow as it likes.
  for (let floods = 0; paused(hostile) === 0 && floods < 20; floods += 1) await flood(hostile);
  expect(paused(hostile)).toBe(1);
  expect(pod.lines.find((line) => line['msg'] === pauses)).toMatchObject({
    flood: 'settings_flood',
    reason: 'overload',
  });

  const before = await heldBack();
  // More than can be let in while they come.
  const waiting = Array.from({ length: 8 * MOST_WAITING }, () => knock(hostile));
  await until(() => refusals(pod).some(({ detail }) => detail === refusal), 'some are refused');
  expect(refusals(pod).find(({ detail }) => detail === refusal)?.['reason']).toBe('overload');
  expect(await heldBack()).toBeGreaterThan(before);
  expect(await answer(healthy)).toBe('HTTP/1.1 200 OK');
  for (const socket of waiting) socket.destroy();

  // Behind those that wait before it.
  let late = '';
  for (const untilMs = Date.now() + 120_000; late === '' && Date.now() < untilMs; await delay(250)) {
    late = await answer(hostile);
  }
  expect(late).toBe('HTTP/1.1 200 OK');
}, 240_000);

test('handshakes that all come at once are all done, whoever they are from', async () => {
  const addresses = Array.from({ length: 150 }, (_, number) => `127.79.${1 + (number % 20)}.1`);
  const answers = await Promise.all(addresses.map(answer));
  expect(new Map(answers.map((each) => [each, answers.filter((other) => other === each).length]))).toEqual(
    new Map([['HTTP/1.1 200 OK', addresses.length]]),
  );
}, 240_000);

test('who leaves while its turn is not there yet harms nobody', async () => {
  const gone = Array.from({ length: 50 }, (_, number) => {
    const socket = dial(`127.79.40.${number + 1}`);
    socket.once('connect', () => setImmediate(() => socket.destroy()));
    return closed(socket);
  });
  const served = Array.from({ length: 20 }, (_, number) => answer(`127.79.41.${number + 1}`));
  expect(new Set(await Promise.all(served))).toEqual(new Set(['HTTP/1.1 200 OK']));
  await Promise.all(gone);
}, 240_000);

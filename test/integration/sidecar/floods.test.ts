// Clients that waste: slow heads and bodies, endless trailers, bombs of fields, pipelines, idle connections, answers that nobody reads. Each in numbers,
// against a sidecar that is a process of its own. What is asserted is what each client gets, the reason in the log, that healthy clients are served
// meanwhile, and the memory of the sidecar; never a time.
import { connect, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { type TestLeaf, testLeaf } from '../../support/pki.ts';
import { client, Mesh, type Pod, until as within } from '../../support/pocketmesh.ts';
import { ask, type WebProcess, webProcess } from '../../support/webprocess.ts';

const until = (condition: () => boolean, what: string): Promise<void> => within(condition, what, 90_000);
const large = Buffer.alloc(4_194_304, 'large');

let mesh: Mesh;
let web: WebProcess;
let healthy: Pod;
let leaf: TestLeaf;
let lines: ReturnType<WebProcess['read']>;
const open = new Set<Socket>();

beforeAll(async () => {
  mesh = await Mesh.start();
  web = await webProcess(mesh, {
    answer: (asked, answer) => {
      if (asked.url === '/large') return void answer.end(large);
      asked.on('error', () => undefined).resume();
      return void asked.on('end', () => answer.end('here'));
    },
  });
  lines = web.read();
  healthy = await mesh.pod('shop', { self: { connections: { handshakeTimeoutMs: 60_000 } } });
  leaf = await testLeaf(mesh.authority, { service: 'flood' });
  // What is only made once is not counted as growth.
  await expectHealthy(200);
}, 120_000);
afterEach(() => {
  for (const socket of open) socket.destroy();
  open.clear();
});
afterAll(() => mesh.end());

async function expectHealthy(count = 40): Promise<void> {
  expect(await ask(healthy, count)).toEqual(new Map([[200, count]]));
}

/** A client of the mesh without a sidecar, whose log lines are of an address of its own. */
interface Attacker {
  readonly socket: Socket;
  readonly state: { got: string; closed: boolean };
}

let addresses = 0;

/** Connections from one address that nobody had before, with the handshake done. */
async function attackers(count: number): Promise<{ readonly address: string; readonly all: readonly Attacker[] }> {
  addresses += 1;
  const address = `127.77.0.${addresses}`;
  const made = Array.from({ length: count }, async (): Promise<Attacker> => {
    const raw = connect({ host: '127.0.0.1', port: web.inboundPort, localAddress: address });
    raw.on('error', () => undefined);
    const socket = client(raw, leaf);
    open.add(raw);
    const state = { got: '', closed: false };
    socket.on('data', (chunk: Buffer) => {
      if (state.got.length < 2_000) state.got += chunk.toString('latin1');
    });
    socket.once('close', () => (state.closed = true));
    await new Promise((done) => socket.once('secureConnect', done).once('close', done));
    return { socket, state };
  });
  return { address, all: await Promise.all(made) };
}

/** What the log says of an address. */
const reasonsOf = (address: string) =>
  lines
    .filter((line) => line['msg'] === 'connection refused' && line['source.address'] === address)
    .map(({ reason, detail }) => `${String(reason)}: ${String(detail)}`);

const untilSaid = (address: string, what: string) =>
  until(() => reasonsOf(address).includes(what), `the log says of ${address}: ${what}`);

/** Whoever goes on sending, or does not read within a second, may lose the answer to the reset behind it. */
function expectAnswers(all: readonly Attacker[], status: string): void {
  const answers = new Set(all.map(({ state }) => state.got.split('\r\n')[0]));
  expect([...answers].filter((each) => each !== '' && each !== status)).toEqual([]);
}

const heap = async (): Promise<number> => (await web.figures()).heapMb;
const head = 'Host: web\r\n';

describe('a flood of', () => {
  test('slow heads is answered with 408 and ended, however often an octet comes', async () => {
    const { address, all } = await attackers(100);
    for (const { socket } of all) socket.write(`GET / HTTP/1.1\r\n${head}X: `);
    const trickle = setInterval(() => {
      for (const { socket } of all) if (socket.writable) socket.write('x');
    }, 500);
    try {
      while (all.some(({ state }) => !state.closed)) await expectHealthy();
    } finally {
      clearInterval(trickle);
    }
    expectAnswers(all, 'HTTP/1.1 408 Request Timeout');
    await untilSaid(address, 'malformed: request: head_timeout');
  }, 150_000);

  test('slow bodies holds up nobody and takes little memory', async () => {
    const before = await heap();
    const { all } = await attackers(200);
    const begun = `POST / HTTP/1.1\r\n${head}Content-Length: 1000000\r\n\r\n`;
    for (const { socket } of all) socket.write(begun);
    for (let round = 0; round < 5; round += 1) {
      for (const { socket } of all) socket.write('x');
      await expectHealthy();
    }
    expect(all.filter(({ state }) => state.closed)).toEqual([]);
    // TLS itself takes most of it.
    expect((await heap()) - before).toBeLessThan(200 * 0.1);
  }, 150_000);

  test.each([
    {
      name: 'trailers without end',
      begin: `POST / HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n0\r\n`,
      more: 'X: yyyyyyyyyyyy\r\n',
      rule: 'trailers_too_large',
      status: '400 Bad Request',
    },
    {
      name: 'an extension of a chunk without end',
      begin: `POST / HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n1`,
      more: ';xxxxxxxxxxxxxxx',
      rule: 'chunk_line_too_long',
      status: '400 Bad Request',
    },
    {
      name: 'a field without end',
      begin: `GET / HTTP/1.1\r\n${head}X: `,
      more: 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy',
      rule: 'head_too_large',
      status: '431 Request Header Fields Too Large',
    },
    {
      name: 'a target without end',
      begin: 'GET /',
      more: 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy',
      rule: 'target_too_long',
      status: '414 URI Too Long',
    },
  ])(
    '$name is ended once it is too long',
    async ({ begin, more, rule, status }) => {
      const { address, all } = await attackers(20);
      const part = more.repeat(64);
      const pump = ({ socket, state }: Attacker): void => {
        socket.once('drain', () => pump({ socket, state }));
        for (let sent = 0; sent < 200 && socket.writable && socket.write(part); ) sent += 1;
      };
      for (const each of all) {
        each.socket.write(begin);
        pump(each);
      }
      await expectHealthy();
      await until(() => all.every(({ state }) => state.closed), 'all are ended');
      await untilSaid(address, `malformed: request: ${rule}`);
      expectAnswers(all, `HTTP/1.1 ${status}`);
    },
    150_000,
  );

  test('a thousand fields is refused at once', async () => {
    const { address, all } = await attackers(50);
    for (const { socket } of all) socket.write(`GET / HTTP/1.1\r\n${head}${'a: b\r\n'.repeat(1_000)}\r\n`);
    await until(() => all.every(({ state }) => state.closed), 'all are ended');
    expectAnswers(all, 'HTTP/1.1 431 Request Header Fields Too Large');
    await untilSaid(address, 'malformed: request: too_many_fields');
    await expectHealthy();
  }, 150_000);

  test('five thousand requests at once on one connection is answered in order, while others are served', async () => {
    const before = await heap();
    const { all } = await attackers(1);
    const [{ socket }] = all as [Attacker];
    const count = 5_000;
    let answers = 0;
    let rest = '';
    socket.on('data', (chunk: Buffer) => {
      const text = rest + chunk.toString('latin1');
      const parts = text.split('HTTP/1.1 200 OK\r\n');
      answers += parts.length - 1;
      rest = parts.length > 1 ? (parts.at(-1) ?? '').slice(-20) : text.slice(-20);
    });
    socket.write(`GET / HTTP/1.1\r\n${head}\r\n`.repeat(count));
    await expectHealthy();
    expect((await heap()) - before).toBeLessThan(10);
    await until(() => answers === count, 'all are answered');
  }, 150_000);

  test('answers that nobody reads is held back at the application', async () => {
    const before = await heap();
    const { all } = await attackers(40);
    for (const { socket } of all) {
      socket.pause();
      socket.write(`GET /large HTTP/1.1\r\n${head}\r\n`.repeat(20));
    }
    for (let round = 0; round < 5; round += 1) await expectHealthy();
    // 3,200 MB were asked for.
    expect((await heap()) - before).toBeLessThan(40 * 1.5);
  }, 150_000);

  test('idle connections takes little memory and holds up nobody', async () => {
    const before = await heap();
    const { all } = await attackers(200);
    for (const { socket } of all) socket.write(`GET / HTTP/1.1\r\n${head}\r\n`);
    await until(() => all.every(({ state }) => state.got.endsWith('here')), 'all are answered');
    await expectHealthy();
    expect(all.filter(({ state }) => state.closed)).toEqual([]);
    const each = (((await heap()) - before) * 1_024) / all.length;
    console.log(`an idle connection of HTTP over TLS: ${each.toFixed(1)} KB of heap and buffers`);
    expect(each).toBeLessThan(60);
  }, 150_000);
});

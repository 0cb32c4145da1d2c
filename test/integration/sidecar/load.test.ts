// A pair of sidecars under load, each a process of its own: many connections, readers that stall, writers that dawdle, churn, and the
// limit. What is asserted are numbers of bytes, connections and megabytes, never times.
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { type LoadPair, requireOpenFiles, startLoadPair } from '../../support/loadpair.ts';

import { everyWay, usualWay } from '../../support/ways.ts';

let through: LoadPair;
const sockets = new Set<Socket>();

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await Promise.all([untilLive('client', 0), untilLive('server', 0)]);
}, 180_000);

/** A connection that has carried a byte there and back. */
async function open(): Promise<Socket> {
  const socket = through.dial();
  sockets.add(socket);
  socket.write('x');
  await Promise.race([new Promise((resolve) => socket.once('data', resolve)), gone(socket)]);
  if (socket.destroyed) throw new Error('a connection was refused');
  return socket;
}

/** Resolves when a connection is gone, however it ended. */
function gone(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

/** Opens many, some at a time. */
async function openMany(count: number): Promise<readonly Socket[]> {
  const opened: Socket[] = [];
  let left = count;
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      opened.push(await open());
    }
  };
  await Promise.all(Array.from({ length: 50 }, worker));
  return opened;
}

/** Asks until a part says so. */
async function untilLive(part: 'client' | 'server', count: number): Promise<void> {
  for (;;) {
    const { inbound, outbound } = await through.figures(part);
    if (inbound + outbound === count) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Resolves when the client refuses what goes beyond its new limit. */
async function settled(): Promise<void> {
  for (;;) {
    const socket = through.dial();
    sockets.add(socket);
    socket.write('x');
    const answered = await Promise.race([
      once(socket, 'data').then(
        () => true,
        () => false,
      ),
      gone(socket).then(() => false),
    ]);
    socket.destroy();
    if (!answered) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe('idle connections', () => {
  beforeAll(async () => {
    requireOpenFiles(10_500);
    through = await startLoadPair(usualWay);
  }, 120_000);
  afterAll(() => through.end());

  test('take little memory, ten thousand of them, and give it back; the next ten thousand take no more', async () => {
    await open();
    const before = await Promise.all([through.figures('client'), through.figures('server')]);
    const opened = await openMany(10_000);
    const full = await Promise.all([through.figures('client'), through.figures('server')]);
    const perConnection = full.map(({ rssMb }, at) => ((rssMb - (before[at]?.rssMb ?? 0)) * 1024) / opened.length);
    console.log(
      `${opened.length} idle connections: ${perConnection.map((kb) => kb.toFixed(1)).join(' and ')} KB each (client, server side); resident ${full.map(({ rssMb }) => rssMb.toFixed(0)).join(' and ')} MB`,
    );
    for (const { ready } of full) expect(ready).toBe(true);
    for (const kb of perConnection) expect(kb).toBeLessThan(40);
    // Each hundredth of them, long after it was opened.
    for (const socket of opened.filter((_, number) => number % 100 === 0)) {
      socket.write('still');
      expect(String(((await once(socket, 'data')) as [Buffer])[0])).toBe('still');
    }
    for (const socket of opened) socket.destroy();
    await Promise.all([untilLive('client', 1), untilLive('server', 1)]);
    const after = await Promise.all([through.figures('client'), through.figures('server')]);
    for (const [at, { heapMb }] of after.entries()) expect(heapMb - (before[at]?.heapMb ?? 0)).toBeLessThan(12);
    // What the process keeps of the first ten thousand serves the next: allocators hold on to pages, but nothing is lost.
    const again = await openMany(10_000);
    const second = await Promise.all([through.figures('client'), through.figures('server')]);
    const more = second.map(({ rssMb }, at) => rssMb - (full[at]?.rssMb ?? 0));
    console.log(
      `the second ${again.length}: ${more.map((mb) => mb.toFixed(1)).join(' and ')} MB more resident than the first`,
    );
    for (const mb of more) expect(mb).toBeLessThan(40);
    for (const socket of again) socket.destroy();
    await Promise.all([untilLive('client', 1), untilLive('server', 1)]);
    const last = await Promise.all([through.figures('client'), through.figures('server')]);
    for (const [at, { heapMb }] of last.entries()) expect(heapMb - (after[at]?.heapMb ?? 0)).toBeLessThan(8);
  }, 600_000);
});

describe.each(everyWay)('over %s', (_, way) => {
  beforeAll(async () => {
    through = await startLoadPair(way);
  }, 120_000);
  afterAll(() => through.end());

  test('stalled readers and stalled writers, a hundred of each, hold up nobody, in bounded memory', async () => {
    const count = 100;
    const before = await Promise.all([through.figures('client'), through.figures('server')]);
    // These get without end and read nothing.
    for (const socket of await openMany(count)) {
      socket.removeAllListeners('data');
      socket.pause();
      socket.write('flood');
    }
    // The application reads nothing of what these send.
    const block = Buffer.alloc(64 * 1024);
    for (const socket of await openMany(count)) {
      socket.write('stall');
      await new Promise((resolve) => setImmediate(resolve));
      for (let blocks = 0; blocks < 200 && socket.write(block); blocks += 1);
    }
    for (let round = 0; round < 10; round += 1) {
      const socket = await open();
      socket.write(`round ${round}`);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      expect(String(answer)).toBe(`round ${round}`);
      socket.destroy();
    }
    const full = await Promise.all([through.figures('client'), through.figures('server')]);
    const grown = full.map(({ rssMb }, at) => rssMb - (before[at]?.rssMb ?? 0));
    console.log(
      `${2 * count} stalled connections: ${grown.map((mb) => mb.toFixed(0)).join(' and ')} MB more (client, server side)`,
    );
    for (const mb of grown) expect(mb).toBeLessThan(250);
    for (const { ready } of full) expect(ready).toBe(true);
    // Nobody sees the end of a connection that he does not read from.
    through.readOn();
    for (const socket of sockets) socket.destroy();
    await Promise.all([untilLive('client', 0), untilLive('server', 0)]);
    const after = await Promise.all([through.figures('client'), through.figures('server')]);
    const kept = after.map(({ heapMb }, at) => heapMb - (before[at]?.heapMb ?? 0));
    console.log(`after they have ended: ${kept.map((mb) => mb.toFixed(1)).join(' and ')} MB more on the heap`);
    for (const mb of kept) expect(mb).toBeLessThan(16);
  }, 300_000);

  test('a hundred slow writers get every byte through, in order', async () => {
    const text = 'slow but steady, a byte at a time';
    const slow = async (socket: Socket): Promise<string> => {
      let received = '';
      socket.on('data', (chunk: Buffer) => {
        received += String(chunk);
      });
      for (const letter of text) {
        socket.write(letter);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      socket.end();
      await once(socket, 'end');
      return received;
    };
    const heard = await Promise.all((await openMany(100)).map(slow));
    expect(new Set(heard)).toEqual(new Set([text]));
  }, 300_000);

  test('connections come and go in numbers, without growth', async () => {
    const churn = async (times: number): Promise<void> => {
      const worker = async (): Promise<void> => {
        for (let done = 0; done < times / 20; done += 1) {
          const socket = await open();
          // Every third ends like a process that is killed.
          const closed = gone(socket);
          if (done % 3 === 0) socket.resetAndDestroy();
          else socket.end();
          await closed;
          sockets.delete(socket);
        }
      };
      await Promise.all(Array.from({ length: 20 }, worker));
      await Promise.all([untilLive('client', 0), untilLive('server', 0)]);
    };
    // Without tunnels each of them is a handshake.
    const first = way.transport === 'Tunnel' ? 1_000 : 100;
    await churn(first);
    const before = await Promise.all([through.figures('client'), through.figures('server')]);
    await churn(3 * first);
    const after = await Promise.all([through.figures('client'), through.figures('server')]);
    const heap = after.map(({ heapMb }, at) => heapMb - (before[at]?.heapMb ?? 0));
    const resident = after.map(({ rssMb }, at) => rssMb - (before[at]?.rssMb ?? 0));
    const texts = [heap, resident].map((numbers) => numbers.map((mb) => mb.toFixed(1)).join(' and '));
    console.log(`${3 * first} connections after the first ${first}: heap ${texts[0]} MB, resident ${texts[1]} MB more`);
    for (const mb of heap) expect(mb).toBeLessThan(8);
    for (const mb of resident) expect(mb).toBeLessThan(48);
  }, 300_000);

  test('the limit refuses the newest, leaves the others alone and the sidecar ready', async () => {
    const standing = await openMany(50);
    through.limit(50);
    await settled();
    for (let tries = 0; tries < 30; tries += 1) {
      const late = through.dial();
      late.write('x');
      await gone(late);
    }
    expect(await through.figures('client')).toMatchObject({ outbound: 50, ready: true });
    for (const socket of standing) {
      socket.write('still');
      expect(String(((await once(socket, 'data')) as [Buffer])[0])).toBe('still');
    }
    standing[0]?.destroy();
    await untilLive('client', 49);
    await open();
  }, 300_000);
});

// Connections without sockets of Node's beside connections with them: the same options, the same words for what fails, the same addresses.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { type Door, halfDoor, type Incoming, type NearHalf } from '../../../../sidecar/incoming.ts';
import type { OpenHalf } from '../../../../sidecar/relay/half.ts';
import { openPlain, type PlainTarget } from '../../../../sidecar/transport/plain.ts';
import type { Leg, Opened } from '../../../../sidecar/transport/transport.ts';
import { relayNames, relays } from '../../../support/relays.ts';

const [SOL_SOCKET, SO_KEEPALIVE, IPPROTO_TCP, TCP_NODELAY] = [1, 9, 6, 1];

const servers: Server[] = [];
const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

/** A listener as the sidecar's, and how to reach it. */
async function listen(host: string, door: Door<NearHalf>) {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true, keepAlive: true });
  servers.push(server);
  server.listen(0, host);
  await once(server, 'listening');
  const waiting: ((incoming: Incoming<NearHalf>) => void)[] = [];
  door(
    server,
    (incoming) => waiting.shift()?.(incoming),
    (code) => expect(code).toBe('nothing fails here'),
  );
  const { port } = server.address() as AddressInfo;
  return {
    port,
    call: async () => {
      const taken = new Promise<Incoming<NearHalf>>((resolve) => waiting.push(resolve));
      const socket = connect({ host, port });
      sockets.push(socket);
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      return { socket, incoming: await taken };
    },
  };
}

/** What the kernel says of an option. */
function option(descriptor: number | undefined, level: number, name: number): number | undefined {
  const int = 'int32' as const;
  const signature = { arguments: [int, int, int, 'buffer', 'buffer'], return: int } as const;
  const { functions } = process.getBuiltinModule('node:ffi').dlopen(null, { getsockopt: signature });
  const [value, length] = [Buffer.alloc(4), new Uint32Array([4])];
  return functions.getsockopt(descriptor ?? -1, level, name, value, length) === 0 ? value.readInt32LE() : undefined;
}

describe.each(relayNames)('what is accepted with the %s relay', (name) => {
  const door = halfDoor(relays[name]);

  test('sends small writes at once, and is kept alive', async () => {
    const { incoming } = await (await listen('127.0.0.1', door)).call();
    const { descriptor } = incoming;
    expect([
      option(descriptor, IPPROTO_TCP, TCP_NODELAY),
      option(descriptor, SOL_SOCKET, SO_KEEPALIVE),
      option(-1, SOL_SOCKET, SO_KEEPALIVE),
    ]).toEqual([1, 1, undefined]);
    incoming.reset();
  });

  test.each(['127.0.0.1', '::1'])('knows both of its ends on %s', async (host) => {
    const { port, call } = await listen(host, door);
    const { incoming, socket } = await call();
    const { remoteAddress, remotePort, localAddress, localPort } = incoming;
    expect({ remoteAddress, remotePort, localAddress, localPort }).toEqual({
      remoteAddress: host,
      remotePort: socket.localPort,
      localAddress: host,
      localPort: port,
    });
    incoming.reset();
  });

  test('is reset before anybody has read from it, and says once that it is gone', async () => {
    const { incoming, socket } = await (await listen('127.0.0.1', door)).call();
    let gone = 0;
    const told = new Promise<void>((resolve) => {
      incoming.onGone(() => {
        gone += 1;
        resolve();
      });
    });
    const lost = new Promise<unknown>((resolve) => socket.once('error', resolve));
    incoming.reset();
    incoming.reset();
    await told;
    expect(await lost).toMatchObject({ code: 'ECONNRESET' });
    expect([gone, (incoming.descriptor ?? -1) < 0]).toEqual([1, true]);
  });
});

/** Who is not there: nobody on a port that was free a moment ago, and addresses at which the system fails at once. */
async function nowhere(): Promise<readonly { readonly address: string; readonly port: number }[]> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return [
    { address: '127.0.0.1', port },
    { address: '::1', port },
    { address: '::ffff:127.0.0.1', port },
    { address: '255.255.255.255', port },
  ];
}

const open = (target: PlainTarget, openHalf: OpenHalf): Promise<Opened<Leg>> =>
  new Promise((resolve) => openPlain(target, 10_000, openHalf, resolve));

test('dialling nobody ends in the same words, with a socket or without', async () => {
  for (const target of await nowhere()) {
    const [withSocket, without] = [await open(target, relays.public), await open(target, relays.fast)];
    expect({ target, ...without, ms: 0 }).toEqual({ target, ...withSocket, ms: 0 });
    expect(without).toMatchObject({ ok: false, reason: 'upstream_unreachable', fault: 'endpoint' });
  }
});

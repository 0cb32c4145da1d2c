// What is asked of the system past Node's handles, on real sockets.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import { descriptorOf } from '../../../../sidecar/destination/original.ts';
import { systemCalls } from '../../../../sidecar/relay/systemcalls.ts';

const calls = systemCalls();
if (calls === undefined) throw new Error('this Node has no node:ffi');

/** Both ends of a connection over one of the loopback addresses. */
async function linked(host: string): Promise<{ near: Socket; far: Socket; end: () => Promise<void> }> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, host);
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const far = connect({ host, port: (server.address() as AddressInfo).port, allowHalfOpen: true });
  const [[near]] = (await Promise.all([accepted, once(far, 'connect')])) as [[Socket], unknown];
  const end = async (): Promise<void> => {
    near.destroy();
    far.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return { near, far, end };
}

describe('the system', () => {
  test('names the peers of IPv4 connections, each its own', async () => {
    const links = await Promise.all(['127.0.0.1', '127.0.0.2', '127.0.0.1'].map(linked));
    try {
      for (const { near, far } of [...links, ...links.toReversed()]) {
        const named = [near, far].map((socket) => calls.peer(descriptorOf(socket) ?? -1));
        const expected = [near, far].map(({ remoteAddress: address, remotePort: port }) => ({ address, port }));
        expect(named).toEqual(expected);
      }
    } finally {
      await Promise.all(links.map(({ end }) => end()));
    }
  });

  test('says nothing of an IPv6 connection and of none', async () => {
    const { near, end } = await linked('::1');
    try {
      expect([calls.peer(descriptorOf(near) ?? -1), calls.peer(-1)]).toEqual([undefined, undefined]);
    } finally {
      await end();
    }
  });

  test('ends one direction after what was written, and leaves the other', async () => {
    const { near, far, end } = await linked('127.0.0.1');
    try {
      const heard: Buffer[] = [];
      far.on('data', (chunk: Buffer) => heard.push(chunk));
      near.write('the last words');
      const descriptor = descriptorOf(near) ?? -1;
      calls.end(descriptor);
      await once(far, 'end');
      expect(String(Buffer.concat(heard))).toBe('the last words');
      far.end('an answer');
      const [answer] = (await once(near, 'data')) as [Buffer];
      expect(String(answer)).toBe('an answer');
      calls.end(descriptor);
      calls.end(-1);
    } finally {
      await end();
    }
  });
});

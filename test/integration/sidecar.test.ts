// Two sidecars, a control API and applications between them, all over real sockets on loopback.

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Authority } from '../../lib/pki/ca.ts';
import { FakeControl } from '../support/control.ts';
import { testAuthority } from '../support/pki.ts';
import { startSidecar, testSelf } from '../support/sidecar.ts';

let authority: Authority;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  authority = await testAuthority();
});
afterEach(async () => {
  while (cleanups.length > 0) await cleanups.pop()?.();
});

async function application(onConnection: (socket: Socket) => void): Promise<number> {
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => new Promise((resolve) => server.close(resolve)));
  return (server.address() as AddressInfo).port;
}

async function read(socket: Socket): Promise<string> {
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  return text;
}

describe('from one pod to another', () => {
  test('carries bytes over mutual TLS', async () => {
    const control = await FakeControl.start(authority);
    cleanups.push(() => control.stop());
    const port = await application((socket) => socket.pipe(socket));
    control.setSelf(testSelf('web', authority.certificate));
    control.setSelf(testSelf('api', authority.certificate));
    const api = await startSidecar({ authority, control, service: 'api', applicationPort: port });
    const web = await startSidecar({ authority, control, service: 'web' });
    cleanups.push(
      () => api.stop(),
      () => web.stop(),
    );
    control.setDestination('127.0.0.1:8080', {
      known: true,
      serverName: 'api.shop.svc.cluster.local',
      endpoints: [{ address: '127.0.0.1', port: api.core.inbound.port, transport: 'mutual', identity: api.identity }],
    });
    for (let i = 0; i < 100 && !(web.core.ready() && api.core.ready()); i += 1)
      await new Promise((r) => setTimeout(r, 20));
    const socket = web.dial(8080);
    socket.end('hello');
    const answer = await read(socket);
    expect(answer).toBe('hello');
    const second = web.dial(8080);
    second.end('again');
    expect(await read(second)).toBe('again');
  });
});

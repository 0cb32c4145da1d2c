// Connections over `direct` that are over without TLS's own end (close_notify), after our direction has ended: between sidecars no end but a cut. A
// reset looks so, too, when the write of our own close_notify is the first to hear of it; the kernel tells it once.
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { ALPN_DIRECT } from '../../../lib/api/contract.ts';
import { testLeaf } from '../../support/pki.ts';
import { carried, client, Mesh, until } from '../../support/pocketmesh.ts';
import { relayNames } from '../../support/relays.ts';

describe.each(relayNames)('over the %s relay', (relay) => {
  let mesh: Mesh;

  beforeEach(async () => {
    mesh = await Mesh.start({ transport: 'Direct', relay });
  });
  afterEach(() => mesh.end());

  /** A client to an application that ends its direction at once; what that hears when the client has left, and what is logged. */
  async function left(
    ALPNProtocols: readonly string[],
    leave: (raw: Socket, secure: TLSSocket) => void,
  ): Promise<readonly [heard: readonly string[], logged: unknown]> {
    const heard: string[] = [];
    const api = await mesh.pod('api', {
      behaviour: (socket) => {
        socket.on('error', (error: NodeJS.ErrnoException) => heard.push(String(error.code)));
        socket.on('end', () => heard.push('end'));
        socket.resume();
        socket.end('all');
      },
    });
    const leaf = await testLeaf(mesh.authority, { service: 'web' });
    const raw = api.knock();
    const secure = client(raw, leaf, ALPNProtocols.length === 0 ? {} : { ALPNProtocols });
    secure.resume();
    await once(secure, 'end');
    leave(raw, secure);
    await until(() => heard.length > 0 && carried(api).length > 0, 'the application hears of it');
    return [heard, carried(api).map(({ ending, reason }) => reason ?? ending)];
  }

  test('the end of the TCP connection alone is a cut', async () => {
    expect(await left([ALPN_DIRECT], (raw) => void raw.end())).toEqual([['ECONNRESET'], ['reset']]);
  });

  test('close_notify is an end', async () => {
    expect(await left([ALPN_DIRECT], (_raw, secure) => void secure.end())).toEqual([['end'], ['closed']]);
  });

  test('a client that is no sidecar may leave without a word, as many do', async () => {
    expect(await left([], (raw) => void raw.end())).toEqual([['end'], ['closed']]);
  });
});

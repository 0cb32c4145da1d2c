// Server name and ALPN from the first bytes of a connection: as OpenSSL writes them, cut anywhere, and broken in any way.
import { randomBytes } from 'node:crypto';
import { Duplex } from 'node:stream';
import { type ConnectionOptions, connect } from 'node:tls';
import { describe, expect, test } from '@jest/globals';
import { readClientHello } from '../../../../sidecar/tls/clienthello.ts';

/** The ClientHello that Node sends with these options. */
async function hello(options: ConnectionOptions): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const wire = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      resolve(chunk);
      done();
    },
  });
  const socket = connect({ socket: wire, ...options });
  socket.on('error', () => undefined);
  const bytes = await promise;
  socket.destroy();
  return bytes;
}

/** The same message in records of so many bytes each (RFC 8446 section 5.1 allows any cut). */
function inRecords(bytes: Buffer, size: number): Buffer {
  const body = bytes.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < body.length; at += size) {
    const part = body.subarray(at, at + size);
    records.push(Buffer.of(22, 3, 1, part.length >> 8, part.length & 0xff), part);
  }
  return Buffer.concat(records);
}

describe('a ClientHello', () => {
  test.each<readonly [ConnectionOptions, string | undefined, readonly string[]]>([
    [{ servername: 'Shop.Example.com', ALPNProtocols: ['h2', 'http/1.1'] }, 'shop.example.com', ['h2', 'http/1.1']],
    [{ servername: 'shop.example.com', ALPNProtocols: ['acme-tls/1'] }, 'shop.example.com', ['acme-tls/1']],
    [{ servername: 'web' }, 'web', []],
    [{}, undefined, []],
    [{ servername: 'web', ecdhCurve: 'X25519MLKEM768:X25519' }, 'web', []],
    [{ servername: 'web', maxVersion: 'TLSv1.2' }, 'web', []],
  ])('of %j says whom it wants and what it would speak', async (options, serverName, protocols) => {
    const bytes = await hello(options);
    expect(readClientHello(bytes)).toEqual({ kind: 'read', serverName, protocols });
    for (const size of [1, 7, 64, 500]) {
      expect(readClientHello(inRecords(bytes, size))).toEqual({ kind: 'read', serverName, protocols });
    }
  });

  test('is incomplete at every cut, and decided as soon as it is whole', async () => {
    const bytes = await hello({ servername: 'shop.example.com', ALPNProtocols: ['h2'] });
    for (let length = 0; length < bytes.length; length += 1) {
      expect(readClientHello(bytes.subarray(0, length)).kind).toBe('incomplete');
    }
    expect(readClientHello(Buffer.concat([bytes, Buffer.from('more')])).kind).toBe('read');
  });

  test.each<readonly [string, Buffer]>([
    ['another record', Buffer.of(23, 3, 3, 0, 1, 0)],
    ['another message', Buffer.of(22, 3, 3, 0, 4, 2, 0, 0, 0)],
    ['a message that is too long', Buffer.of(22, 3, 3, 0, 4, 1, 0xff, 0xff, 0xff)],
    ['an empty record', Buffer.of(22, 3, 3, 0, 0)],
    [
      'lengths that lead out of it',
      Buffer.concat([Buffer.of(22, 3, 1, 0, 44, 1, 0, 0, 40), Buffer.alloc(34), Buffer.alloc(6, 0xff)]),
    ],
  ])('is not read from %s', (_, bytes) => {
    expect(readClientHello(bytes).kind).toBe('unreadable');
  });

  test('of random content never throws, and nothing is waited for without end', () => {
    for (let round = 0; round < 2_000; round += 1) {
      const body = randomBytes(round % 300);
      const bytes = Buffer.concat([Buffer.of(22, 3, 1, body.length >> 8, body.length & 0xff, 1, 0, 0), body]);
      expect(['incomplete', 'unreadable', 'read']).toContain(readClientHello(bytes).kind);
    }
    const endless = Buffer.concat(Array.from({ length: 4_000 }, () => Buffer.of(22, 3, 1, 0, 1, 1)));
    expect(readClientHello(endless).kind).toBe('unreadable');
  });
});

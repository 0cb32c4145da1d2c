import { type Duplex, duplexPair } from 'node:stream';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { join } from '../../../../sidecar/relay/join.ts';
import type { Relay, RelayEnd } from '../../../../sidecar/relay/relay.ts';
import { StreamHalf } from '../../../../sidecar/relay/streamhalf.ts';

interface Bench {
  readonly relay: Relay;
  /** The application that opened the connection, and the one that was dialled. */
  readonly client: Duplex;
  readonly server: Duplex;
  readonly halves: { readonly near: Duplex; readonly far: Duplex };
  readonly resets: string[];
}

function bench(): Bench {
  const [near, client] = duplexPair();
  const [far, server] = duplexPair();
  const resets: string[] = [];
  const half = (name: string, stream: Duplex, other: Duplex) =>
    new StreamHalf(stream, {
      reset: () => {
        resets.push(name);
        stream.destroy();
        other.destroy(Object.assign(new Error('reset'), { code: 'ECONNRESET' }));
      },
    });
  for (const socket of [client, server]) socket.on('error', () => undefined);
  return {
    relay: join(half('near', near, client), half('far', far, server)),
    client,
    server,
    halves: { near, far },
    resets,
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** All that a stream gives until its end. Not by `for await`: that would destroy the other direction, too. */
function collect(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve) => stream.once('end', () => resolve(Buffer.concat(chunks))));
}

async function send(stream: Duplex, chunks: readonly Uint8Array[]): Promise<void> {
  for (const chunk of chunks) {
    if (!stream.write(chunk)) await new Promise((resolve) => stream.once('drain', resolve));
    if (chunk.length % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  stream.end();
}

describe('a relay', () => {
  test('delivers exactly what was sent, in both directions, however it is split', async () => {
    const chunks = fc.array(fc.uint8Array({ maxLength: 4_000 }), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(chunks, chunks, async (up, down) => {
        const { relay, client, server, resets } = bench();
        const results = await Promise.all([collect(client), collect(server), send(client, up), send(server, down)]);
        const [sentUp, sentDown] = [Buffer.concat(up), Buffer.concat(down)];
        expect(results[1].equals(sentUp)).toBe(true);
        expect(results[0].equals(sentDown)).toBe(true);
        const end: RelayEnd = { bytesIn: sentUp.length, bytesOut: sentDown.length, ending: 'closed' };
        expect(await relay.finished).toEqual(end);
        expect(resets).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  test('lets one direction go on after the other has ended', async () => {
    const { relay, client, server } = bench();
    client.end('question');
    expect(String(await collect(server))).toBe('question');
    server.write('a long ');
    await new Promise((resolve) => setImmediate(resolve));
    server.end('answer');
    expect(String(await collect(client))).toBe('a long answer');
    expect(await relay.finished).toMatchObject({ ending: 'closed', bytesIn: 8, bytesOut: 13 });
  });

  test.each([
    ['near', 'far'],
    ['far', 'near'],
  ] as const)('resets the other half when the %s one breaks off', async (broken, other) => {
    const { relay, halves, client, resets } = bench();
    client.write('x');
    await new Promise((resolve) => setImmediate(resolve));
    halves[broken].destroy(Object.assign(new Error('read'), { code: 'ECONNRESET' }));
    expect(await relay.finished).toEqual({ bytesIn: 1, bytesOut: 0, ending: 'failed', reason: 'reset' });
    expect(resets).toEqual([other]);
  });

  test('resets the other half when one vanishes without an error or an end', async () => {
    const { relay, halves, resets } = bench();
    halves.near.destroy();
    expect(await relay.finished).toMatchObject({ ending: 'failed', reason: 'reset' });
    expect(resets).toEqual(['far']);
  });

  test('cuts both halves on demand and says why', async () => {
    const { relay, resets } = bench();
    relay.cut('revoked');
    relay.cut('denied');
    expect(await relay.finished).toMatchObject({ ending: 'failed', reason: 'revoked' });
    expect(resets).toEqual(['near', 'far']);
  });

  test('that is closed tells the far side the end, and carries all that it still has to say', async () => {
    const { relay, client, server } = bench();
    const [heard, asked] = [collect(client), collect(server)];
    client.write('last words');
    await turn();
    relay.close('drained');
    expect(String(await asked)).toBe('last words');
    server.write('a long ');
    await turn();
    expect(relay.traffic()).toMatchObject({ bytesOut: 7, isUnderWay: false, last: 'out', isAnswered: false });
    server.end('answer');
    expect(String(await heard)).toBe('a long answer');
    client.end();
    expect(await relay.finished).toEqual({ bytesIn: 10, bytesOut: 13, ending: 'drained' });
  });

  test.each(['near', 'far'] as const)('that is closed ends in order when the %s side does not answer', async (deaf) => {
    const { relay, client, server, resets } = bench();
    const heard = [collect(client), collect(server)];
    client.write('last words');
    await turn();
    relay.close('drained');
    if (deaf === 'near') server.end();
    await turn();
    relay.close('aged');
    expect(await relay.finished).toEqual({ bytesIn: 10, bytesOut: 0, ending: 'drained' });
    expect((await Promise.all(heard)).map(String)).toEqual(['', 'last words']);
    expect(resets).toEqual([]);
  });

  test('that is closed takes nothing more of the near side, and can still be cut', async () => {
    const { relay, client, server, resets } = bench();
    const asked = collect(server);
    relay.close('drained');
    await asked;
    client.write('too late');
    await turn();
    relay.cut('revoked');
    expect(await relay.finished).toEqual({ bytesIn: 0, bytesOut: 0, ending: 'failed', reason: 'revoked' });
    expect(resets).toEqual(['near', 'far']);
  });

  test('that is closed passes the reset of a far side on', async () => {
    const { relay, halves, resets } = bench();
    relay.close('drained');
    await turn();
    halves.far.destroy(Object.assign(new Error('read'), { code: 'ECONNRESET' }));
    expect(await relay.finished).toMatchObject({ ending: 'failed', reason: 'reset' });
    expect(resets).toEqual(['near']);
  });

  test('knows that the side that was dialled has ended alone, and is closed at once then', async () => {
    const { relay, client, server } = bench();
    server.end('all');
    await collect(client);
    expect(relay.traffic()).toMatchObject({ isUnderWay: false, isAnswered: true });
    relay.close('aged');
    expect(await relay.finished).toMatchObject({ ending: 'aged' });
  });

  test('counts as it goes and knows the way of the last byte', async () => {
    const { relay, client, server } = bench();
    expect(relay.traffic()).toEqual({
      bytesIn: 0,
      bytesOut: 0,
      last: undefined,
      run: 0,
      isUnderWay: false,
      isAnswered: false,
    });
    client.write('abc');
    await new Promise((resolve) => setImmediate(resolve));
    expect(relay.traffic()).toEqual({
      bytesIn: 3,
      bytesOut: 0,
      last: 'in',
      run: 3,
      isUnderWay: false,
      isAnswered: false,
    });
    server.write('de');
    await new Promise((resolve) => setImmediate(resolve));
    expect(relay.traffic()).toEqual({
      bytesIn: 3,
      bytesOut: 2,
      last: 'out',
      run: 2,
      isUnderWay: false,
      isAnswered: false,
    });
    relay.cut('reset');
    await relay.finished;
  });

  test('knows that more is to come while a reader stands still, and while who asks has ended and is not answered to the end', async () => {
    const { relay, client, server } = bench();
    client.write(Buffer.alloc(200_000));
    client.end();
    for (let turns = 0; turns < 20; turns += 1) await turn();
    expect(relay.traffic().isUnderWay).toBe(true);
    const heard = collect(server);
    await heard;
    expect(relay.traffic().isUnderWay).toBe(true);
    server.end();
    await collect(client);
    await relay.finished;
    expect(relay.traffic().isUnderWay).toBe(false);
  });

  test('takes the reason from the half that failed', async () => {
    const [near] = duplexPair();
    const [far] = duplexPair();
    const reset = (stream: Duplex) => () => void stream.destroy();
    const relay = join(
      new StreamHalf(near, { reset: reset(near) }),
      new StreamHalf(far, { reset: reset(far), explain: () => 'expired' }),
    );
    far.destroy(new Error('alert'));
    expect(await relay.finished).toMatchObject({ ending: 'failed', reason: 'expired' });
  });

  test('that begins with a half already lost is over at once', async () => {
    const [near] = duplexPair();
    const [far] = duplexPair();
    near.on('error', () => undefined);
    near.destroy();
    await new Promise((resolve) => setImmediate(resolve));
    const relay = join(
      new StreamHalf(near, { reset: () => void near.destroy() }),
      new StreamHalf(far, { reset: () => void far.destroy() }),
    );
    expect(await relay.finished).toMatchObject({ ending: 'failed', reason: 'reset' });
    expect(far.destroyed).toBe(true);
  });
});

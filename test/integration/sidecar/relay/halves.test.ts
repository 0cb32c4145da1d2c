// The relay over every kind of half, on real sockets: what goes in comes out, and how one side ends is how the other sees it end.
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Half } from '../../../../sidecar/relay/half.ts';
import { join } from '../../../../sidecar/relay/join.ts';
import { type Link, type LinkKind, LoopbackLinks } from '../../../../sidecar/relay/loopback.ts';
import type { Relay } from '../../../../sidecar/relay/relay.ts';
import { type RelayName, relayNames, relays } from '../../../support/relays.ts';
import { runs, runsTimeout } from '../../../support/runs.ts';
import { until } from '../../../support/until.ts';

let links: LoopbackLinks;

beforeAll(async () => {
  links = await LoopbackLinks.start(relays.fast.bare);
});
afterAll(() => links.close());

interface Joined {
  readonly relay: Relay;
  readonly near: Link;
  readonly far: Link;
  readonly halves: { readonly near: Half; readonly far: Half };
}

interface Shape {
  readonly links: readonly [LinkKind, LinkKind];
  readonly halves: readonly [RelayName, RelayName];
}

async function joined({ links: kinds, halves: names }: Shape): Promise<Joined> {
  const [near, far] = await Promise.all([links.make(kinds[0]), links.make(kinds[1])]);
  const halves = { near: near.half(relays[names[0]]), far: far.half(relays[names[1]]) };
  return { relay: join(halves.near, halves.far), near, far, halves };
}

/** What a peer saw until its connection was gone. */
interface Seen {
  readonly bytes: Buffer;
  readonly ended: boolean;
  readonly error: string | undefined;
}

async function watch(socket: Socket): Promise<Seen> {
  const chunks: Buffer[] = [];
  let [ended, error]: [boolean, string | undefined] = [false, undefined];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('end', () => {
    ended = true;
  });
  socket.on('error', (thrown: NodeJS.ErrnoException) => {
    error ??= thrown.code;
  });
  if (!socket.destroyed) await new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return { bytes: Buffer.concat(chunks), ended, error };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A piece of what a peer does: so many bytes, and whether it then lets others go first. */
const step = fc.record({
  // Not zero: a write of nothing over TLS makes Node lose a reset that comes with it (26.10), and a peer of ours is Node, too.
  size: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 90_000 })),
  rest: fc.boolean(),
});
const steps = fc.array(step, { maxLength: 12 });
type Step = { readonly size: number; readonly rest: boolean };

/** Bytes that tell their place. */
const patterned = (from: number, size: number): Buffer => {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; at += 1) bytes[at] = (from + at) % 251;
  return bytes;
};
/** Not the bytes themselves: a difference of megabytes would be printed for minutes. */
const outcome = ({ bytes, ended, error }: Seen, size: number) => ({
  whole: bytes.equals(patterned(0, size)),
  ended,
  error,
});
const sizeOf = (given: readonly Step[]): number => given.reduce((sum, { size }) => sum + size, 0);

async function send(socket: Socket, given: readonly Step[]): Promise<void> {
  let sent = 0;
  for (const { size, rest } of given) {
    if (socket.destroyed) return;
    const more = socket.write(patterned(sent, size));
    sent += size;
    if (!more) await Promise.race([once(socket, 'drain'), once(socket, 'close')]).catch(() => undefined);
    if (rest) await turn();
  }
}

const places: readonly (readonly [LinkKind, LinkKind])[] = [
  ['plain', 'tls client'],
  ['tls server', 'plain'],
  ['plain', 'plain'],
  ['tls server', 'tls client'],
];
/** Ends without sockets, which only the fast relay has, beside every other end. */
const bareShapes: readonly (Shape & { readonly name: string })[] = (
  [
    [['bare accepted', 'bare dialled'], 'fast'],
    [['bare accepted', 'tls client'], 'fast'],
    [['bare accepted', 'tls client'], 'public'],
    [['tls server', 'bare dialled'], 'fast'],
    [['tls server', 'bare dialled'], 'public'],
    [['bare accepted', 'plain'], 'fast'],
    [['plain', 'bare dialled'], 'public'],
  ] as const
).map(([kinds, name]) => ({
  links: kinds,
  halves: [name, name],
  name: `${kinds.join(' to ')}, ${name} where it has a socket`,
}));
const shapes: readonly (Shape & { readonly name: string })[] = places.flatMap((kinds) =>
  relayNames.flatMap((first) =>
    relayNames.map((second) => ({
      links: kinds,
      halves: [first, second] as const,
      name: `${first} ${kinds[0]} to ${second} ${kinds[1]}`,
    })),
  ),
);

describe.each([...shapes, ...bareShapes])('$name', (shape) => {
  test(
    'gives out what goes in, both ways, however it is split and whoever ends first',
    async () => {
      await fc.assert(
        fc.asyncProperty(steps, steps, fc.boolean(), async (up, down, patient) => {
          const { relay, near, far } = await joined(shape);
          const seen = [watch(near.peer), watch(far.peer)] as const;
          const sent = async (): Promise<void> => {
            await send(near.peer, up);
            near.peer.end();
          };
          const answered = async (): Promise<void> => {
            // One of them speaks only after the other has said all that it has.
            if (patient) await once(far.peer, 'end');
            await send(far.peer, down);
            far.peer.end();
          };
          await Promise.all([sent(), answered()]);
          const [client, server] = await Promise.all(seen);
          expect(outcome(server, sizeOf(up))).toEqual({ whole: true, ended: true, error: undefined });
          expect(outcome(client, sizeOf(down))).toEqual({ whole: true, ended: true, error: undefined });
          const end = { ending: 'closed', bytesIn: sizeOf(up), bytesOut: sizeOf(down) };
          expect(await relay.finished).toEqual(end);
        }),
        runs(6),
      );
    },
    runsTimeout(30_000),
  );

  test('keeps the order of bytes that are split at every position', async () => {
    const { relay, near, far } = await joined(shape);
    const seen = watch(far.peer);
    const text = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n';
    for (let at = 0; at <= text.length; at += 1) {
      near.peer.write(text.slice(0, at));
      await turn();
      near.peer.write(text.slice(at));
    }
    near.peer.end();
    far.peer.end();
    expect(String((await seen).bytes) === text.repeat(text.length + 1)).toBe(true);
    expect(await relay.finished).toMatchObject({ ending: 'closed' });
  });

  test(
    'passes a reset on as a reset, never as an end, after bytes that are a beginning of what was sent',
    async () => {
      await fc.assert(
        fc.asyncProperty(steps, steps, fc.boolean(), async (up, down, fromNear) => {
          const { relay, near, far } = await joined(shape);
          const [broken, other] = fromNear ? [near, far] : [far, near];
          const [lost, kept] = fromNear ? [up, down] : [down, up];
          const seen = watch(other.peer);
          broken.peer.resume();
          await Promise.all([send(broken.peer, lost), send(other.peer, kept)]);
          broken.reset();
          expect(await relay.finished).toMatchObject({ ending: 'failed', reason: 'reset' });
          const { bytes, ended, error } = await seen;
          expect({ ended, error: error === 'ECONNRESET' || error === 'EPIPE' }).toEqual({ ended: false, error: true });
          expect(bytes.equals(patterned(0, bytes.length))).toBe(true);
          expect(bytes.length).toBeLessThanOrEqual(sizeOf(lost));
        }),
        runs(6),
      );
    },
    runsTimeout(30_000),
  );

  test('resets both sides when it is cut', async () => {
    const { relay, near, far } = await joined(shape);
    const seen = Promise.all([watch(near.peer), watch(far.peer)]);
    near.peer.write('x');
    await until(() => relay.traffic().bytesIn === 1, 'the byte passes', 20_000);
    relay.cut('revoked');
    expect(await relay.finished).toMatchObject({ ending: 'failed', reason: 'revoked' });
    for (const { ended, error } of await seen) expect({ ended, error }).toEqual({ ended: false, error: 'ECONNRESET' });
  });

  test('loses nothing of what it has read when it is closed in order', async () => {
    const { relay, near, far } = await joined(shape);
    const seen = Promise.all([watch(near.peer), watch(far.peer)]);
    near.peer.write(patterned(0, 40_000));
    far.peer.write(patterned(0, 50_000));
    await until(() => relay.traffic().bytesIn === 40_000 && relay.traffic().bytesOut === 50_000, 'all is read', 20_000);
    relay.close('drained');
    // The one that was dialled is asked, and both have said all that they have.
    far.peer.end();
    near.peer.end();
    expect(await relay.finished).toMatchObject({ ending: 'drained' });
    const [client, server] = await seen;
    expect([client.bytes.length, server.bytes.length]).toEqual([50_000, 40_000]);
    expect([client.ended, server.ended]).toEqual([true, true]);
  });

  test('holds the writer of a reader that reads nothing, and goes on when it reads', async () => {
    const { relay, near, far, halves } = await joined(shape);
    const block = patterned(0, 251 * 400);
    // More than the kernel's buffers on both sides of the relay can take.
    const blocks = 200;
    let written = 0;
    let highest = 0;
    const pump = (): void => {
      while (written < blocks) {
        written += 1;
        if (!near.peer.write(block)) return void near.peer.once('drain', pump);
      }
      near.peer.end();
    };
    pump();
    let before = -1;
    await until(
      () => {
        highest = Math.max(highest, halves.far.queued);
        const still = relay.traffic().bytesIn === before && before > 0;
        before = relay.traffic().bytesIn;
        return still && halves.far.queued > 0;
      },
      'it is held',
      20_000,
    );
    expect(relay.traffic().bytesIn).toBeLessThan(block.length * blocks);
    const seen = watch(far.peer);
    far.peer.end();
    const { bytes } = await seen;
    expect(bytes.length).toBe(block.length * blocks);
    expect(bytes.equals(Buffer.concat(Array.from({ length: blocks }, () => block)))).toBe(true);
    expect(highest).toBeLessThan(1024 * 1024);
    expect(await relay.finished).toMatchObject({ ending: 'closed' });
  });

  test('is over at once when one side was lost before it began', async () => {
    const [near, far] = await Promise.all([links.make(shape.links[0]), links.make(shape.links[1])]);
    await near.lose();
    const seen = watch(far.peer);
    const relay = join(near.half(relays[shape.halves[0]]), far.half(relays[shape.halves[1]]));
    expect(await relay.finished).toMatchObject({ ending: 'failed', reason: 'reset' });
    expect(await seen).toMatchObject({ ended: false, error: 'ECONNRESET' });
    near.peer.destroy();
  });

  test('passes on an end that had come before it began', async () => {
    const [near, far] = await Promise.all([links.make(shape.links[0]), links.make(shape.links[1])]);
    near.peer.end('early');
    await new Promise((resolve) => setTimeout(resolve, 20));
    const seen = watch(far.peer);
    const relay = join(near.half(relays[shape.halves[0]]), far.half(relays[shape.halves[1]]));
    await once(far.peer, 'end');
    far.peer.end();
    expect(String((await seen).bytes)).toBe('early');
    near.peer.resume();
    expect(await relay.finished).toMatchObject({ ending: 'closed', bytesIn: 5 });
  });
});

const kinds: readonly (readonly [LinkKind, RelayName])[] = [
  ...(['plain', 'tls server', 'tls client'] as const).flatMap((kind) =>
    relayNames.map((name) => [kind, name] as const),
  ),
  ['bare accepted', 'fast'],
  ['bare dialled', 'fast'],
];

test.each(kinds)(
  '%s, %s: a reset that comes in the moment in which we end our direction is told as a reset',
  async (kind, name) => {
    for (let times = 0; times < 20; times += 1) {
      const link = await links.make(kind);
      const half = link.half(relays[name]);
      const events: string[] = [];
      const closed = new Promise((resolve) => {
        half.start({
          data: () => undefined,
          drained: () => undefined,
          ended: () => events.push('ended'),
          closed: resolve,
        });
      });
      await turn();
      half.write(Buffer.from('a question'), false);
      await turn();
      // The kernel has it before anything else happens in this process.
      link.reset();
      half.end();
      expect([await closed, events]).toEqual(['reset', []]);
    }
  },
);

test.each(kinds)('%s, %s: is gone when it is reset in the moment in which it was ended', async (kind, name) => {
  for (const times of [1, 2]) {
    const link = await links.make(kind);
    const half = link.half(relays[name]);
    const ignore = (): void => undefined;
    const closed = new Promise((resolve) => {
      half.start({ data: ignore, drained: ignore, ended: ignore, closed: resolve });
    });
    await turn();
    half.write(Buffer.from('an answer'), false);
    await turn();
    half.end();
    for (let time = 0; time < times; time += 1) half.reset();
    expect(await closed).toBe('reset');
    link.peer.destroy();
  }
});

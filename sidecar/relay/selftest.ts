// Proves at the start of the process that halves of a kind do on this Node what the relay asks of them: whole bytes over plain and
// TLS sockets, and without sockets where they can do so, a stalled reader, half-close both ways, and a reset that stays one. Real
// connections on loopback, about 20 ms.
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { messageOf } from '../../lib/errors.ts';
import type { BareDialled, BareHalves } from './bare.ts';
import type { OpenHalf } from './half.ts';
import { join } from './join.ts';
import { type LinkKind, LoopbackLinks } from './loopback.ts';
import type { Relay } from './relay.ts';

/** The whole test; a half that does not come to an end is no good. On a busy node it may well take a tenth of it. */
const BOUND_MS = 2_000;
/** The question takes several reads; neither is a multiple of any buffer's size. */
const QUESTION_BYTES = 150_001;
const ANSWER_BYTES = 5_003;
/** Many turns of the event loop in which nobody reads, so that writes stay under way and the queue is used. */
const STALL_TURNS = 20;

const cycle = Uint8Array.from(Array(251).keys());

/** Resolves with what is wrong, and with undefined when nothing is. Never rejects. */
export async function selfTest(openHalf: OpenHalf, boundMs: number = BOUND_MS): Promise<string | undefined> {
  let links: LoopbackLinks | undefined;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`it did not end within ${boundMs} ms`), boundMs);
  });
  try {
    links = await LoopbackLinks.start(openHalf.bare);
    return await Promise.race([late, examine(links, openHalf)]);
  } catch (error) {
    return messageOf(error);
  } finally {
    clearTimeout(timer);
    links?.close();
  }
}

/** As outbound, as inbound, and as traffic that passes untouched. */
const places: readonly (readonly [LinkKind, LinkKind])[] = [
  ['plain', 'tls client'],
  ['tls server', 'plain'],
  ['plain', 'plain'],
];

/** The same for connections that have no sockets. */
const barePlaces: typeof places = [
  ['bare accepted', 'tls client'],
  ['tls server', 'bare dialled'],
  ['bare accepted', 'bare dialled'],
];

async function examine(links: LoopbackLinks, openHalf: OpenHalf): Promise<string | undefined> {
  const { bare } = openHalf;
  for (const place of bare === undefined ? places : [...places, ...barePlaces]) {
    const fault = await conversation(await joined(links, place, openHalf));
    if (fault !== undefined) return `${place.join(' to ')}: ${fault}`;
  }
  const breaking: typeof places = bare === undefined ? [] : [['bare accepted', 'bare dialled']];
  for (const place of [...breaking, ['tls server', 'plain'] as const]) {
    const fault = await broken(await joined(links, place, openHalf));
    if (fault !== undefined) return `reset, ${place.join(' to ')}: ${fault}`;
  }
  return bare === undefined ? undefined : refusedBy(bare);
}

/** What is not there has to be told apart from what does not answer. */
async function refusedBy(bare: BareHalves): Promise<string | undefined> {
  const nobody = createServer().listen(0, '127.0.0.1');
  await once(nobody, 'listening');
  const { port } = nobody.address() as AddressInfo;
  await new Promise((resolve) => nobody.close(resolve));
  const dialled = await new Promise<BareDialled>((resolve) =>
    bare.dial({ address: '127.0.0.1', port }, BOUND_MS, resolve),
  );
  if (!dialled.ok)
    return dialled.detail === 'ECONNREFUSED' ? undefined : `dialling nobody ended with ${dialled.detail}`;
  dialled.half.reset();
  return 'dialling nobody succeeded';
}

interface Joined {
  readonly relay: Relay;
  readonly client: Socket;
  readonly server: Socket;
  readonly breakOff: () => void;
}

async function joined(
  links: LoopbackLinks,
  [first, second]: readonly [LinkKind, LinkKind],
  openHalf: OpenHalf,
): Promise<Joined> {
  const [near, far] = [await links.make(first), await links.make(second)];
  return {
    relay: join(near.half(openHalf), far.half(openHalf)),
    client: near.peer,
    server: far.peer,
    breakOff: () => near.reset(),
  };
}

/** A question whose end the server waits for, read late, and an answer. */
async function conversation({ relay, client, server }: Joined): Promise<string | undefined> {
  const [question, answer] = [pattern(QUESTION_BYTES), pattern(ANSWER_BYTES)];
  client.write(question.subarray(0, 5));
  await turn();
  client.end(question.subarray(5));
  for (let turns = 0; turns < STALL_TURNS; turns += 1) await turn();
  if (!question.equals(await received(server))) return 'what came in did not go out';
  server.end(answer);
  if (!answer.equals(await received(client))) return 'what was answered did not come back';
  const { ending, bytesIn, bytesOut } = await relay.finished;
  const whole = ending === 'closed' && bytesIn === question.length && bytesOut === answer.length;
  return whole ? undefined : `it ended as ${ending} after ${bytesIn} and ${bytesOut} bytes`;
}

/** A connection that breaks off must not look like one that ended. */
async function broken({ relay, client, server, breakOff }: Joined): Promise<string | undefined> {
  let ended = false;
  server.on('end', () => {
    ended = true;
  });
  const gone = once(server, 'close').catch(() => undefined);
  client.write('x');
  await once(server, 'data');
  breakOff();
  const { ending } = await relay.finished;
  await gone;
  if (ended) return 'it looked like an end to the other side';
  return ending === 'failed' ? undefined : `it ended as ${ending}`;
}

async function received(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.resume();
  if (!socket.readableEnded) await once(socket, 'end');
  return Buffer.concat(chunks);
}

/**
 * Bytes that tell their place. Filled by Node, and counted out once: a loop of our own would be optimized, and the process keeps the 8 MB
 * of the compiler that this takes.
 */
function pattern(size: number): Buffer {
  return Buffer.alloc(size, cycle);
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

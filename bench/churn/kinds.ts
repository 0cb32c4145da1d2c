// Every kind of connection that the churn opens, and what has to come of it.
import { connect, type Socket } from 'node:net';
import { DEAF_PORT, HTTP_PORT, IMPOSTOR, PLAIN_PORT, SHAKY, STEADY, STRANGERS } from './ports.ts';

/** Longest life of a connection that is to end by itself, in milliseconds. */
const PATIENCE_MS = 40_000;

let seed = 1;
/** A whole number below another; the same ones in every run. */
export function random(below: number): number {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((seed / 2 ** 32) * below);
}

/** Everything until the end of a connection: the bytes, and how it ended. */
interface Heard {
  readonly bytes: number;
  readonly text: string;
  readonly end: 'ended' | 'reset' | 'late';
}

/** Connects, and lets errors be. */
export function dial(to: string, port: number): Socket {
  const socket = connect({ host: to, port, allowHalfOpen: true, noDelay: true });
  socket.on('error', () => undefined);
  return socket;
}

function heard(socket: Socket): Promise<Heard> {
  return new Promise((resolve) => {
    let [bytes, text, end] = [0, '', 'reset' as Heard['end']];
    const bound = setTimeout(() => {
      end = 'late';
      socket.resetAndDestroy();
    }, PATIENCE_MS);
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (text.length < 200) text += chunk.toString('latin1');
    });
    socket.on('end', () => {
      if (end !== 'late') end = 'ended';
      socket.end();
    });
    socket.on('close', () => {
      clearTimeout(bound);
      resolve({ bytes, text, end });
    });
  });
}

/** Calls, says a text, and ends its direction or not. */
function say(to: string, port: number, text: string, ends: boolean): Promise<Heard> {
  const socket = dial(to, port);
  if (ends) socket.end(text);
  else socket.write(text);
  return heard(socket);
}

/** A connection of a kind; resolves with what went wrong, if anything did. */
export type Kind = () => Promise<string | undefined>;

const told = (heard: Heard): string => `${heard.end} after ${heard.bytes} bytes: ${heard.text.slice(0, 60)}`;
const expect = (isRight: (heard: Heard) => boolean, heard: Heard): string | undefined =>
  isRight(heard) ? undefined : told(heard);
const http = (path: string): Promise<Heard> =>
  say(STEADY, HTTP_PORT, `GET ${path} HTTP/1.1\r\nHost: steady\r\nConnection: close\r\n\r\n`, false);

/** By name, each with its share in a hundred or so. */
export const everyKind: Readonly<Record<string, readonly [share: number, kind: Kind]>> = {
  echo: [
    30,
    async () => {
      const text = Array.from({ length: 1 + random(5) }, () => `echo ${random(1e9)}\n`).join('');
      return expect((got) => got.end === 'ended' && got.text === text, await say(STEADY, PLAIN_PORT, text, true));
    },
  ],
  'half-close': [
    10,
    async () => expect(({ text }) => text === 'late\n', await say(STEADY, PLAIN_PORT, 'half\n', true)),
  ],
  'ended by the server': [
    10,
    async () => expect(({ end }) => end === 'ended', await say(STEADY, PLAIN_PORT, 'close\n', false)),
  ],
  'reset by the server': [
    10,
    async () => expect(({ end }) => end === 'reset', await say(STEADY, PLAIN_PORT, 'reset\n', false)),
  ],
  'reset by the client': [
    10,
    async () => {
      const socket = dial(STEADY, PLAIN_PORT);
      const over = heard(socket);
      socket.write(`body ${1 + random(20)}\n`);
      socket.once('data', () => socket.resetAndDestroy());
      await over;
      return undefined;
    },
  ],
  'left without a word': [
    5,
    async () => {
      const socket = dial(STEADY, PLAIN_PORT);
      const over = heard(socket);
      setTimeout(() => socket.resetAndDestroy(), random(100));
      await over;
      return undefined;
    },
  ],
  body: [
    5,
    async () => {
      const blocks = 1 + random(20);
      const got = await say(STEADY, PLAIN_PORT, `body ${blocks}\n`, false);
      return expect(({ bytes, end }) => end === 'ended' && bytes === blocks * 65_536, got);
    },
  ],
  http: [10, async () => expect(({ text }) => text.includes(' 200 '), await http(`/open/${random(1_000)}`))],
  'http denied': [5, async () => expect(({ text }) => text.includes(' 403 '), await http(`/${random(1_000)}`))],
  'nobody listens': [5, async () => expect(({ end }) => end === 'reset', await say(STEADY, DEAF_PORT, 'echo\n', true))],
  impostor: [3, async () => expect(({ end }) => end === 'reset', await say(IMPOSTOR, PLAIN_PORT, 'echo\n', true))],
  'comes and goes': [
    10,
    async () => {
      await say(SHAKY, PLAIN_PORT, 'echo\n', true);
      return undefined;
    },
  ],
  stranger: [
    1,
    async () => {
      await say(`${STRANGERS}${1 + random(20)}`, PLAIN_PORT, 'echo\n', true);
      return undefined;
    },
  ],
};

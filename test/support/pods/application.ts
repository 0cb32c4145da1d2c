// The application of a pod, run in its namespace: listens and dials as it is asked, and tells what became of each connection. On SIGTERM it
// accepts no more and ends once its connections have ended, as an application does that is written for Kubernetes.
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { answering, type Line } from './inside.ts';
import { type Talk, type Talked, type Talking, talk } from './talk.ts';

/** What it can be asked. */
export type ApplicationQuestion =
  /** Sends back what it gets, line by line, with its own name in front. */
  | { readonly do: 'echo'; readonly port: number; readonly name: string }
  /** Has this talk with everybody who connects. */
  | { readonly do: 'listen'; readonly port: number; readonly talk: Talk }
  /** Connects and talks; the answer is the number of the talk. */
  | { readonly do: 'talk'; readonly to: string; readonly port: number; readonly talk: Talk }
  /** What became of a talk of its own, or of the next one that somebody else has begun on a port. */
  | { readonly do: 'outcome'; readonly of: number }
  | { readonly do: 'heard'; readonly port: number }
  /** Talks that hold read from now on. */
  | { readonly do: 'read on' }
  /** Connects to an echo, sends a line, and tells the line that came back, or `undefined`; the connection stays if it is to be kept. */
  | { readonly do: 'call'; readonly to: string; readonly port: number; readonly line: string; readonly keep?: string }
  /** Sends bytes on a kept connection and waits for nothing. */
  | { readonly do: 'send'; readonly on: string; readonly line: string }
  /** The next line that comes on a kept connection. */
  | { readonly do: 'hear'; readonly on: string }
  /** Resets all kept connections: what is under way to nowhere is not waited for. */
  | { readonly do: 'drop' }
  /** Waits until a kept connection has ended; the answer says how. */
  | { readonly do: 'gone'; readonly on: string }
  | { readonly do: 'state' };

/** How it stands. */
export interface ApplicationState {
  /** Connections that are open. */
  readonly open: number;
  /** Of the talks that are going on, those that have not got rid of what they send. */
  readonly sending: number;
}

/** How a kept connection ended: `ended` in order, or what the system said. */
export type Gone = string;

const open = new Set<Socket>();
const servers: Server[] = [];
const talking = new Set<Talking>();
const begun: Talking[] = [];
const heard = new Map<number, { readonly done: Talked[]; readonly waiting: ((talked: Talked) => void)[] }>();
const kept = new Map<
  string,
  { readonly lines: () => Promise<string | undefined>; readonly socket: Socket; readonly gone: Promise<Gone> }
>();

function track(socket: Socket): Socket {
  open.add(socket);
  socket.on('error', () => undefined);
  socket.on('close', () => open.delete(socket));
  return socket;
}

function follow(socket: Socket, what: Talk): Talking {
  const going = talk(socket, what);
  talking.add(going);
  void going.done.then(() => talking.delete(going));
  return going;
}

async function listen(port: number, serve: (socket: Socket) => void): Promise<void> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => serve(track(socket)));
  server.listen(port, '0.0.0.0');
  await once(server, 'listening');
  servers.push(server);
}

function dial(to: string, port: number): Socket {
  return track(connect({ host: to, port, allowHalfOpen: true, noDelay: true }));
}

/** Lines of a socket, one after the other; undefined once it is over. */
function linesOf(socket: Socket): () => Promise<string | undefined> {
  const [lines, waiting]: [string[], ((line: string | undefined) => void)[]] = [[], []];
  let [rest, over] = ['', false];
  socket.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) {
      const take = waiting.shift();
      if (take === undefined) lines.push(part);
      else take(part);
    }
  });
  socket.on('close', () => {
    over = true;
    for (const take of waiting.splice(0)) take(undefined);
  });
  return () => {
    const line = lines.shift();
    if (line !== undefined || over) return Promise.resolve(line);
    return new Promise((resolve) => void waiting.push(resolve));
  };
}

function goneOf(socket: Socket): Promise<Gone> {
  let how: Gone = 'ended';
  socket.on('error', (error: NodeJS.ErrnoException) => {
    how = error.code ?? error.message;
  });
  socket.on('end', () => void socket.end());
  return new Promise((resolve) => void socket.on('close', () => resolve(how)));
}

async function call({
  to,
  port,
  line,
  keep,
}: Extract<ApplicationQuestion, { do: 'call' }>): Promise<string | undefined> {
  const socket = dial(to, port);
  const [lines, gone] = [linesOf(socket), goneOf(socket)];
  socket.write(`${line}\n`);
  const answer = await lines();
  if (keep === undefined || answer === undefined) socket.end();
  else kept.set(keep, { lines, socket, gone });
  return answer;
}

function keptOne(name: string) {
  const connection = kept.get(name);
  if (connection === undefined) throw new Error(`no connection is kept as ${name}`);
  return connection;
}

function heardOn(port: number) {
  const known = heard.get(port) ?? { done: [], waiting: [] };
  heard.set(port, known);
  return known;
}

function serveTalk(port: number, what: Talk): (socket: Socket) => void {
  return (socket) =>
    void follow(socket, what).done.then((talked) => {
      const { done, waiting } = heardOn(port);
      const take = waiting.shift();
      if (take === undefined) done.push(talked);
      else take(talked);
    });
}

function serveEcho(name: string): (socket: Socket) => void {
  const answers = async (socket: Socket): Promise<void> => {
    const lines = linesOf(socket);
    socket.on('end', () => void socket.end());
    for (let line = await lines(); line !== undefined; line = await lines()) socket.write(`${name} ${line}\n`);
  };
  return (socket) => void answers(socket);
}

function state(): ApplicationState {
  return { open: open.size, sending: [...talking].filter((each) => !each.isSent()).length };
}

function answer(asked: ApplicationQuestion): unknown {
  switch (asked.do) {
    case 'echo':
      return listen(asked.port, serveEcho(asked.name));
    case 'listen':
      return listen(asked.port, serveTalk(asked.port, asked.talk));
    case 'talk':
      return begun.push(follow(dial(asked.to, asked.port), asked.talk)) - 1;
    case 'outcome':
      return begun[asked.of]?.done;
    case 'heard': {
      const { done, waiting } = heardOn(asked.port);
      return done.shift() ?? new Promise((resolve) => void waiting.push(resolve));
    }
    case 'read on':
      for (const each of talking) each.readOn();
      return undefined;
    case 'call':
      return call(asked);
    case 'hear':
      return keptOne(asked.on).lines();
    case 'drop':
      for (const { socket } of kept.values()) if (!socket.destroyed) socket.resetAndDestroy();
      return undefined;
    case 'send':
      return void keptOne(asked.on).socket.write(`${asked.line}\n`);
    case 'gone':
      return keptOne(asked.on).gone;
    case 'state':
      return state();
  }
}

answering((question: Line) => answer(question as unknown as ApplicationQuestion));

process.on('SIGTERM', () => {
  for (const server of servers) server.close();
  const look = setInterval(() => {
    // The parent is still to hear what became of them.
    if (open.size === 0) {
      clearInterval(look);
      setTimeout(() => process.exit(0), 100);
    }
  }, 20);
});

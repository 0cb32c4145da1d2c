// Autobahn's cases for WebSocket (hack/python/autobahn): a client that runs them against a server that echoes, and a server that runs them
// against a client that does.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { leashed } from '../../../hack/leash.ts';
import { pythonWith } from '../../../hack/python/environment.ts';

/** How cases ended, by their numbers: what they think of the peer, of the end of the connection, and its code. */
export type Outcomes = ReadonlyMap<string, string>;

/** Where the cases are. */
export interface Autobahn {
  readonly python: string;
  readonly args: readonly string[];
  /** The numbers of all cases. */
  readonly known: readonly string[];
}

interface Said {
  readonly case?: string;
  readonly behavior?: string;
  readonly close?: string;
  readonly code?: number | null;
  readonly fault?: string | null;
  readonly failed?: string;
  readonly port?: number;
  readonly cases?: readonly string[];
}

const driver = join(import.meta.dirname, '../../../hack/python/autobahn/fuzz.py');

/** Installs what is missing. */
export async function autobahn(): Promise<Autobahn> {
  const python = await pythonWith('autobahn');
  const sources = join(dirname(python), '..', 'sources');
  const folder = readdirSync(sources).find((name) => /^autobahntestsuite-.*\d$/.test(name)) ?? '';
  const args = [driver, join(sources, folder, 'autobahntestsuite')];
  const run = start(python, [...args, 'client', 'ws://127.0.0.1:1']);
  let known: readonly string[] = [];
  for await (const { cases = [] } of run.said) known = cases;
  await run.ended;
  return { python, args, known };
}

/** Runs cases against a server. Rejects when their client has a fault of its own. */
export async function fuzzServer(
  { python, args }: Autobahn,
  port: number,
  cases: readonly string[],
): Promise<Outcomes> {
  const run = start(python, [...args, 'client', `ws://127.0.0.1:${port}`, ...cases]);
  const outcomes = new Map<string, string>();
  for await (const said of run.said) note(outcomes, said);
  await run.ended;
  return outcomes;
}

/** The server of the cases. */
export interface CaseServer {
  readonly port: number;
  /** How they have ended so far. */
  readonly outcomes: Map<string, string>;
  stop(): Promise<void>;
}

/** Starts the server: a client asks for `/<number>`, and echoes. */
export async function startCaseServer({ python, args }: Autobahn): Promise<CaseServer> {
  const run = start(python, [...args, 'server', '0']);
  const outcomes = new Map<string, string>();
  const lines = run.said[Symbol.asyncIterator]();
  const first = await lines.next();
  const { port = 0 } = first.done === true ? {} : first.value;
  const read = async (): Promise<void> => {
    for (let line = await lines.next(); line.done !== true; line = await lines.next()) note(outcomes, line.value);
  };
  const reading = read();
  return {
    port,
    outcomes,
    stop: async () => {
      run.kill();
      await Promise.all([reading, run.ended.catch(() => undefined)]);
    },
  };
}

function note(outcomes: Map<string, string>, said: Said): void {
  if (said.fault) throw new Error(`case ${said.case} cannot be run: ${said.fault}`);
  if (said.case !== undefined) outcomes.set(said.case, `${said.behavior}, ${said.close}, ${said.code}`);
}

function start(program: string, args: readonly string[]) {
  const env = { PATH: process.env['PATH'] ?? '', PYTHONDONTWRITEBYTECODE: '1' };
  const child = spawn(...leashed(program, args), { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const errors: string[] = [];
  child.stderr.setEncoding('utf8').on('data', (text: string) => errors.push(text));
  const ended = new Promise<void>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(errors.join('').slice(-2_000)))));
  });
  // Whoever reads the lines asks for the end later.
  ended.catch(() => undefined);
  return { said: parsed(createInterface({ input: child.stdout })), ended, kill: () => void child.kill() };
}

async function* parsed(lines: AsyncIterable<string>): AsyncGenerator<Said> {
  for await (const line of lines) yield JSON.parse(line) as Said;
}

// A long-running client as a process: one line "host port" in, one line out for the request that it made.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Program } from '../../../hack/interop/tools.ts';
import { leashed } from '../../../hack/leash.ts';

const answerMs = 60_000;

/** A client that keeps running while certificates change. */
export class LineClient {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting: ((line: string) => void)[] = [];
  #output = '';

  constructor(program: Program, args: readonly string[]) {
    this.#child = spawn(...leashed(program.command, [...program.args, ...args]), {
      env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '/', ...program.env },
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#output += text));
    this.#child.stdin.on('error', () => undefined);
    this.#child.on('error', (error) => (this.#output += error.message));
    createInterface(this.#child.stdout).on('line', (line) => {
      this.#output += `${line}\n`;
      this.#waiting.shift()?.(line);
    });
    this.#child.on('exit', () => {
      for (const answer of this.#waiting.splice(0)) answer(`error the client ended: ${this.#output.slice(-2_000)}`);
    });
  }

  /** Everything that it printed. */
  get output(): string {
    return this.#output;
  }

  /** The next line that it prints. */
  next(): Promise<string> {
    if (this.#child.exitCode !== null) return Promise.resolve(`error the client ended: ${this.#output.slice(-2_000)}`);
    const { promise, resolve } = Promise.withResolvers<string>();
    const timer = setTimeout(() => resolve(`error no answer within ${answerMs / 1_000} s: ${this.#output}`), answerMs);
    this.#waiting.push((line) => {
      clearTimeout(timer);
      resolve(line);
    });
    return promise;
  }

  /** Has it make a request. */
  call(host: string, port: number): Promise<string> {
    const answer = this.next();
    this.#child.stdin.write(`${host} ${port}\n`);
    return answer;
  }

  /** Ends it. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }
}

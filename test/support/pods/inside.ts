// Programs in a pod's network namespace, as the user that a pod has for them, that are asked by lines of JSON and told of by their own id.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { leashed } from '../../../hack/leash.ts';
import { asProxy, type Netns, type Who } from '../capture/netns.ts';

/** What is started. */
export interface Command {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A line of JSON. */
export type Line = Readonly<Record<string, unknown>>;

/** A program of Node's that runs in a namespace. */
export class Inside {
  readonly child: ChildProcess;
  /** What it has printed. */
  readonly lines: Line[] = [];
  readonly exited: Promise<number | null>;
  readonly #waiting = new Map<number, (line: Line) => void>();
  #asked = 0;

  constructor(netns: Netns, who: Who, { args, env = {} }: Command) {
    const node = [process.execPath, ['--disable-warning=ExperimentalWarning', ...args]] as const;
    // On the leash only as the user that it stays: the kernel forgets it with a change.
    const enter = [`--net=/run/netns/${netns.name}`, ...(who === 'proxy' ? asProxy : [])];
    this.child = spawn('nsenter', [...enter, ...leashed(...node).flat()], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...env },
    });
    this.exited = once(this.child, 'exit').then(([code]) => code as number | null);
    this.child.stdin?.on('error', () => undefined);
    if (this.child.stdout !== null) {
      createInterface(this.child.stdout).on('line', (text) => this.#hear(JSON.parse(text) as Line));
    }
  }

  /** Whether it has ended. */
  get isOver(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Sends a question and resolves with the answer; rejects when it ends before. */
  ask<T>(question: object): Promise<T> {
    this.#asked += 1;
    const id = this.#asked;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#waiting.set(id, ({ answer, error }) => {
      if (error === undefined) resolve(answer as T);
      else reject(new Error(`the other end says ${JSON.stringify(error)}`));
    });
    void this.exited.then(() => reject(new Error(`ended before it answered ${JSON.stringify(question)}`)));
    this.child.stdin?.write(`${JSON.stringify({ id, ...question })}\n`);
    return promise;
  }

  /** Sends a signal to it and nobody else. */
  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Ends it, whatever state it is in. */
  async end(): Promise<void> {
    if (!this.isOver) this.child.kill('SIGKILL');
    await this.exited;
  }

  #hear(line: Line): void {
    const { id } = line;
    const answer = typeof id === 'number' ? this.#waiting.get(id) : undefined;
    if (answer === undefined) this.lines.push(line);
    else {
      this.#waiting.delete(id as number);
      answer(line);
    }
  }
}

/** The other end: answers each line of standard input; what is thrown is told. Ends with its parent. */
export function answering(answer: (question: Line) => unknown): void {
  const tell = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
  const input = createInterface(process.stdin);
  input.on('line', (text) => {
    const question = JSON.parse(text) as Line;
    const { id } = question;
    Promise.resolve()
      .then(() => answer(question))
      .then((told) => tell({ id, answer: told ?? null }))
      .catch((error: unknown) => tell({ id, error: String(error) }));
  });
  input.on('close', () => process.exit(0));
}

// One further worker as the first one sees it: a process of the same program, with an IPC channel and its log.
import { type ChildProcess, fork } from 'node:child_process';
import { StringDecoder } from 'node:string_decoder';
import type { Said, Told } from './link.ts';

/** What becomes of what a worker says. */
export interface MemberEvents {
  said(member: Member, said: Said): void;
  /** A line of its log, with its end. */
  line(text: string): void;
  /** It has ended, or could not be started; once. `how` is a word for the log. */
  gone(member: Member, how: string): void;
  /** The environment of a worker with this number. */
  environment(index: number): Readonly<Record<string, string | undefined>>;
}

/** A running worker. */
export class Member {
  readonly index: number;
  /** It was told to listen: what is reported has to hold for it, too. */
  isServing = false;
  /** It listens. */
  isListening = false;
  /** What it said last that it applies (counts.ts, `stateOf`). */
  state = '';
  /** What it said last of its metrics. */
  metrics = '';
  /** Looks in a row at which it did not apply what the first worker does, and since it was last heard. */
  behind = 0;
  silent = 0;
  /** Since when it listens (Clock.nowMs). */
  listensSinceMs: number | undefined;
  /** Why it was ended by the first worker. */
  endedFor: 'behind' | 'silent' | 'late' | undefined;
  readonly #child: ChildProcess;
  #hasStarted = false;
  #isGone = false;

  constructor(index: number, events: MemberEvents) {
    this.index = index;
    this.#child = fork(process.argv[1] ?? '', [], {
      env: events.environment(index),
      // Its lines go through our own output: two writers to a pipe that is full would write into each other's lines.
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    this.#child.on('message', (said) => events.said(this, said as Said));
    this.#child.on('exit', (code, signal) => this.#gone(events, signal ?? `exit ${code}`));
    this.#child.on('error', ({ message }) => this.#gone(events, message));
    this.#forwardLines(events);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Tells it something. Before its start there is no need: that tells it everything. */
  send(told: Told): void {
    this.#hasStarted ||= told.kind === 'start';
    // What cannot be sent any more was for a worker that is about to be gone.
    if (this.#hasStarted && this.#child.connected) this.#child.send(told, () => undefined);
  }

  /** Asks it to end in order; one that has nothing to put in order ends at once. */
  stop(): void {
    if (this.#hasStarted) this.send({ kind: 'stop' });
    else this.kill();
  }

  /** Ends it at once, whatever it is doing. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #gone(events: MemberEvents, how: string): void {
    if (this.#isGone) return;
    this.#isGone = true;
    events.gone(this, how);
  }

  #forwardLines(events: MemberEvents): void {
    const decoder = new StringDecoder('utf8');
    let rest = '';
    this.#child.stdout?.on('data', (octets: Buffer) => {
      const lines = (rest + decoder.write(octets)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) events.line(`${line}\n`);
    });
    this.#child.stdout?.on('error', () => undefined);
  }
}

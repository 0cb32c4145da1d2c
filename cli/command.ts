// What a command of the CLI is, what it is given, and what its exit code means.
import type { Clock } from '../lib/clock.ts';
import { AppError } from '../lib/errors.ts';
import type { Connection } from '../lib/kube/rest.ts';

/** Exit codes, the same for all commands. */
export const exitCodes = {
  ok: 0,
  /** A fault was found, or what was asked for did not come about. */
  fault: 1,
  /** The command line is wrong; nothing was done. */
  usage: 2,
  /** The cluster cannot be reached, or does not let you. */
  cluster: 3,
} as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Where a command reads and writes. */
export interface Terminal {
  /** A line of the answer. */
  out(line: string): void;
  /** A line for the person beside it: progress, warnings, errors. */
  err(line: string): void;
  /** Asks the person and waits for a line; undefined when nobody is there to answer. */
  ask(question: string): Promise<string | undefined>;
}

/** How an option is read (node:util parseArgs) and what it is for. */
export interface OptionSpec {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  /** What the value is, for the help: `NAMESPACE`. */
  readonly value?: string;
  readonly help: string;
}

/** Values of options by their long names. */
export type OptionValues = Readonly<Record<string, string | boolean | undefined>>;

/** One call of a command. */
export interface Invocation {
  readonly terminal: Terminal;
  readonly clock: Clock;
  readonly options: OptionValues;
  /** Words after the command's own. */
  readonly words: readonly string[];
  /** The cluster; connects on first use. Throws AppError `config_invalid`. */
  readonly cluster: () => Connection;
  readonly signal: AbortSignal;
}

/** One command. */
export interface Command {
  /** One or more words: `certs`, `ca rotate`. */
  readonly name: string;
  /** What follows the name: `[ISSUER] --reason TEXT`. */
  readonly usage: string;
  /** One line. */
  readonly summary: string;
  /** Paragraphs for the help and the docs. */
  readonly details: string;
  readonly options: Readonly<Record<string, OptionSpec>>;
  readonly examples: readonly string[];
  run(invocation: Invocation): Promise<ExitCode>;
}

/** A command line that cannot be carried out; the message says what to do. */
export class UsageError extends AppError {
  constructor(message: string) {
    super('input_invalid', message);
    this.name = 'UsageError';
  }
}

/** The value of a text option. */
export function textOption(options: OptionValues, name: string): string | undefined {
  const value = options[name];
  return typeof value === 'string' ? value : undefined;
}

/** Exactly so many words, or a UsageError that says which. */
export function wordsOf(words: readonly string[], names: readonly string[], optional = 0): readonly string[] {
  const missing = names.slice(words.length, names.length - optional);
  if (missing.length > 0) throw new UsageError(`${missing.join(' and ')} is missing`);
  const extra = words.slice(names.length);
  if (extra.length > 0) throw new UsageError(`"${extra.join(' ')}" is more than the command takes`);
  return words;
}

// Reads the command line, runs one command, and turns whatever goes wrong into a line that says what to do and an exit code.
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { VERSION } from '../lib/api/contract.ts';
import { systemClock } from '../lib/clock.ts';
import { AppError, messageOf } from '../lib/errors.ts';
import { isKube, type KubeError } from '../lib/kube/errors.ts';
import { kubeMetrics } from '../lib/kube/metrics.ts';
import { type Connection, connect } from '../lib/kube/rest.ts';
import { Metrics } from '../lib/runtime/metrics.ts';
import {
  type Command,
  type ExitCode,
  exitCodes,
  type OptionValues,
  type Terminal,
  textOption,
  UsageError,
} from './command.ts';
import { commands, findCommand } from './commands.ts';
import { commandHelp, overview } from './help.ts';
import { globalOptions, kubeconfigFiles } from './options.ts';

/** What the process has. */
export interface Surroundings {
  readonly words: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
}

/** Runs the command line. Never rejects. */
export async function runCli(surroundings: Surroundings): Promise<ExitCode> {
  const { words, terminal } = surroundings;
  const isHelp = words.length === 0 || words[0] === 'help' || words[0] === '--help' || words[0] === '-h';
  if (isHelp) return help(words.slice(1), terminal);
  const found = findCommand(words);
  if (found === undefined) {
    const isGroup = commands.some(({ name }) => name.startsWith(`${words[0]} `));
    terminal.err(
      `There is no command "${words.slice(0, isGroup ? 2 : 1).join(' ')}". \`tabard help\` lists those there are.`,
    );
    return exitCodes.usage;
  }
  return runCommand(found.command, found.rest, surroundings);
}

function help(words: readonly string[], terminal: Terminal): ExitCode {
  const found = findCommand(words);
  const lines = found === undefined ? overview() : commandHelp(found.command);
  for (const line of lines) terminal.out(line);
  return words.length > 0 && found === undefined ? exitCodes.usage : exitCodes.ok;
}

async function runCommand(command: Command, rest: readonly string[], surroundings: Surroundings): Promise<ExitCode> {
  const { terminal, signal } = surroundings;
  let connection: Connection | undefined;
  try {
    const { options, words } = parsed(command, rest);
    if (options['help'] === true) return help(command.name.split(' '), terminal);
    const cluster = (): Connection => (connection ??= connected(options, surroundings.environment));
    return await command.run({ terminal, clock: systemClock, options, words, cluster, signal });
  } catch (error) {
    return failed(command, error, terminal);
  } finally {
    connection?.close();
  }
}

function parsed(command: Command, rest: readonly string[]): { options: OptionValues; words: readonly string[] } {
  const specs = Object.entries({ ...globalOptions, ...command.options });
  const options = Object.fromEntries(
    specs.map(([name, { type, short }]) => [name, { type, ...(short === undefined ? {} : { short }) }]),
  );
  try {
    const { values, positionals } = parseArgs({ args: [...rest], options, allowPositionals: true, strict: true });
    return { options: values, words: positionals };
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}

function connected(options: OptionValues, environment: Surroundings['environment']): Connection {
  const kubeconfig = kubeconfigFiles(options, environment, existsSync);
  const context = textOption(options, 'context');
  return connect({
    userAgent: `tabard-cli/${VERSION}`,
    clock: systemClock,
    metrics: kubeMetrics(new Metrics()),
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    ...(context === undefined ? {} : { context }),
  });
}

function failed({ name, usage }: Command, error: unknown, terminal: Terminal): ExitCode {
  if (error instanceof UsageError) {
    terminal.err(`tabard ${name}: ${error.message}`);
    terminal.err(`Usage: tabard ${name} ${usage}`.trimEnd());
    return exitCodes.usage;
  }
  if (isKube(error, 'NotFound')) {
    terminal.err(`Not found: ${error.message}`);
    terminal.err(advice(error));
    return exitCodes.fault;
  }
  if (error instanceof AppError && (error.code === 'kube_request' || error.code === 'config_invalid')) {
    terminal.err(`tabard ${name}: ${error.message}`);
    terminal.err(
      isKube(error, 'Forbidden', 'Unauthorized', 'Unavailable', 'Throttled', 'Invalid')
        ? advice(error)
        : 'Check --kubeconfig, $KUBECONFIG and --context.',
    );
    return isKube(error, 'Invalid', 'Conflict', 'AlreadyExists') ? exitCodes.fault : exitCodes.cluster;
  }
  terminal.err(`tabard ${name}: ${messageOf(error)}`);
  return exitCodes.fault;
}

function advice(error: KubeError): string {
  switch (error.kind) {
    case 'NotFound':
      return 'Check the name; if the kind itself is unknown, Tabard is not installed here: helm install tabard charts/tabard';
    case 'Forbidden':
      return 'Ask whoever administers the cluster for that right (docs/cli.md lists what each command needs).';
    case 'Unauthorized':
      return 'The cluster does not know you: log in again, or check --kubeconfig and --context.';
    case 'Invalid':
      return 'The API server refuses it as it is written; nothing was changed.';
    default:
      return 'The API server does not answer: check --kubeconfig and --context, and whether `kubectl version` works.';
  }
}

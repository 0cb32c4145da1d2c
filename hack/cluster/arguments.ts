// Reads the command line of the cluster driver. Pure.

import { parseArgs } from 'node:util';
import { ClusterError } from './failure.ts';

/** The driver's commands. */
export const COMMANDS = ['build', 'up', 'down', 'status', 'kubectl', 'helm', 'load-image', 'env'] as const;

/** One of the driver's commands. */
export type Command = (typeof COMMANDS)[number];

/** What the user asked for. */
export interface Arguments {
  readonly command: Command;
  readonly name: string;
  readonly range: string;
  readonly state: string | undefined;
  readonly controlPlaneOnly: boolean;
  readonly withControllerManager: boolean;
  readonly purge: boolean;
  /** What belongs to kubectl, helm or load-image. */
  readonly rest: readonly string[];
}

/** The text of `--help`. */
export const USAGE = `usage: main.ts COMMAND [OPTIONS]

  build                 compile the pinned tools, start nothing
  up                    compile if need be, and start the cluster (or find it up)
  down                  stop everything that up started; --purge also forgets images and logs
  status                say what runs
  kubectl -- ARGS       run kubectl on the cluster
  helm -- ARGS          run helm on the cluster
  load-image TAR        import a docker-archive or OCI archive into the node
  env                   print shell lines that set KUBECONFIG and PATH: eval "$(main.ts env)"

  --name NAME                 name of the cluster (default tabard)
  --range A.B                 first two octets of its addresses (default 10.199)
  --state DIR                 folder of its state (default in the cache)
  --control-plane-only        up: only etcd and kube-apiserver, on a loopback port, no root needed
  --with-controller-manager   up: with the former, also kube-controller-manager`;

const OPTIONS = {
  name: { type: 'string', default: 'tabard' },
  range: { type: 'string', default: '10.199' },
  state: { type: 'string' },
  'control-plane-only': { type: 'boolean', default: false },
  'with-controller-manager': { type: 'boolean', default: false },
  purge: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

/** Parses arguments; undefined when the user asked for help. Fails with a ClusterError when they make no sense. */
export function parseArguments(args: readonly string[]): Arguments | undefined {
  const cut = args.indexOf('--');
  const own = cut < 0 ? args : args.slice(0, cut);
  const passed = cut < 0 ? [] : args.slice(cut + 1);
  const { values, positionals } = parse(own);
  const [command, ...rest] = positionals;
  if (values.help || command === undefined || command === 'help') return undefined;
  if (!isCommand(command)) {
    throw new ClusterError(`there is no command ${JSON.stringify(command)}`, {
      advice: `use one of ${COMMANDS.join(', ')}`,
    });
  }
  return {
    command,
    name: values.name,
    range: values.range,
    state: values.state,
    controlPlaneOnly: values['control-plane-only'],
    withControllerManager: values['with-controller-manager'],
    purge: values.purge,
    rest: [...rest, ...passed],
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true, strict: true });
  } catch (cause) {
    const advice = 'see --help; arguments of kubectl and helm come after --';
    throw new ClusterError(cause instanceof Error ? cause.message : String(cause), { advice, cause });
  }
}

function isCommand(text: string): text is Command {
  return COMMANDS.some((command) => command === text);
}

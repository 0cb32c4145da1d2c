// Network namespaces for tests: made, linked, entered and removed here. None has a route out of the pair.
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { leashed } from '../../../hack/leash.ts';
import { PROXY_UID } from '../../../lib/api/contract.ts';

/** As whom a program runs in a pod's namespace: the proxy, whose traffic is not captured, or anybody else. */
export type Who = 'proxy' | 'application';

/**
 * Leads a command that runs as the proxy's user. It also may read what root alone may: programs and certificates lie in folders of whoever
 * runs the tests. In a pod it needs and has nothing of the kind.
 */
export const asProxy: readonly string[] = [
  'setpriv',
  `--reuid=${PROXY_UID}`,
  `--regid=${PROXY_UID}`,
  '--clear-groups',
  '--inh-caps=+dac_read_search',
  '--ambient-caps=+dac_read_search',
  '--',
];

/** One network namespace. */
export interface Netns {
  readonly name: string;
  /** Runs a command in it to its end and returns its standard output. Throws with standard error when it fails. */
  run(command: readonly string[], options?: RunOptions): string;
  /** The same without holding up the caller's own events. */
  runSoon(command: readonly string[], options?: Omit<RunOptions, 'input'>): Promise<string>;
  /** Starts a command in it that prints a line once it is ready, and waits for that line. `remove` ends it. */
  start(command: readonly string[], options?: RunOptions): Promise<ChildProcess>;
  /** Ends what was started and deletes the namespace. */
  remove(): Promise<void>;
}

/** How a command runs: as which user, with which environment, and (`run` only) with what on its standard input. */
export interface RunOptions {
  readonly uid?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
}

/** A namespace with its loopback up. Needs root, as everything of this kind does. */
export function makeNetns(purpose: string): Netns {
  const name = `tbd-${purpose}-${randomBytes(3).toString('hex')}`;
  execFileSync('ip', ['netns', 'add', name]);
  const children: ChildProcess[] = [];
  // Not `ip netns exec`: it remounts /sys, which nothing here needs.
  const enter = (command: readonly string[], uid: number): string[] => [
    `--net=/run/netns/${name}`,
    ...(uid === 0 ? [] : [`--setuid=${uid}`, `--setgid=${uid}`]),
    ...command,
  ];
  const netns: Netns = {
    name,
    run: (command, { uid = 0, env = {}, input = '' } = {}) =>
      execFileSync('nsenter', enter(command, uid), {
        encoding: 'utf8',
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...env },
        input,
        timeout: 30_000,
      }),
    runSoon: async (command, { uid = 0, env = {} } = {}) => {
      const { stdout } = await promisify(execFile)('nsenter', enter(command, uid), { env, timeout: 30_000 });
      return stdout;
    },
    start: async (command, { uid = 0, env = {} } = {}) => {
      const child = spawn('nsenter', enter(leashed(command[0] ?? '', command.slice(1)).flat(), uid), {
        env,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      children.push(child);
      const died = once(child, 'exit').then(() => Promise.reject(new Error(`${command.join(' ')} ended too early`)));
      await Promise.race([once(createInterface(child.stdout), 'line'), died]);
      died.catch(() => undefined);
      return child;
    },
    remove: async () => {
      const living = children.filter((child) => child.exitCode === null && child.signalCode === null);
      await Promise.all(
        living.map((child) => {
          child.kill('SIGKILL');
          return once(child, 'exit');
        }),
      );
      execFileSync('ip', ['netns', 'del', name]);
    },
  };
  netns.run(['ip', 'link', 'set', 'lo', 'up']);
  return netns;
}

/** Joins two namespaces by a cable `eth0` - `eth0` with one IPv4 and one IPv6 address each. */
export function link(ends: readonly [LinkEnd, LinkEnd]): void {
  const [a, b] = ends;
  execFileSync('ip', [
    'link',
    'add',
    'eth0',
    'netns',
    a.netns.name,
    'type',
    'veth',
    'peer',
    'eth0',
    'netns',
    b.netns.name,
  ]);
  for (const { netns, v4, v6 } of ends) {
    netns.run(['ip', 'addr', 'add', `${v4}/24`, 'dev', 'eth0']);
    netns.run(['ip', '-6', 'addr', 'add', `${v6}/64`, 'dev', 'eth0', 'nodad']);
    // No duplicate address detection: it would hold back the first second of IPv6.
    netns.run(['sh', '-c', 'echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad']);
    netns.run(['ip', 'link', 'set', 'eth0', 'up']);
  }
}

/** One end of a cable. */
export interface LinkEnd {
  readonly netns: Netns;
  readonly v4: string;
  readonly v6: string;
}

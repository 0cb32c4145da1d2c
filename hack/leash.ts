// Processes that end with the one that started them, however that ends: a test run that is killed leaves nothing running. The kernel
// sees to it (PR_SET_PDEATHSIG, prctl(2)): the child is sent SIGKILL when its parent is gone. The mark outlives an exec, so that process
// number, signals, streams and exit code are those of the program itself; it does not pass to children of the child, nor does it
// outlive a change of user.

/**
 * The command that runs `program` on a leash of this process; for `spawn(...leashed(program, args), options)`. Needs `setpriv` and `sh`
 * on the path, of util-linux and of every Debian. Call it where the child is spawned, on the main thread.
 */
export function leashed(program: string, args: readonly string[]): [command: string, args: string[]] {
  // A parent that was gone before the mark was set would never be missed.
  const script = '[ "$PPID" = "$0" ] && exec "$@"';
  return ['setpriv', ['--pdeathsig', 'KILL', '--', 'sh', '-c', script, String(process.pid), program, ...args]];
}

// All commands, in the order of the help.
import type { Command } from './command.ts';
import { authzExplainCommand } from './commands/authzexplain.ts';
import { authzSuggestCommand } from './commands/authzsuggest.ts';
import { authzUnusedCommand } from './commands/authzunused.ts';
import { authzMatrixCommand, authzWhoCanCommand } from './commands/authzwhocan.ts';
import { caDistrustCommand } from './commands/cadistrust.ts';
import { caRotateCommand } from './commands/carotate.ts';
import { caStatusCommand } from './commands/castatus.ts';
import { caPauseCommand, caResumeCommand, caUndoCommand } from './commands/caturn.ts';
import { certsCommand } from './commands/certs.ts';
import { revocationsCommand, unrevokeCommand } from './commands/revocations.ts';
import { revokeCommand } from './commands/revoke.ts';

/** All commands but `help`. */
export const commands: readonly Command[] = [
  certsCommand,
  caStatusCommand,
  caRotateCommand,
  caPauseCommand,
  caResumeCommand,
  caUndoCommand,
  caDistrustCommand,
  revokeCommand,
  revocationsCommand,
  unrevokeCommand,
  authzExplainCommand,
  authzWhoCanCommand,
  authzMatrixCommand,
  authzUnusedCommand,
  authzSuggestCommand,
];

/** The command that the words begin with, and the words after it; undefined when it is none. */
export function findCommand(words: readonly string[]): { command: Command; rest: readonly string[] } | undefined {
  for (const length of [2, 1]) {
    const name = words.slice(0, length).join(' ');
    const command = commands.find((each) => each.name === name);
    if (command !== undefined && words.length >= length) return { command, rest: words.slice(length) };
  }
  return undefined;
}

// Pushes an archive to a registry with the tool that the user has: crane, skopeo, podman or docker. They know the user's
// credentials and the registry's ways; Tabard wants to know neither.
import { AppError, messageOf } from '../../lib/errors.ts';
import { run, tryRun } from '../cluster/run.ts';

/** Tools that can push, the ones that need no daemon first. */
export const pushTools = ['crane', 'skopeo', 'podman', 'docker'] as const;

/** One of them. */
export type PushTool = (typeof pushTools)[number];

/** An archive to push: where it is, a reference that it holds, and the reference to push it as. */
export interface PushRequest {
  readonly archive: string;
  readonly from: string;
  readonly to: string;
}

const TIMEOUT_MS = 600_000;

/** The commands by which a tool pushes. */
export function pushCommands(tool: PushTool, { archive, from, to }: PushRequest): readonly (readonly string[])[] {
  // A registry on this machine, as kind's users have one, speaks plain HTTP; crane and docker know that by themselves.
  const local = /^(localhost|127(\.\d+){3}|\[::1\])[:/]/.test(to);
  switch (tool) {
    case 'crane':
      return [['push', archive, to]];
    case 'skopeo':
      return [
        ['copy', ...(local ? ['--dest-tls-verify=false'] : []), `docker-archive:${archive}:${from}`, `docker://${to}`],
      ];
    case 'podman':
    case 'docker':
      return [
        ['load', '--input', archive],
        ['tag', from, to],
        ['push', ...(local && tool === 'podman' ? ['--tls-verify=false'] : []), to],
      ];
    default:
      return tool satisfies never;
  }
}

/**
 * Pushes an archive that writeImage wrote and returns the reference. Throws AppError `unsupported` when there is no tool,
 * `input_invalid` with what the tool said when it fails.
 */
export async function pushArchive(archive: string, to: string): Promise<string> {
  const tool = await findTool();
  const manifest = JSON.parse(await run('tar', ['-xOf', archive, 'manifest.json'])) as readonly {
    readonly RepoTags: readonly string[];
  }[];
  const from = manifest[0]?.RepoTags[0];
  if (from === undefined) throw new AppError('input_invalid', `${archive} names no image`);
  for (const args of pushCommands(tool, { archive, from, to })) {
    try {
      await run(tool, args, { timeoutMs: TIMEOUT_MS });
    } catch (cause) {
      throw new AppError('input_invalid', `${to} could not be pushed: ${messageOf(cause)}`, { cause });
    }
  }
  return to;
}

async function findTool(): Promise<PushTool> {
  for (const tool of pushTools) {
    const found = await tryRun(tool, [tool === 'crane' ? 'version' : '--version']).catch(() => undefined);
    if (found?.code === 0) return tool;
  }
  throw new AppError('unsupported', `to push an image, install one of ${pushTools.join(', ')}`);
}

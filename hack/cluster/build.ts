// Builds the pinned tools once and keeps them outside the checkout. The folder's name is a digest of everything that
// shapes the result (pins, sources, Go version, flags), so a changed pin builds anew and nothing else does.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from './cache.ts';
import { ClusterError } from './failure.ts';
import { withLock } from './lock.ts';
import type { Progress } from './progress.ts';
import { tryRun } from './run.ts';
import { TOOLS, type Tool, type ToolName } from './tools.ts';

/** Where the built programs are. */
export interface Toolbox {
  /** Absolute path of a program. Fails when the program does not belong to the tools that were asked for. */
  path(program: string): string;
  /** Folder that holds a tool's programs and nothing else; its name changes with the content. */
  folder(tool: ToolName): string;
  /** Every folder, for a PATH. */
  readonly folders: readonly string[];
}

// Without DWARF the compiler and linker have less to do; stack traces do not need it.
const FLAGS = ['-buildvcs=false', '-trimpath', '-mod=readonly', '-gcflags=all=-dwarf=false'];
// GOFLAGS, GOWORK and cgo settings of the user's own would change what comes out.
const ENVIRONMENT = { CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off' };
const BUILD_TIMEOUT_MS = 45 * 60_000;
const OLDEST_GO = 26;

/** Where the tools are if all of them were built already, else undefined. */
export async function findTools(names: readonly ToolName[]): Promise<Toolbox | undefined> {
  const folders = foldersOf(names, await goVersion());
  return [...folders.values()].every((folder) => existsSync(folder)) ? toolbox(folders) : undefined;
}

/** Builds what is missing and returns where everything is. Safe to call from several processes at once. */
export async function ensureTools(names: readonly ToolName[], progress: Progress): Promise<Toolbox> {
  const folders = foldersOf(names, await goVersion());
  const missing = names.filter((name) => !existsSync(folders.get(name) ?? ''));
  if (missing.length > 0) {
    const waiting = (): void => progress.note('another process is building the tools; waiting for it');
    await withLock(join(cacheFolder(), 'tools', 'lock'), waiting, async () => {
      void prefetch(missing.filter((name) => !existsSync(folders.get(name) ?? '')));
      for (const name of missing) {
        const target = folders.get(name);
        if (target !== undefined && !existsSync(target)) {
          await progress.step(`${name} built`, () => build(TOOLS[name], target));
        }
      }
    });
  }
  return toolbox(folders);
}

function foldersOf(names: readonly ToolName[], version: string): ReadonlyMap<ToolName, string> {
  return new Map(names.map((name) => [name, join(cacheFolder(), 'tools', `${name}-${keyOf(TOOLS[name], version)}`)]));
}

function toolbox(folders: ReadonlyMap<ToolName, string>): Toolbox {
  const programs = new Map<string, string>();
  for (const [name, folder] of folders) {
    for (const program of Object.keys(TOOLS[name].programs)) programs.set(program, join(folder, program));
  }
  const known = <K>(map: ReadonlyMap<K, string>, key: K): string => {
    const path = map.get(key);
    if (path === undefined) throw new TypeError(`${String(key)} is not among the tools that were asked for`);
    return path;
  };
  return {
    path: (program) => known(programs, program),
    folder: (tool) => known(folders, tool),
    folders: [...folders.values()],
  };
}

async function build(tool: Tool, target: string): Promise<void> {
  const temporary = `${target}.building`;
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true });
  const variables = Object.entries(tool.variables ?? {}).map(([name, value]) => `-X ${name}=${value}`);
  const ldflags = ['-s', '-w', ...variables].join(' ');
  const programs = Object.entries(tool.programs);
  // With a folder as output Go names each program after its package, which is right for every tool of several programs.
  const output = `${temporary}/${programs.length === 1 ? programs[0]?.[0] : ''}`;
  const packages = programs.map(([, source]) => source);
  const outcome = await tryRun('go', ['build', ...FLAGS, '-ldflags', ldflags, '-o', output, ...packages], {
    cwd: sourceOf(tool),
    env: ENVIRONMENT,
    timeoutMs: BUILD_TIMEOUT_MS,
  });
  if (outcome.code !== 0) {
    rmSync(temporary, { recursive: true, force: true });
    throw new ClusterError(`go build of ${tool.name} ended with code ${outcome.code}:\n${lastLines(outcome.stderr)}`, {
      advice: 'check that the Go module proxy can be reached (go env GOPROXY) and that the disk is not full',
    });
  }
  renameSync(temporary, target);
}

/** Downloads the sources of all tools side by side while the first is compiling; a failure shows up in the build. */
async function prefetch(names: readonly ToolName[]): Promise<void> {
  for (const name of names) {
    await tryRun('go', ['list', '-mod=readonly', '-deps', ...Object.values(TOOLS[name].programs)], {
      cwd: sourceOf(TOOLS[name]),
      env: ENVIRONMENT,
      timeoutMs: BUILD_TIMEOUT_MS,
    }).catch(() => undefined);
  }
}

function keyOf(tool: Tool, version: string): string {
  const folder = sourceOf(tool);
  const hash = createHash('sha256').update(JSON.stringify([version, FLAGS, tool]));
  for (const file of readdirSync(folder).sort()) hash.update(`\0${file}\0`).update(readFileSync(join(folder, file)));
  return hash.digest('hex').slice(0, 12);
}

function sourceOf(tool: Tool): string {
  return join(import.meta.dirname, 'tools', tool.name);
}

async function goVersion(): Promise<string> {
  const advice = `install Go >= 1.${OLDEST_GO} (https://go.dev/dl) and put its bin folder on the PATH`;
  const outcome = await tryRun('go', ['version'], { env: ENVIRONMENT }).catch((cause: unknown) => {
    throw new ClusterError('Go is not installed; it compiles the cluster', { advice, cause });
  });
  const version = /go1\.(\d+)\S* \S+/.exec(outcome.stdout);
  if (!version || Number(version[1]) < OLDEST_GO) {
    throw new ClusterError(`this Go is too old: ${outcome.stdout.trim() || outcome.stderr.trim()}`, { advice });
  }
  return version[0];
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-20).join('\n');
}

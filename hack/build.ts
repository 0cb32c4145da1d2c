// Bundles each program of Tabard into one file, dist/<name>.js, so that the image needs no node_modules.
// The same sources give the same bytes. Nothing is minified: it saved no measurable start time (docs/image.md), and stack traces
// keep the names of the source. The licences of the packages in a bundle are put beside it as <name>.LICENSES.txt.
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { AppError } from '../lib/errors.ts';
import { licenseTexts } from './image/licenses.ts';

const checkout = resolve(import.meta.dirname, '..');

/** Programs by the name of their bundle. */
export const entryPoints = {
  operator: 'operator/main.ts',
  webhook: 'webhook/main.ts',
  sidecar: 'sidecar/main.ts',
  redirect: 'sidecar/redirect/main.ts',
  tabard: 'cli/main.ts',
  /** No program: what the operator loads when it first needs AWS. */
  aws: 'operator/delivery/aws/sdk.ts',
  /** No program: what a sidecar loads when a policy first asks for tokens. */
  jose: 'sidecar/jwt/jose.ts',
  /** No program: what a sidecar loads when it has more than one worker. */
  workers: 'sidecar/workers/later.ts',
  /** No program: what a sidecar loads when a rule first has a condition. */
  cel: 'lib/cel/language.ts',
} as const;

/** Those that run in the cluster; `tabard` is for the machines of people, and would only make the image larger. */
export const imagePrograms = ['operator', 'webhook', 'sidecar', 'redirect', 'aws', 'jose', 'workers', 'cel'] as const;

/** A program that is bundled. */
export type Program = keyof typeof entryPoints;

/** One bundle on disk. */
export interface Bundle {
  readonly program: Program;
  readonly path: string;
  readonly bytes: number;
}

// Bundled CommonJS packages call require for Node's own modules; ESM has none until it is made.
const banner = "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);";

/**
 * Gives node:http out as an object. Imported as an ES module it is asked for every name that it has, and one of them loads
 * undici: 4 MB of every sidecar (docs/data-path.md, "Memory").
 */
const plainHttp: Plugin = {
  name: 'plain-http',
  setup: (setup) => {
    setup.onResolve({ filter: /^node:http$/ }, ({ path }) => ({ path, namespace: 'builtin' }));
    setup.onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
    }));
  },
};

const clientNode = '@kubernetes/client-node';

/**
 * Of client-node the bundles run what reads kubeconfigs. That takes two names from the index of the generated code, which has 700 models
 * made at the start; and undici, which only client-node's own way to send requests needs, is loaded when it is first used, which is never.
 * Together 13 MB of each process that speaks to the API server (docs/benchmarks.md).
 */
const leanClientNode: Plugin = {
  name: 'lean-client-node',
  setup: (setup) => {
    const instead: Readonly<Record<string, string>> = {
      './gen/index.js': `export { createConfiguration } from './gen/configuration.js';
        export { ServerConfiguration } from './gen/servers.js';`,
      undici: ['Agent', 'ProxyAgent', 'fetch']
        .map((name) => `Object.defineProperty(exports, '${name}', { get: () => require('undici').${name} });`)
        .join('\n'),
    };
    setup.onResolve({ filter: /^\.\/gen\/index\.js$|^undici$/ }, ({ path, importer, namespace, resolveDir }) =>
      namespace === 'file' && importer.includes(clientNode)
        ? { path, namespace: 'lean', pluginData: resolveDir }
        : undefined,
    );
    setup.onLoad({ filter: /.*/, namespace: 'lean' }, ({ path, pluginData }) => ({
      contents: instead[path] ?? '',
      resolveDir: pluginData,
    }));
  },
};

/** A module that is loaded by `import()` and is an entry point itself stays in a file of its own: most never need it. */
const loadedLater: Plugin = {
  name: 'loaded-later',
  setup: (setup) => {
    const files: Readonly<Record<string, string>> = {
      './sdk.ts': './aws.js',
      './jose.ts': './jose.js',
      './workers/later.ts': './workers.js',
      '../lib/cel/language.ts': './cel.js',
    };
    setup.onResolve({ filter: /^\.\/(?:sdk|jose|workers\/later)\.ts$|\/cel\/language\.ts$/ }, ({ kind, path }) =>
      kind === 'dynamic-import' && files[path] !== undefined ? { path: files[path], external: true } : undefined,
    );
  },
};

/**
 * Writes the bundles of the given programs (all by default) of a checkout (this one by default) into a folder (its dist by default), each file in one step, so that a
 * reader never sees half of one. Programs whose sources exist are written even when another's do not; then throws
 * AppError `input_invalid` that names what is missing.
 */
export async function buildBundles(
  options: { readonly programs?: readonly Program[]; readonly folder?: string; readonly root?: string } = {},
): Promise<readonly Bundle[]> {
  const { programs = Object.keys(entryPoints) as Program[], root = checkout, folder = join(root, 'dist') } = options;
  const present = programs.filter((program) => existsSync(join(root, entryPoints[program])));
  await mkdir(folder, { recursive: true });
  const bundles = await Promise.all(present.map((program) => writeBundle(program, root, folder)));
  const missing = programs.filter((program) => !present.includes(program));
  if (missing.length > 0) {
    const names = missing.map((program) => `${entryPoints[program]} (${program}.js)`).join(', ');
    throw new AppError('input_invalid', `these entry points do not exist, so they were not bundled: ${names}`);
  }
  return bundles;
}

async function writeBundle(program: Program, root: string, folder: string): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    metafile: true,
    entryPoints: [entryPoints[program]],
    outfile: join(folder, `${program}.js`),
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: 'node26',
    // One character beyond it, in any package, and V8 keeps the whole text in two bytes per character.
    charset: 'ascii',
    legalComments: 'none',
    banner: { js: banner },
    plugins: [plainHttp, loadedLater, leanClientNode],
    logLevel: 'silent',
  });
  for (const { path, contents } of outputFiles) {
    await replaceFile(path, contents);
    // Only the command line has a first line that says what runs it.
    if (contents[0] === 0x23 && contents[1] === 0x21) await chmod(path, 0o755);
  }
  await replaceFile(
    join(folder, `${program}.LICENSES.txt`),
    Buffer.from(licenseTexts(root, Object.keys(metafile.inputs))),
  );
  const bytes = outputFiles.reduce((sum, { contents }) => sum + contents.length, 0);
  return { program, path: join(folder, `${program}.js`), bytes };
}

/** Leaves an unchanged file alone, so that what watches or caches by time is not disturbed. */
async function replaceFile(path: string, contents: Uint8Array): Promise<void> {
  const present = await readFile(path).catch(() => undefined);
  if (present?.equals(contents)) return;
  const draft = `${path}.${process.pid}`;
  await writeFile(draft, contents);
  await rename(draft, path);
}

if (import.meta.main) {
  try {
    for (const { path, bytes } of await buildBundles()) {
      process.stdout.write(`${path.slice(checkout.length + 1)} ${(bytes / 1024).toFixed(0)} KB\n`);
    }
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}

// The command line of the embedded cluster: reads arguments, runs one command, reports failures.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { clientEnvironment } from './api.ts';
import { type Arguments, parseArguments, USAGE } from './arguments.ts';
import { ensureTools } from './build.ts';
import { isRoot, stateFolder } from './cache.ts';
import { ensurePackages } from './debian.ts';
import { ClusterError } from './failure.ts';
import { down, find, up } from './lifecycle.ts';
import { failureReport, progressOn } from './progress.ts';
import { importImage } from './runtime.ts';
import { reportStatus } from './status.ts';
import { CLUSTER_TOOLS } from './tools.ts';

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
const progress = progressOn(print);

async function main(args: readonly string[]): Promise<number> {
  const request = parseArguments(args);
  if (request === undefined) {
    print(USAGE);
    return 0;
  }
  switch (request.command) {
    case 'build':
      return build();
    case 'up':
      return bringUp(request);
    case 'down':
      return takeDown(request);
    case 'status':
      return reportStatus(request.name, request.state, print);
    case 'kubectl':
    case 'helm':
      return passOn(request, request.command);
    case 'load-image':
      return loadImages(request);
    case 'env':
      return printEnvironment(request);
  }
}

async function build(): Promise<number> {
  if (isRoot()) await ensurePackages(progress);
  await ensureTools(CLUSTER_TOOLS, progress);
  progress.note('all tools are built');
  return 0;
}

async function bringUp(request: Arguments): Promise<number> {
  const { name, range, state, withControllerManager } = request;
  const form = request.controlPlaneOnly ? 'control-plane' : 'full';
  process.once('SIGINT', () => {
    print(`interrupted; the next up or down of ${name} removes what was started`);
    process.exit(130);
  });
  const { layout } = await up({ name, range, state, form, withControllerManager, ownedByProcess: false }, progress);
  progress.note(`${name} is up`);
  print(`KUBECONFIG=${layout.kubeconfig}`);
  return 0;
}

async function takeDown(request: Arguments): Promise<number> {
  const known = await down(request.name, request.state, progress);
  if (request.purge) rmSync(request.state ?? stateFolder(request.name), { recursive: true, force: true });
  progress.note(known ? `${request.name} is down` : `${request.name} was not up`);
  return 0;
}

/** Hands the terminal to kubectl or helm, so that `exec -it`, `logs -f` and Ctrl-C work as usual. */
async function passOn(request: Arguments, program: 'kubectl' | 'helm'): Promise<number> {
  const { layout, tools } = await find(request.name, request.state);
  const env = { ...process.env, ...clientEnvironment(layout) };
  const child = spawn(tools.path(program), request.rest, { stdio: 'inherit', env });
  // The terminal sends Ctrl-C to the child as well; it decides when to end.
  process.on('SIGINT', () => undefined);
  const [code] = (await once(child, 'close')) as [number | null];
  return code ?? 1;
}

async function loadImages(request: Arguments): Promise<number> {
  const [tar] = request.rest;
  if (tar === undefined) throw new ClusterError('load-image needs the path of an archive', { advice: 'see --help' });
  const { layout, tools } = await find(request.name, request.state);
  await progress.step(`${tar} imported`, () => importImage(layout, tools, tar));
  return 0;
}

async function printEnvironment(request: Arguments): Promise<number> {
  const { layout, tools } = await find(request.name, request.state);
  print(`export KUBECONFIG='${layout.kubeconfig}'`);
  print(`export PATH='${tools.folder('kubernetes')}:${tools.folder('helm')}':"$PATH"`);
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${failureReport(error)}\n`);
  process.exitCode = 1;
}

// The demo on the cluster that kubectl points at. Images travel through a registry that the user names.

import { AppError } from '../../lib/errors.ts';
import { tryRun } from '../cluster/run.ts';
import { pushArchive } from '../image/push.ts';
import type { Talk } from './talk.ts';
import type { Target } from './target.ts';

const namespaces = ['shop', 'outside'];
const timeoutMs = 600_000;

async function tool(program: string, args: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await tryRun(program, args, { input, timeoutMs });
  if (code !== 0)
    throw new AppError(
      'input_invalid',
      `${program} ${args.slice(0, 6).join(' ')} …: ${stderr.trim() || stdout.trim()}`,
    );
  return stdout;
}

/** Checks that the cluster can be used and says what it is. Throws AppError `input_invalid` with what to do. */
export async function currentTarget(talk: Talk, registry: string | undefined): Promise<Target> {
  talk.step('The cluster that kubectl points at');
  if (registry === undefined || registry === '') {
    throw new AppError(
      'input_invalid',
      'CLUSTER=current needs REGISTRY=host/path that you may push to and the cluster may pull from',
    );
  }
  const context = (await tool('kubectl', ['config', 'current-context'])).trim();
  const { serverVersion } = JSON.parse(await tool('kubectl', ['version', '-o', 'json'])) as {
    readonly serverVersion: { readonly gitVersion: string };
  };
  talk.say(`context ${context}, Kubernetes ${serverVersion.gitVersion}, images through ${registry}`);
  return {
    prompt: (args) => `kubectl ${args}`,
    // A kubelet hands on a changed Secret within about a minute and a half by default.
    leafLifetime: '6m',
    kubectl: (args, input) => tool('kubectl', args, input),
    helm: (args) => tool('helm', args),
    async deliver({ reference, archive }) {
      const name = reference.slice(reference.indexOf('/') + 1);
      return pushArchive(archive, `${registry}/${name}`);
    },
    capture: undefined,
  };
}

/** Removes what the demo put there: the shop, the outsider and the Helm release. Custom resource definitions stay, as with any uninstall. */
export async function leaveCurrent(): Promise<void> {
  await tool('kubectl', ['delete', 'namespace', ...namespaces, '--ignore-not-found']);
  await tool('helm', ['uninstall', 'tabard', '-n', 'tabard-system', '--ignore-not-found', '--wait']);
  await tool('kubectl', ['delete', 'namespace', 'tabard-system', '--ignore-not-found']);
}

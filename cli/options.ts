// Options that every command takes, and which kubeconfig they mean: the same ones, in the same order, as kubectl.
import { join } from 'node:path';
import type { OptionSpec, OptionValues } from './command.ts';
import { textOption, UsageError } from './command.ts';

/** Options of every command. */
export const globalOptions: Readonly<Record<string, OptionSpec>> = {
  kubeconfig: { type: 'string', value: 'FILE', help: 'kubeconfig file; else $KUBECONFIG, else ~/.kube/config' },
  context: { type: 'string', value: 'NAME', help: 'context of the kubeconfig; else its current one' },
  help: { type: 'boolean', short: 'h', help: 'what the command does' },
};

/** Options of commands that look into namespaces. */
export const namespaceOptions: Readonly<Record<string, OptionSpec>> = {
  namespace: { type: 'string', short: 'n', value: 'NAMESPACE', help: "namespace; else the context's, else default" },
};

/** The option that covers all namespaces. */
export const allNamespacesOption: Readonly<Record<string, OptionSpec>> = {
  'all-namespaces': { type: 'boolean', short: 'A', help: 'all namespaces' },
};

/** The option for the form of the answer. */
export const outputOption: Readonly<Record<string, OptionSpec>> = {
  output: { type: 'string', short: 'o', value: 'FORM', help: 'table (default), wide or json' },
};

/** Forms of an answer. */
export type OutputForm = 'table' | 'wide' | 'json';

/** The form that was asked for. Throws a UsageError for any other. */
export function outputForm(options: OptionValues): OutputForm {
  const form = textOption(options, 'output') ?? 'table';
  if (form === 'table' || form === 'wide' || form === 'json') return form;
  throw new UsageError(`--output takes table, wide or json, not "${form}"`);
}

/** The kubeconfig files to read, which count as one; undefined = the service account of the pod that this runs in. */
export function kubeconfigFiles(
  options: OptionValues,
  environment: Readonly<Record<string, string | undefined>>,
  exists: (path: string) => boolean,
): readonly string[] | undefined {
  const stated = textOption(options, 'kubeconfig');
  if (stated !== undefined) return [stated];
  const listed = (environment['KUBECONFIG'] ?? '').split(':').filter((path) => path !== '');
  if (listed.length > 0) {
    // As kubectl: of several files, those that are not there are left out.
    const present = listed.filter(exists);
    return present.length > 0 ? present : listed.slice(0, 1);
  }
  const home = join(environment['HOME'] ?? '/', '.kube', 'config');
  if (exists(home) || environment['KUBERNETES_SERVICE_HOST'] === undefined) return [home];
  return undefined;
}

/** The namespace that is meant; undefined = all. Throws a UsageError when both are stated. */
export function namespaceOf(options: OptionValues, ofContext: string | undefined): string | undefined {
  const stated = textOption(options, 'namespace');
  if (options['all-namespaces'] !== true) return stated ?? ofContext ?? 'default';
  if (stated !== undefined) throw new UsageError('state either --namespace or --all-namespaces');
  return undefined;
}

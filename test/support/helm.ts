// The real helm for tests: its own folders, a bound on time, and rendered manifests as objects.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { toolPath } from '../../hack/cluster/api.ts';
import { type Outcome, tryRun } from '../../hack/cluster/run.ts';

/** The chart under test. */
export const chart: string = resolve(import.meta.dirname, '../../charts/tabard');

/** A Kubernetes object as the chart renders it; tests narrow what they look at. */
export interface Rendered {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [member: string]: unknown;
}

/** Helm with folders of its own; `close` removes them. */
export interface Helm {
  /** Runs helm to its end, whatever its exit code. */
  run(...args: readonly string[]): Promise<Outcome>;
  /** Runs helm; throws what it said when it fails. */
  ok(...args: readonly string[]): Promise<string>;
  /** The objects of `helm template` in namespace tabard-system, with values as `--set` takes them. */
  render(...values: readonly string[]): Promise<readonly Rendered[]>;
  close(): void;
}

/** Helm for the cluster of a kubeconfig, or for rendering only. */
export async function openHelm(kubeconfig = '/dev/null'): Promise<Helm> {
  const program = await toolPath('helm');
  const folder = mkdtempSync(join(tmpdir(), 'tabard-helm-'));
  const env = {
    KUBECONFIG: kubeconfig,
    HELM_CACHE_HOME: join(folder, 'cache'),
    HELM_CONFIG_HOME: join(folder, 'config'),
    HELM_DATA_HOME: join(folder, 'data'),
  };
  const run = (...args: readonly string[]) => tryRun(program, args, { env, timeoutMs: 120_000 });
  const ok = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await run(...args);
    if (code !== 0) throw new Error(`helm ${args.join(' ')} ended with ${code}: ${stderr}${stdout}`);
    return stdout;
  };
  return {
    run,
    ok,
    render: async (...values) => {
      const args = values.flatMap((value) => ['--set', value]);
      const text = await ok('template', 'tabard', chart, '-n', 'tabard-system', ...args);
      return parseAllDocuments(text)
        .map((document) => document.toJSON() as Rendered | null)
        .filter((object) => object !== null);
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
}

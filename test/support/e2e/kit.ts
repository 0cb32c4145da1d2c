// What the end-to-end suites share: the running cluster, objects in and out as JSON, patient waits that say what they waited for.
import { readFileSync } from 'node:fs';
import { attachCluster, type Cluster } from '../../../hack/cluster/api.ts';
import { until as patiently } from '../../../hack/demo/look.ts';
import { withFacts } from '../loglines.ts';
import { e2eStateFile } from './names.ts';

/** Any object of the Kubernetes API, as JSON. */
// biome-ignore lint: raw JSON of any kind
export type Raw = Record<string, any>; // oxlint-disable-line typescript/no-explicit-any -- raw API objects, narrowed by the assertion that reads them

/** What the suites work with. */
export interface Kit {
  readonly cluster: Cluster;
  kubectl(args: readonly string[], input?: string): Promise<string>;
  /** kubectl get … -o json. */
  get(...args: readonly string[]): Promise<Raw>;
  apply(...objects: readonly Raw[]): Promise<void>;
  /** Makes a namespace and returns its name; `afterAll` of the suite deletes it with `drop`. */
  namespace(name: string, labels?: Record<string, string>): Promise<string>;
  drop(namespace: string): Promise<void>;
  /** Waits for a rollout to be complete. */
  rolledOut(namespace: string, workload: string, seconds?: number): Promise<void>;
  /** Pods by label, those that are being deleted left out. */
  pods(namespace: string, selector: string): Promise<readonly Raw[]>;
  /** The sidecar's log as records. */
  sidecarLog(namespace: string, pod: string): Promise<readonly Raw[]>;
  /** One call from inside a pod's container (`shop call`). */
  call(
    from: { readonly namespace: string; readonly pod: string; readonly container?: string },
    kind: string,
    host: string,
  ): Promise<Call>;
  /** The sidecar's or operator's metrics page through the API server's pod proxy. */
  metrics(namespace: string, pod: string): Promise<string>;
}

export interface Call {
  readonly ok: boolean;
  readonly ms: number;
  readonly error?: string;
}

/** Polls until `probe` returns something other than undefined; the error of a timeout names what was awaited and the last state. */
export async function until<T>(what: string, seconds: number, probe: () => Promise<T | undefined>): Promise<T> {
  return patiently(what, seconds, new AbortController().signal, probe);
}

/** Connects to the cluster that the suite's global set-up started. */
export async function kit(): Promise<Kit> {
  const state = JSON.parse(readFileSync(e2eStateFile, 'utf8')) as { readonly name: string };
  const cluster = await attachCluster(state.name);
  const kubectl = (args: readonly string[], input?: string): Promise<string> =>
    cluster.kubectl(args, { input, timeoutMs: 300_000 });
  const get = async (...args: readonly string[]): Promise<Raw> =>
    JSON.parse(await kubectl(['get', ...args, '-o', 'json'])) as Raw;

  const apply = async (...objects: readonly Raw[]): Promise<void> => {
    const list = { apiVersion: 'v1', kind: 'List', items: objects };
    await kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], JSON.stringify(list));
  };

  return {
    cluster,
    kubectl,
    get,
    apply,
    async namespace(name, labels = {}) {
      await apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
      return name;
    },
    async drop(namespace) {
      await kubectl(['delete', 'namespace', namespace, '--wait=false', '--ignore-not-found']);
    },
    async rolledOut(namespace, workload, seconds = 120) {
      await kubectl(['-n', namespace, 'rollout', 'status', workload, `--timeout=${seconds}s`]);
    },
    async pods(namespace, selector) {
      const list = await get('pods', '-n', namespace, '-l', selector);
      return (list['items'] as Raw[]).filter((pod) => pod['metadata'].deletionTimestamp === undefined);
    },
    async sidecarLog(namespace, pod) {
      const text = await kubectl(['-n', namespace, 'logs', pod, '-c', 'tabard-proxy', '--tail=-1']);
      return text.split('\n').flatMap((line) => (line.startsWith('{') ? [withFacts(JSON.parse(line)) as Raw] : []));
    },
    async call({ namespace, pod, container }, kind, host) {
      const where = container === undefined ? [] : ['-c', container];
      const command = ['/usr/local/bin/node', '/app/shop.js', 'call', kind, host];
      const text = await kubectl(['-n', namespace, 'exec', pod, ...where, '--', ...command]).catch((error: unknown) =>
        String(error),
      );
      const [line] = /\{"kind".*\}/.exec(text) ?? [];
      if (line === undefined) throw new Error(`exec in ${namespace}/${pod} gave no answer: ${text.slice(0, 500)}`);
      return JSON.parse(line) as Call;
    },
    async metrics(namespace, pod) {
      return kubectl(['get', '--raw', `/api/v1/namespaces/${namespace}/pods/${pod}:16020/proxy/metrics`]);
    },
  };
}

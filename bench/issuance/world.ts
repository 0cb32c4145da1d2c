// The cluster of the benchmark: a real API server with etcd, and in it the namespaces, policies, Services, endpoints and injected
// pods of a mesh of a given size. Pods are written as the webhook leaves them and given the status that a kubelet would; the
// operator watches pods and nothing of nodes, so that no node and no kwok is needed.
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import { type ControlPlane, startControlPlane } from '../../hack/cluster/api.ts';
import type { Progress } from '../../hack/cluster/progress.ts';
import { systemClock } from '../../lib/clock.ts';
import { kubeMetrics } from '../../lib/kube/metrics.ts';
import type { KubeInput } from '../../lib/kube/object.ts';
import { resources } from '../../lib/kube/resources.ts';
import { type Connection, connect } from '../../lib/kube/rest.ts';
import { Metrics } from '../../lib/runtime/metrics.ts';
import { openHelm } from '../../test/support/helm.ts';

/** How large it is. */
export interface Size {
  readonly services: number;
  readonly podsPerService: number;
  readonly namespaces: number;
}

/** One service of it. */
export interface ServiceRef {
  readonly namespace: string;
  readonly name: string;
  readonly index: number;
}

const system = 'tabard-system';
const golden = resolve(import.meta.dirname, '../../test/golden/injection/of-a-deployment/expected.yaml');
/** Requests at once while it is filled. */
const writers = 32;

/** The running cluster. */
export class World {
  readonly size: Size;
  readonly plane: ControlPlane;
  /** The administrator's. */
  readonly connection: Connection;
  /** Kubeconfig with the token of the operator's own service account and the chart's rights. */
  readonly operatorKubeconfig: string;
  readonly services: readonly ServiceRef[];
  readonly #template: { readonly metadata: Record<string, unknown>; readonly spec: Record<string, unknown> };

  private constructor(size: Size, plane: ControlPlane, connection: Connection, operatorKubeconfig: string) {
    this.size = size;
    this.plane = plane;
    this.connection = connection;
    this.operatorKubeconfig = operatorKubeconfig;
    this.services = Array.from({ length: size.services }, (_, index) => ({
      namespace: `team-${index % size.namespaces}`,
      name: `svc-${index}`,
      index,
    }));
    this.#template = parse(readFileSync(golden, 'utf8')).pod;
  }

  /** Starts the API server, installs CRDs and rights; nothing else is in it yet. */
  static async start(size: Size, progress: Progress): Promise<World> {
    const plane = await progress.step('API server and etcd', () => startControlPlane());
    const helm = await openHelm();
    const chart = await helm.render('testing.minimumLifetime=10s');
    helm.close();
    const kinds = [
      'CustomResourceDefinition',
      'ServiceAccount',
      'ClusterRole',
      'ClusterRoleBinding',
      'Role',
      'RoleBinding',
    ];
    await plane.kubectl(['create', 'namespace', system]);
    const items = chart.filter(({ kind }) => kinds.includes(kind));
    const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
    await plane.kubectl(['apply', '--server-side', '-f', '-'], { input });
    await plane.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
    const token = await plane.kubectl(['create', 'token', 'tabard-operator', '-n', system, '--duration=4h']);
    const kubeconfig = join(plane.logs, 'operator.kubeconfig');
    writeFileSync(kubeconfig, kubeconfigFor(plane, token.trim()), { mode: 0o600 });
    const connection = connect({
      kubeconfig: plane.kubeconfig,
      userAgent: 'tabard-bench/0',
      clock: systemClock,
      metrics: kubeMetrics(new Metrics()),
    });
    return new World(size, plane, connection, kubeconfig);
  }

  /** Makes everything but pods. */
  async fill(progress: Progress): Promise<void> {
    const { client } = this.connection;
    const names = Array.from({ length: this.size.namespaces }, (_, index) => `team-${index}`);
    await progress.step(`${names.length} namespaces with a policy each`, () =>
      inParallel(names, async (namespace) => {
        await this.namespace(namespace);
        await client.create(resources.tlspolicies, { metadata: { name: 'all', namespace }, spec: {} });
      }),
    );
    await progress.step(`${this.services.length} Services with their endpoints, and ReplicaSets`, () =>
      inParallel(this.services, async (service) => {
        await client.create(resources.services, this.#service(service));
        await client.create(resources.endpointslices, this.#slice(service));
        await this.replicaSet(service);
      }),
    );
  }

  readonly #sets = new Map<number, string>();

  /** Makes a namespace in which pods can be. */
  async namespace(name: string): Promise<void> {
    const { client } = this.connection;
    await client.create(resources.namespaces, { metadata: { name } });
    // No controller manager runs here to make it, and pods are not admitted without.
    await client.create(serviceAccounts, { metadata: { name: 'default', namespace: name } });
  }

  /** Makes the ReplicaSet of a service's pods. */
  async replicaSet(service: ServiceRef): Promise<void> {
    const set = await this.connection.client.create(resources.replicasets, this.#replicaSet(service));
    this.#sets.set(service.index, set.metadata.uid);
  }

  /** Makes the pods of some services, running as far as anybody can see; resolves when all are there. */
  async pods(services: readonly ServiceRef[]): Promise<void> {
    const all = services.flatMap((service) =>
      Array.from({ length: this.size.podsPerService }, (_, pod) => ({ service, pod })),
    );
    await inParallel(all, ({ service, pod }) => this.pod(service, pod));
  }

  /** Makes one pod. */
  async pod(service: ServiceRef, index: number): Promise<void> {
    const { client } = this.connection;
    const { namespace, name } = service;
    const object = this.#pod(service, index);
    await client.create(resources.pods, object);
    const podIP = this.#address(service, index);
    const at = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    const conditions = ['PodScheduled', 'Initialized', 'ContainersReady', 'Ready'].map((type) => ({
      type,
      status: 'True',
      lastTransitionTime: at,
    }));
    const status = { phase: 'Running', podIP, podIPs: [{ ip: podIP }], startTime: at, conditions };
    await client.patch(resources.pods, { namespace, name: `${name}-${index}` }, { status }, { subresource: 'status' });
  }

  async stop(): Promise<void> {
    this.connection.close();
    await this.plane.stop();
  }

  #address({ index }: ServiceRef, pod: number): string {
    const host = index * this.size.podsPerService + pod + 1;
    return `10.${64 + (host >> 16)}.${(host >> 8) & 255}.${host & 255}`;
  }

  /** Headless: ten thousand cluster IPs do not fit into the range of a control plane of the tests. */
  #service({ namespace, name }: ServiceRef): KubeInput {
    return {
      metadata: { name, namespace },
      spec: { clusterIP: 'None', selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
    };
  }

  #slice(service: ServiceRef): KubeInput {
    const { namespace, name } = service;
    const endpoints = Array.from({ length: this.size.podsPerService }, (_, pod) => ({
      addresses: [this.#address(service, pod)],
      conditions: { ready: true, serving: true, terminating: false },
      targetRef: { kind: 'Pod', namespace, name: `${name}-${pod}` },
    }));
    return {
      metadata: { name: `${name}-x`, namespace, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      endpoints,
    };
  }

  #replicaSet({ namespace, name }: ServiceRef): KubeInput {
    const controller = { apiVersion: 'apps/v1', kind: 'Deployment', name, uid: `deployment-${name}`, controller: true };
    const labels = { app: name };
    const template = { metadata: { labels }, spec: { containers: [{ name: 'app', image: 'app' }] } };
    return {
      metadata: { name: `${name}-5d8f7c9b46`, namespace, ownerReferences: [controller] },
      spec: { replicas: 0, selector: { matchLabels: labels }, template },
    };
  }

  #pod(service: ServiceRef, index: number): KubeInput {
    const { namespace, name } = service;
    const text = JSON.stringify(this.#template.spec).replaceAll('tabard-web', `tabard-${name}`);
    const controller = {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      name: `${name}-5d8f7c9b46`,
      uid: this.#sets.get(service.index) ?? '',
      controller: true,
    };
    return {
      metadata: {
        name: `${name}-${index}`,
        namespace,
        labels: { app: name, 'pod-template-hash': '5d8f7c9b46', 'tabard.dev/injected': 'true' },
        annotations: { 'tabard.dev/inject': 'true', 'tabard.dev/service': name, 'tabard.dev/injected': '1' },
        ownerReferences: [controller],
      },
      spec: { ...JSON.parse(text), automountServiceAccountToken: false },
    };
  }
}

const serviceAccounts = {
  group: '',
  version: 'v1',
  plural: 'serviceaccounts',
  kind: 'ServiceAccount',
  namespaced: true,
};

/** Does `work` on each item, some at once; rejects with the first failure. */
export async function inParallel<T>(
  items: readonly T[],
  work: (item: T) => Promise<void>,
  width = writers,
): Promise<void> {
  const queue = items.values();
  const worker = async (): Promise<void> => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

function kubeconfigFor({ server, ca }: ControlPlane, token: string): string {
  const cluster = { server, 'certificate-authority': ca };
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'bench', cluster }],
    users: [{ name: 'operator', user: { token } }],
    contexts: [{ name: 'bench', context: { cluster: 'bench', user: 'operator' } }],
    'current-context': 'bench',
  });
}

// The webhook's own processes under a real API server: entries and rights from the chart, a service account's token, and a
// balancer in front of the replicas that does what a Service does: new connections go to replicas that are ready.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { createServer, connect as dial, type Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { type ControlPlane, startControlPlane } from '../../hack/cluster/api.ts';
import { leashed } from '../../hack/leash.ts';
import { systemClock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { kubeMetrics } from '../../lib/kube/metrics.ts';
import { resources } from '../../lib/kube/resources.ts';
import { connect } from '../../lib/kube/rest.ts';
import { Metrics } from '../../lib/runtime/metrics.ts';
import { webhookEntries } from '../../webhook/configuration.ts';
import { policyEntries } from '../../webhook/policyentries.ts';
import { openHelm } from './helm.ts';
import { sidecarConfig } from './webhook.ts';

const root = resolve(import.meta.dirname, '../..');
export const ownNamespace = sidecarConfig.namespace;

/** One webhook process. */
export interface Replica {
  readonly port: number;
  readonly adminPort: number;
  /** Its log so far. */
  readonly lines: readonly Readonly<Record<string, unknown>>[];
  ready(): Promise<boolean>;
  metrics(): Promise<string>;
  /** Sends SIGTERM (or another signal); the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** A control plane with the chart's webhook configuration, reached through a balancer. */
export interface WebhookCluster {
  readonly plane: ControlPlane;
  readonly client: KubeClient;
  /** Starts a replica; it is called as soon as it is ready. */
  startReplica(environment?: Readonly<Record<string, string>>): Promise<Replica>;
  /** Waits until the balancer knows a ready replica. */
  untilReady(): Promise<void>;
  stop(): Promise<void>;
}

/** Waits until the condition holds; fails with `what` after the limit. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  limitMs = 30_000,
): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await delay(50);
  }
}

/** Starts it all, without a replica. */
export async function startWebhookCluster(): Promise<WebhookCluster> {
  const plane = await startControlPlane({ controllerManager: true });
  const connection = connect({
    kubeconfig: plane.kubeconfig,
    userAgent: 'test',
    clock: systemClock,
    metrics: kubeMetrics(new Metrics()),
  });
  const replicas: Replica[] = [];
  const balancer = await startBalancer(replicas);
  const kubeconfig = await install(plane, balancer.port);
  return {
    plane,
    client: connection.client,
    startReplica: async (environment = {}) => {
      const replica = await startReplica(kubeconfig, environment);
      replicas.push(replica);
      return replica;
    },
    untilReady: () => eventually('a replica is ready', balancer.hasReady),
    stop: async () => {
      await Promise.all(replicas.map((each) => each.stop('SIGKILL')));
      balancer.close();
      connection.close();
      await plane.stop();
    },
  };
}

const configurationKinds: readonly string[] = ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'];

/** Namespace, resources, rights and configuration of the chart; a kubeconfig with the webhook's own rights. */
async function install(plane: ControlPlane, port: number): Promise<string> {
  const helm = await openHelm();
  const rendered = await helm.render().finally(() => helm.close());
  const kinds = ['ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding', ...configurationKinds];
  const wanted = rendered
    .filter((object) => kinds.includes(object.kind) && object.metadata.name.includes('webhook'))
    .map((object) => (configurationKinds.includes(object.kind) ? onPort(object, port) : object));
  await plane.kubectl(['create', 'namespace', ownNamespace]);
  await plane.kubectl(['apply', '--server-side', '-f', join(root, 'crds')]);
  await plane.kubectl(['apply', '--server-side', '--field-manager=helm', '-f', '-'], {
    input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: wanted }),
  });
  const token = (
    await plane.kubectl(['create', 'token', 'tabard-webhook', '-n', ownNamespace, '--duration=1h'])
  ).trim();
  const ca = readFileSync(plane.ca).toString('base64');
  const kubeconfig = join(plane.logs, '..', 'webhook.kubeconfig');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server: plane.server, 'certificate-authority-data': ca } }],
    users: [{ name: 'u', user: { token } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  writeFileSync(kubeconfig, JSON.stringify(config), { mode: 0o600 });
  return kubeconfig;
}

/** By URL: an API server without a cluster network around it cannot reach a Service. */
function onPort<T extends { readonly kind: string }>(configuration: T, port: number): T {
  const isInjecting = configuration.kind === 'MutatingWebhookConfiguration';
  const webhooks = (isInjecting ? webhookEntries(ownNamespace) : policyEntries(ownNamespace)).map((entry) => ({
    ...entry,
    clientConfig: { url: `https://localhost:${port}${entry.clientConfig.service.path}` },
  }));
  return { ...configuration, webhooks };
}

async function startReplica(kubeconfig: string, environment: Readonly<Record<string, string>>): Promise<Replica> {
  const child = spawn(
    ...leashed(process.execPath, ['--disable-warning=ExperimentalWarning', join(root, 'webhook/main.ts')]),
    {
      env: {
        KUBECONFIG: kubeconfig,
        TABARD_NAMESPACE: ownNamespace,
        TABARD_POD_NAME: 'tabard-webhook-test',
        TABARD_IMAGE: sidecarConfig.image,
        TABARD_WEBHOOK_PORT: '0',
        TABARD_ADMIN_PORT: '0',
        TABARD_DRAIN: '2s',
        TABARD_SERVING_NAMES: 'localhost',
        TABARD_SERVING_PERIOD: '1s',
        TABARD_SERVING_SETTLE: '1s',
        ...environment,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const lines: Record<string, unknown>[] = [];
  const listening = Promise.withResolvers<Record<string, unknown>>();
  createInterface({ input: child.stdout }).on('line', (text) => {
    const line = JSON.parse(text) as Record<string, unknown>;
    lines.push(line);
    if (line['msg'] === 'answering reviews') listening.resolve(line);
  });
  child.once('exit', (code) =>
    listening.reject(new Error(`the webhook ended with ${code}: ${JSON.stringify(lines.slice(-3))}`)),
  );
  const { port, adminPort } = await listening.promise;
  const admin = (path: string) => fetchText(Number(adminPort), path);
  return {
    port: Number(port),
    adminPort: Number(adminPort),
    lines,
    ready: () =>
      admin('/ready').then(
        ({ status }) => status === 200,
        () => false,
      ),
    metrics: async () => (await admin('/metrics')).text,
    stop: (signal = 'SIGTERM') => stopChild(child, signal),
  };
}

async function stopChild(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
  return child.exitCode;
}

function fetchText(port: number, path: string): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path, timeout: 2_000 }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    }).on('error', reject);
  });
}

/** Passes connections on to ready replicas in turn, probing them ten times a second. */
async function startBalancer(replicas: readonly Replica[]) {
  const ready = new Set<Replica>();
  const open = new Set<Socket>();
  let turn = 0;
  const stop = new AbortController();
  const server = createServer((client) => {
    const choices = [...ready];
    const target = choices[(turn += 1) % Math.max(1, choices.length)];
    if (target === undefined) {
      client.destroy();
      return;
    }
    const upstream = dial(target.port, '127.0.0.1');
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        open.delete(one);
        other.destroy();
      });
    }
    client.pipe(upstream);
    upstream.pipe(client);
  });
  server.listen(0, '::');
  await once(server, 'listening');
  const probe = async () => {
    while (!stop.signal.aborted) {
      for (const replica of replicas) {
        if (await replica.ready()) ready.add(replica);
        else ready.delete(replica);
      }
      await delay(100, undefined, { signal: stop.signal }).catch(() => undefined);
    }
  };
  void probe();
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    hasReady: () => ready.size > 0,
    close: () => {
      stop.abort();
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

/** Makes namespaces with a default service account, as the controller manager does in its own time. */
export async function makeNamespace(
  client: KubeClient,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<void> {
  await client.create(resources.namespaces, { metadata: { name, labels } });
  const accounts = { ...resources.secrets, plural: 'serviceaccounts', kind: 'ServiceAccount' };
  await eventually(`the service account of ${name}`, async () =>
    (await client.list(accounts, { namespace: name })).items.some((each) => each.metadata.name === 'default'),
  );
}

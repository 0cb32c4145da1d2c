// Puts the webhook together and runs it: namespaces in memory, its own certificate, the admission server, the admin server.
// The only place that constructs. It stops in order: first it is no longer ready, then it goes on answering until the
// API servers have noticed, then the rest ends.
import { names } from '../lib/api/contract.ts';
import type { Clock } from '../lib/clock.ts';
import { startAdmin } from '../lib/http/admin.ts';
import type { KubeClient } from '../lib/kube/client.ts';
import { EventRecorder } from '../lib/kube/events.ts';
import { type KubeMetrics, kubeMetrics } from '../lib/kube/metrics.ts';
import type { KubeObject } from '../lib/kube/object.ts';
import { Reflector } from '../lib/kube/reflector.ts';
import { metadataOf, type Resource, resources } from '../lib/kube/resources.ts';
import { connect } from '../lib/kube/rest.ts';
import { ObjectStore } from '../lib/kube/store.ts';
import type { Beside } from '../lib/policy/admission.ts';
import { Lifecycle, type Stage } from '../lib/runtime/lifecycle.ts';
import type { Logger } from '../lib/runtime/logger.ts';
import { Metrics } from '../lib/runtime/metrics.ts';
import { admit } from './admit.ts';
import type { WebhookConfig } from './config.ts';
import { neverInjectedNamespaces, webhookEntries, webhookPaths } from './configuration.ts';
import { admitPolicy } from './policies.ts';
import { policyEntries } from './policyentries.ts';
import { CaPublisher } from './publisher.ts';
import { Publishers } from './publishers.ts';
import { admissionMetrics, createNamespaceReporter, createPolicyReporter, createReporter } from './report.ts';
import { formatReview, parseReview } from './review.ts';
import { type AdmissionServer, startAdmissionServer } from './server.ts';
import { ServingCertificate, type ServingCredentials } from './serving.ts';

export interface AppDeps {
  readonly config: WebhookConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The process whose signals stop it. */
  readonly process: Pick<NodeJS.Process, 'on' | 'off' | 'exit'>;
}

/** What most parts are given. */
interface Parts extends AppDeps {
  readonly client: KubeClient;
  readonly metrics: Metrics;
  readonly kube: KubeMetrics;
  readonly lifecycle: Lifecycle;
}

/** Runs the webhook until it is told to stop; the exit code. */
export async function runWebhook(deps: AppDeps): Promise<0 | 1> {
  const { config, clock, logger } = deps;
  const metrics = new Metrics();
  metrics.collectProcess();
  const kube = kubeMetrics(metrics);
  const lifecycle = new Lifecycle({ logger, clock, stopTimeoutMs: config.drainMs + 10_000 });
  const forget = lifecycle.onSignals(deps.process);
  const connection = connect({
    ...(config.kubeconfig === undefined ? {} : { kubeconfig: config.kubeconfig }),
    userAgent: names.webhook,
    clock,
    metrics: kube,
  });
  const parts: Parts = { ...deps, client: connection.client, metrics, kube, lifecycle };
  // Stages stop in this order: who answers goes first, what it rests on after it, probes and metrics last.
  const answering = lifecycle.stage('answering');
  const resting = lifecycle.stage('resting');
  const watching = lifecycle.stage('watching');
  start(parts, { answering, resting, watching });
  const code = await lifecycle.finished();
  forget();
  connection.close();
  return code;
}

function start(parts: Parts, stages: Readonly<Record<'answering' | 'resting' | 'watching', Stage>>): void {
  const { config, clock, logger, client, lifecycle, metrics, kube } = parts;
  const namespaces = reflect(parts, stages.resting, metadataOf(resources.namespaces));
  const beside = policySurroundings(parts, stages.resting);
  const first = Promise.withResolvers<ServingCredentials>();
  let server: AdmissionServer | undefined;
  const serving = servingCertificate(parts, stages.resting, (credentials) => {
    first.resolve(credentials);
    server?.setCredentials(credentials);
  });
  const events = new EventRecorder({
    client,
    controller: 'tabard.dev/webhook',
    instance: config.podName,
    clock,
    logger,
    metrics: kube,
  });
  stages.resting.run('events', (signal) => events.run(signal));
  namespaces.subscribe(createNamespaceReporter(neverInjectedNamespaces(config.sidecar.namespace), { logger, events }));
  const notReady = () => [
    ...(lifecycle.stopping.aborted ? ['stopping'] : []),
    ...(server === undefined ? ['not_listening'] : []),
    ...(namespaces.hasSynced ? [] : ['namespaces_not_synced']),
    ...serving.obstacles(),
  ];
  const admin = startAdmin({ notReady, metrics }, config.adminPort);
  stages.watching.run('admin', async (signal) => {
    const running = await admin;
    await aborted(signal);
    await running.close();
  });
  stages.answering.run('admission', async (signal) => {
    const credentials = await either(first.promise, signal);
    if (credentials === undefined) return;
    const answer = answering(parts, { events, namespaces, beside });
    server = await startAdmissionServer({
      ...answer,
      port: config.port,
      credentials,
      logger,
      paths: Object.values(webhookPaths),
    });
    logger.info({ port: server.port, adminPort: (await admin).port }, 'answering reviews');
    await aborted(signal);
    server.drain();
    // The API server goes on using open connections, and endpoints are not updated at once.
    await clock.sleep(config.drainMs);
    await server.close();
  });
}

/** What answers are found by, and told to. */
interface Surroundings {
  readonly events: EventRecorder;
  readonly namespaces: ObjectStore<KubeObject>;
  readonly beside: () => Beside;
}

/** Baselines and roles, for warnings: nobody waits for them. */
function policySurroundings(parts: Parts, stage: Stage): () => Beside {
  const baselines = reflect(parts, stage, resources.tlsbaselines);
  const roles = reflect(parts, stage, resources.tlsroles);
  return () => ({
    baselines: baselines.hasSynced ? baselines.list() : undefined,
    roles: roles.hasSynced ? roles.list() : undefined,
    trustDomain: parts.config.sidecar.trustDomain,
  });
}

/** How reviews are answered and reported. */
function answering({ config, logger, metrics }: Parts, { events, namespaces, beside }: Surroundings) {
  const families = admissionMetrics(metrics);
  const report = createReporter({ logger, metrics: families, events });
  const reportPolicy = createPolicyReporter({ logger, metrics: families });
  const context = {
    config: config.sidecar,
    namespaceLabels: (name: string) => namespaces.get(name)?.metadata.labels ?? {},
  };
  return {
    onFailure: (status: number) => families.failures.inc({ status }),
    answer: (path: string, body: string): string => {
      const started = performance.now();
      const review = parseReview(body);
      if (path === webhookPaths.policies) {
        const said = admitPolicy(review, beside());
        reportPolicy(review, said, performance.now() - started);
        return JSON.stringify(formatReview(review.uid, said.answer));
      }
      const admission = admit(path, review, context);
      const text = JSON.stringify(formatReview(review.uid, admission.answer));
      report(review, admission, performance.now() - started);
      return text;
    },
  };
}

function servingCertificate(parts: Parts, stage: Stage, onCredentials: (credentials: ServingCredentials) => void) {
  const { config, clock, logger, client, metrics } = parts;
  const { namespace, overlapMs } = config.serving;
  const publisher = new CaPublisher({
    client,
    clock,
    logger,
    overlapMs,
    entries: webhookEntries(namespace).map((entry) => entry.name),
  });
  const checking = new CaPublisher({
    client,
    clock,
    logger,
    overlapMs,
    entries: policyEntries(namespace).map((entry) => entry.name),
    resource: resources.validatingwebhookconfigurations,
    without: 'policies are not checked when they are applied',
  });
  const serving = new ServingCertificate({
    client,
    clock,
    logger,
    settings: config.serving,
    publisher: new Publishers(publisher, checking, logger),
    periodMs: config.servingPeriodMs,
    settleMs: config.servingSettleMs,
    onCredentials,
    steps: metrics.counter({
      name: 'tabard_webhook_certificate_steps_total',
      help: "Steps in the life of the webhook's own CA and certificate, taken by this replica.",
      labels: ['step'],
    }),
    expiry: metrics.gauge({
      name: 'tabard_webhook_certificate_expiry_timestamp_seconds',
      help: "End of the webhook's certificate in use and of its CA.",
      labels: ['certificate'],
    }),
  });
  const wake = () => serving.wake();
  const only = (name: string) => ({ fieldSelector: `metadata.name=${name}` });
  reflect(parts, stage, resources.secrets, { namespace, ...only(names.webhookSecret) }).subscribe(wake);
  for (const kind of [resources.mutatingwebhookconfigurations, resources.validatingwebhookconfigurations])
    reflect(parts, stage, metadataOf(kind), only(names.webhookConfiguration)).subscribe(wake);
  stage.run('serving certificate', (signal) => serving.run(signal));
  return serving;
}

function reflect<T extends KubeObject>(
  { client, clock, logger, kube }: Parts,
  stage: Stage,
  resource: Resource<T>,
  selection: { readonly namespace?: string; readonly fieldSelector?: string } = {},
): ObjectStore<T> {
  const onListenerError = (error: unknown) => logger.error({ err: error }, 'a listener failed');
  const store = new ObjectStore<T>({ onListenerError });
  const reflector = new Reflector({ client, resource, selection, store, clock, logger, metrics: kube });
  stage.run(`watch of ${resource.plural}`, (signal) => reflector.run(signal));
  return store;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/** The value, or undefined when the signal is aborted first. */
async function either<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return Promise.race([promise, aborted(signal).then(() => undefined)]);
}

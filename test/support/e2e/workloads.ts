// Builders of the workloads that the end-to-end suites run: the demo's shop program and the demo's databases.
import { readFileSync } from 'node:fs';
import type { Raw } from './kit.ts';

export const shopImage = 'tabard.dev/demo/shop:dev';

/** Asks for injection, as a user would on the object. */
export const inject = { 'tabard.dev/inject': 'true' } as const;

export interface WorkloadOptions {
  readonly namespace: string;
  readonly name: string;
  readonly role?: 'api' | 'web' | 'load';
  readonly replicas?: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  /** Merged into the pod spec. */
  readonly pod?: Raw;
  /** Merged into the container. */
  readonly container?: Raw;
}

/** The pod template of one shop program. */
export function template({ name, role = 'api', env = {}, pod = {}, container = {} }: WorkloadOptions): Raw {
  return {
    metadata: { labels: { app: name } },
    spec: {
      terminationGracePeriodSeconds: 10,
      containers: [
        {
          name: 'app',
          image: shopImage,
          imagePullPolicy: 'IfNotPresent',
          args: [role],
          env: Object.entries(env).map(([key, value]) => ({ name: key, value })),
          ...container,
        },
      ],
      ...pod,
    },
  };
}

/** A Deployment of a shop program. */
export function deployment(options: WorkloadOptions): Raw {
  const { namespace, name, replicas = 1, annotations = {} } = options;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace, annotations },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      strategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
      template: template(options),
    },
  };
}

/** The ports of the api program, ready to be spread into a container. */
export const apiContainer: Raw = {
  ports: [
    { name: 'http', containerPort: 8080 },
    { name: 'websocket', containerPort: 8081 },
    { name: 'grpc', containerPort: 9090 },
  ],
  readinessProbe: { httpGet: { path: '/health', port: 'http' }, periodSeconds: 1 },
};

/** A Service over the ports of the api program. */
export function apiService(namespace: string, name: string, spec: Raw = {}): Raw {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace },
    spec: {
      selector: { app: name },
      ipFamilyPolicy: 'PreferDualStack',
      ports: [
        { name: 'http', port: 8080, targetPort: 8080, appProtocol: 'http' },
        { name: 'websocket', port: 8081, targetPort: 8081 },
        { name: 'grpc', port: 9090, targetPort: 9090, appProtocol: 'grpc' },
      ],
      ...spec,
    },
  };
}

/** A TLSPolicy with the spec given. */
export function policy(namespace: string, name: string, spec: Raw): Raw {
  // TABARD_E2E_TRANSPORT runs the suites over another transport than the default.
  const { TABARD_E2E_TRANSPORT: transport } = process.env;
  const connections = transport === undefined ? {} : { connections: { transport, ...spec['connections'] } };
  const whole = { ...spec, ...connections };
  return { apiVersion: 'tabard.dev/v1alpha1', kind: 'TLSPolicy', metadata: { name, namespace }, spec: whole };
}

/** The demo's PostgreSQL, MariaDB and Redis with their Services and configuration, as YAML for another namespace. */
export function databases(namespace: string): string {
  const text = readFileSync(new URL('../../../hack/demo/manifests/shop.yaml', import.meta.url), 'utf8');
  const wanted = /metadata: \{name: (postgres|mariadb|redis|databases),/;
  return text
    .split(/^---$/m)
    .filter((each) => wanted.test(each))
    .map((each) => each.replaceAll('namespace: shop', `namespace: ${namespace}`))
    .join('---\n');
}

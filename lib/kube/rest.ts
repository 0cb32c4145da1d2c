// Connects to the API server with the credentials of a kubeconfig file or of the pod's service account. The only file
// that runs code of client-node: KubeConfig knows every way to prove who we are (token files, exec plugins, OIDC,
// client certificates, proxies). The narrow import keeps the generated models out of what a bundle must load.
import type { RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import type { Clock } from '../clock.ts';
import { AppError, messageOf } from '../errors.ts';
import type { KubeClient } from './client.ts';
import { type Access, HttpTransport } from './http.ts';
import type { KubeMetrics } from './metrics.ts';
import { RestClient } from './restclient.ts';

export interface ConnectOptions {
  /** Path of a kubeconfig file, or of several that count as one; absent = the service account of the pod that this runs in. */
  readonly kubeconfig?: string | readonly string[];
  /** A context of the kubeconfig in place of its current one. */
  readonly context?: string;
  /** Name and version of the process, for the API server's audit log: `tabard-operator/0.1.0`. */
  readonly userAgent: string;
  readonly clock: Clock;
  readonly metrics: KubeMetrics;
  readonly timeoutMs?: number;
}

/** A client and the end of its connections. */
export interface Connection {
  readonly client: KubeClient;
  /** The namespace that the context names, if it does. */
  readonly namespace: string | undefined;
  /** Closes kept connections. Call it after everything that uses the client has stopped. */
  close(): void;
}

/** Reads the credentials. Throws AppError `config_invalid` when there are none; does not connect yet. */
export function connect(options: ConnectOptions): Connection {
  const config = load(options);
  const transport = new HttpTransport({
    access: () => accessOf(config),
    clock: options.clock,
    userAgent: options.userAgent,
  });
  const { clock, metrics, timeoutMs } = options;
  const client = new RestClient({ transport, clock, metrics, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
  const namespace = config.getContextObject(config.getCurrentContext())?.namespace;
  return { client, namespace: namespace === '' ? undefined : namespace, close: () => transport.close() };
}

function load({ kubeconfig, context }: ConnectOptions): KubeConfig {
  const [path, ...more] = typeof kubeconfig === 'string' ? [kubeconfig] : (kubeconfig ?? []);
  const config = new KubeConfig();
  try {
    if (path === undefined) config.loadFromCluster();
    else config.loadFromFile(path);
    for (const each of more) {
      const other = new KubeConfig();
      other.loadFromFile(each);
      config.mergeConfig(other, true);
    }
  } catch (error) {
    const where =
      path === undefined ? 'the service account of this pod' : `the kubeconfig file ${[path, ...more].join(', ')}`;
    throw new AppError('config_invalid', `cannot use ${where}: ${messageOf(error)}`, { cause: error });
  }
  if (context !== undefined) {
    if (config.getContextObject(context) === null) {
      const known = config.getContexts().map(({ name }) => name);
      throw new AppError('config_invalid', `the kubeconfig has no context "${context}"; it has ${known.join(', ')}`);
    }
    config.setCurrentContext(context);
  }
  const server = config.getCurrentCluster()?.server;
  if (server === undefined || !URL.canParse(server)) {
    throw new AppError('config_invalid', `the kubeconfig names no usable server (found "${server ?? ''}")`);
  }
  return config;
}

/** Called again every few seconds, so that rotated tokens and certificate files are used. */
async function accessOf(config: KubeConfig): Promise<Access> {
  const cluster = config.getCurrentCluster();
  const options: RequestOptions = { headers: {} };
  await config.applyToHTTPSOptions(options);
  const { ca, cert, key, rejectUnauthorized, servername, auth, agent } = options;
  return {
    server: new URL(cluster?.server ?? ''),
    tls: {
      ...textMember('ca', ca),
      ...textMember('cert', cert),
      ...textMember('key', key),
      ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
      ...(servername === undefined ? {} : { servername }),
    },
    headers: options.headers as Readonly<Record<string, string>>,
    ...(typeof auth === 'string' ? { basic: auth } : {}),
    // client-node makes an agent per call; only that of a proxy does what ours cannot.
    ...(cluster?.proxyUrl !== undefined && typeof agent === 'object' ? { agent } : {}),
  };
}

function textMember<K extends string>(name: K, value: unknown): { readonly [P in K]?: string } {
  const text = Buffer.isBuffer(value) ? value.toString('utf8') : value;
  return typeof text === 'string' ? ({ [name]: text } as { readonly [P in K]: string }) : {};
}

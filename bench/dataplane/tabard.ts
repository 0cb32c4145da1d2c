// Tabard's own pairs: the bundle, command line and environment that the webhook gives the sidecar's container.
import { env, ports } from '../../lib/api/contract.ts';
import type { EffectivePolicy } from '../../lib/api/control.ts';
import { defaultPolicy } from '../../lib/policy/defaults.ts';
import { readAnnotations } from '../../webhook/annotations.ts';
import { proxyContainer } from '../../webhook/container.ts';
import { applicationPort, type Contestant, group, type Place, type Proxy, requestsAlone, suite } from './contestant.ts';

const defaults = {
  cpu: { request: '100m' },
  memory: { request: '128Mi' },
  logLevel: 'info',
} as const;

/** The policy that governs both pods of a pair. */
export function policyOf(changes: Partial<EffectivePolicy> = {}): EffectivePolicy {
  return { ...defaultPolicy, tls: { minVersion: '1.3', ciphers: [suite], groups: [group] }, ...changes };
}

/** What the webhook would start in this pod. */
function sidecar(place: Place): Proxy {
  const verdict = readAnnotations({}, defaults);
  if (!verdict.ok) throw new Error('no annotations are faulty');
  const container = proxyContainer({
    config: {
      namespace: 'tabard-system',
      image: 'tabard',
      imagePullPolicy: 'IfNotPresent',
      imagePullSecrets: [],
      trustDomain: 'cluster.local',
      relay: 'Auto',
      controlAddress: place.control,
      defaults,
    },
    service: place.service,
    settings: verdict.settings,
    probes: [],
    podResources: undefined,
    graceSeconds: 30,
  });
  const [, ...args] = container['command'] as readonly string[];
  const given = container.env.flatMap(({ name, value }) =>
    typeof name === 'string' && typeof value === 'string' ? [[name, value]] : [],
  );
  return {
    command: process.execPath,
    args: [...place.nodeOptions, ...args.slice(0, -1), place.sidecar],
    env: {
      ...Object.fromEntries(given),
      [env.podName]: place.podName,
      [env.podNamespace]: 'shop',
      [env.podUid]: `uid-shop-${place.podName}`,
      [env.podIps]: place.address,
      TABARD_TLS_FOLDER: place.tls,
      TABARD_STATE_FOLDER: place.scratch,
    },
    ready: { http: `http://${place.address}:${ports.admin}/ready` },
  };
}

const pair = (
  name: string,
  layer: Contestant['layer'],
  policy: Partial<EffectivePolicy>,
  lacks: Contestant['lacks'] = [],
): Contestant => ({
  name,
  layer,
  policy,
  proxy: sidecar,
  lacks,
});

const { connections } = defaultPolicy;

/** A pair that carries bytes in one of the two ways, by sidecars of so many workers each. */
export function workersPair(
  name: string,
  transport: NonNullable<EffectivePolicy['connections']['transport']>,
  workers: Readonly<Record<Place['role'], number>>,
): Contestant {
  const proxy = (place: Place): Proxy => {
    const made = sidecar(place);
    return { ...made, env: { ...made.env, [env.workers]: String(workers[place.role]) } };
  };
  return { ...pair(name, 'L4', { connections: { ...connections, transport } }), proxy };
}

/** HSTS and two rules by path, as for Envoy: the server's sidecar reads every request and decides about it. */
const http: Partial<EffectivePolicy> = {
  http: { hsts: 'max-age=31536000; includeSubDomains' },
  authorization: {
    form: 1,
    rules: ['/bulk/*', '/*'].map((path) => ({ name: path, effect: 'Allow', to: [{ paths: [path] }] })),
  },
  ports: [{ port: applicationPort, mode: 'Mutual', protocol: 'HTTP' }],
};

/** Tabard's pairs: the default transport, the other, and the default with HTTP that is read, also with a line in the log for each request. */
export const tabardPairs: readonly Contestant[] = [
  pair('Tabard tunnel', 'L4', { connections: { ...connections, transport: 'Tunnel' } }),
  pair('Tabard direct', 'L4', { connections: { ...connections, transport: 'Direct' } }),
  pair('Tabard L7', 'L7', http),
  pair('Tabard L7 log', 'L7', { ...http, accessLog: 'All' }, requestsAlone),
];

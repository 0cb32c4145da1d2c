// Sidecars for tests: the real core in this process, on loopback, with certificates in memory and the original destination
// told by the test instead of the kernel.
import { mkdtempSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SelfSnapshot } from '../../lib/api/control.ts';
import { type Clock, systemClock } from '../../lib/clock.ts';
import type { Authority } from '../../lib/pki/ca.ts';
import { MemoryCertificateSource } from '../../lib/runtime/credentials.ts';
import { Lifecycle } from '../../lib/runtime/lifecycle.ts';
import { createLogger } from '../../lib/runtime/logger.ts';
import { Metrics } from '../../lib/runtime/metrics.ts';
import type { SidecarConfig } from '../../sidecar/config.ts';
import { Core } from '../../sidecar/core.ts';
import { unmapped } from '../../sidecar/destination/key.ts';
import type { OriginalDestination, OriginalDestinationReader } from '../../sidecar/destination/original.ts';
import type { OpenHalf } from '../../sidecar/relay/half.ts';
import type { FakeControl } from './control.ts';
import { type LogLine, withFacts } from './loglines.ts';
import { type LeafOptions, type TestLeaf, testLeaf } from './pki.ts';
import { openTestHalf } from './relays.ts';

/** Parts of a pod's snapshot that a test may change. */
export type SelfOptions = Partial<Omit<SelfSnapshot['policy'], 'tls' | 'connections'>> & {
  readonly tls?: Partial<SelfSnapshot['policy']['tls']>;
  readonly connections?: Partial<SelfSnapshot['policy']['connections']>;
  readonly trustBundle?: string;
  readonly federated?: SelfSnapshot['federated'];
  readonly clusterRanges?: readonly string[];
};

export type { LogLine };

/** A sidecar in this process. */
export interface TestSidecar {
  readonly core: Core;
  readonly metrics: Metrics;
  readonly source: MemoryCertificateSource;
  readonly identity: string;
  readonly leaf: TestLeaf;
  readonly lines: readonly LogLine[];
  readonly stateFolder: string;
  /** Gives the sidecar another certificate. */
  renew(options?: LeafOptions): Promise<TestLeaf>;
  /** Connects as an application of the pod would to `address:port`. */
  dial(port: number, address?: string): Socket;
  /** Connects to the sidecar's inbound port as a stranger would to the pod's `port`; the pod's own is the default. */
  knock(port?: number): Socket;
  /** Ends it as SIGTERM does; resolves with the exit code. */
  stop(): Promise<0 | 1>;
}

/** How a sidecar is made. */
export interface TestSidecarOptions {
  readonly authority: Authority;
  readonly control: Pick<FakeControl, 'port' | 'identity'>;
  readonly service: string;
  readonly leaf?: LeafOptions;
  readonly podIps?: readonly string[];
  readonly stateFolder?: string;
  readonly drainMs?: number;
  /** How long all of its stop may take. */
  readonly stopTimeoutMs?: number;
  readonly clock?: Clock;
  /** Port of the pod's application: where inbound connections were going, unless `knock` says otherwise. */
  readonly applicationPort?: number;
  /** Whether a tunnel's streams may name this port; endpoints of tests are the inbound listener itself: nothing is captured. */
  readonly isSamePort?: (named: number) => boolean;
  /** Which relay it has; the run's own by default. */
  readonly openHalf?: OpenHalf;
}

/** The policy of tests: Mutual, with every connection logged. */
export function testSelf(service: string, bundle: string, options: SelfOptions = {}): Omit<SelfSnapshot, 'version'> {
  const { tls, connections, trustBundle = bundle, clusterRanges = ['127.0.0.0/8', '::1/128'], ...rest } = options;
  const { federated, ...policy } = rest;
  return {
    trustDomain: 'cluster.local',
    namespace: 'shop',
    service,
    identity: `spiffe://cluster.local/ns/shop/svc/${service}`,
    policy: {
      source: 'defaults',
      mode: 'Mutual',
      ports: [],
      accessLog: 'All',
      ...policy,
      tls: { minVersion: '1.3', ciphers: [], groups: ['X25519MLKEM768', 'X25519', 'P-256'], ...tls },
      connections: {
        maxAgeMs: 3_600_000,
        idleTimeoutMs: 600_000,
        handshakeTimeoutMs: 2_000,
        maxConcurrent: 1_000,
        ...connections,
      },
    },
    trustBundle,
    ...(federated === undefined ? {} : { federated }),
    clusterRanges,
  };
}

/**
 * Starts a sidecar. What the kernel would say of a connection's original destination is told by its source address: `dial` and
 * `knock` take a loopback address of their own for each connection.
 */
export async function startSidecar(options: TestSidecarOptions): Promise<TestSidecar> {
  const { authority, service, clock = systemClock, applicationPort = 0 } = options;
  const lines: LogLine[] = [];
  const logger = createLogger({
    name: 'sidecar',
    level: 'debug',
    destination: { write: (line: string) => void lines.push(withFacts(JSON.parse(line) as LogLine)) },
  });
  const source = new MemoryCertificateSource();
  const first = await testLeaf(authority, { service, ...options.leaf });
  const offer = ({ certificate, key, bundle }: TestLeaf): void => {
    const verdict = source.offer({ certificate, key, trustBundle: bundle }, clock.now());
    if (!verdict.good) throw new Error(`the test's certificate is refused: ${verdict.detail}`);
  };
  const wanted = new Map<string, OriginalDestination>();
  const application: OriginalDestination = { family: 4, address: '127.0.0.1', port: applicationPort };
  const metrics = new Metrics();
  const stateFolder = options.stateFolder ?? mkdtempSync(join(tmpdir(), 'tabard-state-'));
  const config = testConfig({ ...options, stateFolder });
  const original: OriginalDestinationReader = ({ remoteAddress = '' }) =>
    wanted.get(unmapped(remoteAddress)) ?? application;
  const isSamePort = options.isSamePort ?? ((named: number): boolean => named === core.inbound.port);
  const core: Core = new Core({
    clock,
    logger,
    metrics,
    source,
    original,
    config,
    openHalf: options.openHalf ?? openTestHalf,
    isSamePort,
  });
  const lifecycle = new Lifecycle({ logger, stopTimeoutMs: options.stopTimeoutMs ?? 10_000 });
  offer(first);
  await core.start();
  core.run(lifecycle.stage('traffic'), lifecycle.stage('background'));
  const open = (port: number, destination: OriginalDestination): Socket => {
    const localAddress = nextSource();
    wanted.set(localAddress, destination);
    const socket = connect({ host: '127.0.0.1', port, localAddress, allowHalfOpen: true });
    socket.on('error', () => undefined);
    return socket;
  };
  return {
    core,
    metrics,
    source,
    identity: first.identity,
    leaf: first,
    lines,
    stateFolder,
    renew: async (leafOptions = {}) => {
      const leaf = await testLeaf(authority, { service, ...options.leaf, ...leafOptions });
      offer(leaf);
      return leaf;
    },
    dial: (port, address = '127.0.0.1') => open(core.outbound.port, { family: 4, address, port }),
    knock: (port = applicationPort) => open(core.inbound.port, { family: 4, address: '127.0.0.1', port }),
    stop: () => {
      lifecycle.stop('test');
      return lifecycle.finished();
    },
  };
}

let sources = 0;

/** A loopback address that no other connection of this process uses. */
function nextSource(): string {
  sources += 1;
  return `127.${100 + ((sources >> 14) & 63)}.${(sources >> 7) & 127}.${1 + (sources & 127)}`;
}

function testConfig(options: TestSidecarOptions & { readonly stateFolder: string }): SidecarConfig {
  const { control, service, stateFolder, podIps = [], drainMs = 2_000 } = options;
  return {
    podName: `${service}-0`,
    podUid: `uid-${service}`,
    podIps,
    service,
    control: { host: '127.0.0.1', port: control.port, identity: control.identity },
    logLevel: 'debug',
    relay: 'Auto',
    probes: '[]',
    tlsFolder: '',
    stateFolder,
    ports: { inbound: 0, outbound: 0, admin: 0 },
    drainMs,
  };
}

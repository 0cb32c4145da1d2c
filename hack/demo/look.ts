// Looking at a cluster as the demo's evidence needs it: pods, the sidecars' log records, patient waits.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Target } from './target.ts';

/** One log record of a sidecar; the members that the evidence looks at. */
export interface SidecarRecord {
  readonly msg: string;
  readonly direction?: 'inbound' | 'outbound';
  readonly reason?: string;
  readonly serial?: string;
  readonly 'source.address'?: string;
  /** Identity that the other side proved, of a connection that this one opened. */
  readonly 'destination.identity'?: string;
  readonly 'tls.protocol.version'?: string;
  readonly 'tls.cipher'?: string;
  readonly 'tls.curve'?: string;
  readonly 'tls.server.x509.serial_number'?: string;
}

export interface PodView {
  readonly name: string;
  readonly ip: string;
  readonly service: string;
  readonly injected: boolean;
  readonly containers: number;
  readonly ready: number;
  readonly finished: boolean;
}

interface RawPod {
  readonly metadata: {
    readonly name: string;
    readonly deletionTimestamp?: string;
    readonly annotations?: Record<string, string>;
    readonly labels?: Record<string, string>;
  };
  readonly spec: {
    readonly containers: readonly unknown[];
    readonly initContainers?: readonly { readonly restartPolicy?: string }[];
  };
  readonly status: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly containerStatuses?: readonly { readonly ready: boolean }[];
    readonly initContainerStatuses?: readonly {
      readonly ready: boolean;
      readonly state?: { readonly running?: unknown };
    }[];
  };
}

/** The pods of a namespace that are not being deleted. */
export async function podsOf(target: Target, namespace: string, selector = ''): Promise<readonly PodView[]> {
  const labels = selector === '' ? [] : ['-l', selector];
  const list = JSON.parse(await target.kubectl(['-n', namespace, 'get', 'pods', ...labels, '-o', 'json'])) as {
    items: RawPod[];
  };
  return list.items
    .filter((pod) => pod.metadata.deletionTimestamp === undefined)
    .map(({ metadata, spec, status }) => ({
      name: metadata.name,
      ip: status.podIP ?? '',
      service: metadata.annotations?.['tabard.dev/service'] ?? '-',
      injected: metadata.labels?.['tabard.dev/injected'] === 'true',
      containers:
        spec.containers.length + (spec.initContainers ?? []).filter((each) => each.restartPolicy === 'Always').length,
      ready:
        (status.containerStatuses ?? []).filter((each) => each.ready).length +
        (status.initContainerStatuses ?? []).filter((each) => each.ready && each.state?.running !== undefined).length,
      finished: status.phase === 'Succeeded',
    }));
}

/** The log of a pod's sidecar, newest last. */
export async function sidecarRecords(
  target: Target,
  namespace: string,
  pod: string,
): Promise<readonly SidecarRecord[]> {
  const text = await target.kubectl(['-n', namespace, 'logs', pod, '-c', 'tabard-proxy', '--tail=3000']);
  return text.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as SidecarRecord] : []));
}

/** Polls twice a second; a timeout says what was awaited. */
export async function until<T>(
  what: string,
  seconds: number,
  signal: AbortSignal,
  probe: () => Promise<T | undefined>,
): Promise<T> {
  const end = performance.now() + seconds * 1_000;
  let last = '';
  while (performance.now() < end) {
    try {
      const value = await probe();
      if (value !== undefined) return value;
    } catch (error) {
      last = ` (last: ${error instanceof Error ? error.message : String(error)})`;
    }
    await sleep(500, undefined, { signal });
  }
  throw new Error(`waited ${seconds} s in vain for ${what}${last}`);
}

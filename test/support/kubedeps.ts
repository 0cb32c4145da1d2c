// What every part of lib/kube is given, for unit tests: a still clock, a silent or recording log, metrics, a client.
import { Writable } from 'node:stream';
import type { KubeMetrics } from '../../lib/kube/metrics.ts';
import { kubeMetrics } from '../../lib/kube/metrics.ts';
import { createLogger, type Logger } from '../../lib/runtime/logger.ts';
import { Metrics } from '../../lib/runtime/metrics.ts';
import { TestClock } from './clock.ts';
import { MemoryKube } from './kube.ts';

/** One log line. */
export type LogLine = { readonly level: string; readonly msg: string } & Readonly<Record<string, unknown>>;

export interface KubeDeps {
  readonly clock: TestClock;
  readonly logger: Logger;
  readonly lines: readonly LogLine[];
  readonly registry: Metrics;
  readonly metrics: KubeMetrics;
  readonly client: MemoryKube;
}

/** A fresh set. */
export function kubeDeps(): KubeDeps {
  const lines: LogLine[] = [];
  const destination = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      lines.push(JSON.parse(chunk.toString()) as LogLine);
      done();
    },
  });
  const registry = new Metrics();
  return {
    clock: new TestClock(),
    logger: createLogger({ name: 'test', level: 'debug', destination }),
    lines,
    registry,
    metrics: kubeMetrics(registry),
    client: new MemoryKube(),
  };
}

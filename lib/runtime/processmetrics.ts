// Figures of the process itself, under the names that dashboards for Node and for any process expect.
import { readdirSync } from 'node:fs';
import { type EventLoopUtilization, performance } from 'node:perf_hooks';
import type { Family } from './family.ts';

/** A figure that is read when the metrics are asked for. */
export interface ProcessSample {
  readonly family: Family;
  readonly type: 'counter' | 'gauge';
  readonly read: () => number;
}

/** All figures. They cost nothing until they are read. */
export function processSamples(): readonly ProcessSample[] {
  let last: EventLoopUtilization = performance.eventLoopUtilization();
  const utilization = (): number => {
    const now = performance.eventLoopUtilization();
    const since = performance.eventLoopUtilization(now, last);
    last = now;
    return since.utilization;
  };
  const cpuSeconds = (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  };
  return [
    counter('process_cpu_seconds_total', 'User and system CPU time.', cpuSeconds),
    gauge('process_start_time_seconds', 'Start of the process since the epoch.', () => performance.timeOrigin / 1000),
    gauge('process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss()),
    gauge('process_open_fds', 'Open file descriptors.', openFiles),
    gauge('nodejs_heap_size_used_bytes', 'JavaScript heap in use.', () => process.memoryUsage().heapUsed),
    gauge('nodejs_external_memory_bytes', 'Memory of buffers.', () => process.memoryUsage().external),
    gauge('nodejs_eventloop_utilization_ratio', 'Part of the time since the last scrape that was busy.', utilization),
  ];
}

function counter(name: string, help: string, read: () => number): ProcessSample {
  return { family: { name, help }, type: 'counter', read };
}

function gauge(name: string, help: string, read: () => number): ProcessSample {
  return { family: { name, help }, type: 'gauge', read };
}

function openFiles(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    // Not Linux.
    return 0;
  }
}

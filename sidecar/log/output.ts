// The sidecar's log on standard output, with a count of what its reader was too slow for.
import { outputSink } from '../../lib/runtime/linesink.ts';
import { createLogger, type Logger } from '../../lib/runtime/logger.ts';
import type { Metrics } from '../../lib/runtime/metrics.ts';
import type { SidecarConfig } from '../config.ts';

/** A log that neither blocks nor grows where nobody reads it. */
export function openLog(
  { logLevel: level, logFormat }: Pick<SidecarConfig, 'logLevel' | 'logFormat'>,
  metrics: Metrics,
): Logger {
  const dropped = metrics.counter({
    name: 'tabard_log_lines_dropped_total',
    help: 'Lines of the log that were dropped because their reader was too slow.',
  });
  const destination = outputSink(1, {
    onDrop: () => dropped.inc(),
    onFlow: (lines) => logger.warn({ dropped: lines }, 'log lines were dropped: the reader was too slow'),
  });
  const logger: Logger = createLogger({
    name: 'sidecar',
    level,
    ...(logFormat === undefined ? {} : { format: logFormat }),
    destination,
  });
  return logger;
}

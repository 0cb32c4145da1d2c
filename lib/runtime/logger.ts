// Structured logs on standard output: one JSON object per line, ISO times, level names as words.
// Key material, tokens and whole Secrets are never passed to the logger; the redaction list is the net, not the method.

import type { DestinationStream, Logger as PinoLogger } from 'pino';
import { pino } from 'pino';

/** Levels from quiet to chatty. */
export const logLevels = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof logLevels)[number];

/** A pino logger. Its `level` may be set while the process runs; children made before keep the level they had. */
export type Logger = PinoLogger;

export interface LoggerOptions {
  /** Which process this is: `operator`, `webhook`, `sidecar`, `redirect`. */
  readonly name: string;
  readonly level: LogLevel;
  /** Where lines go; standard output, written synchronously so that the last line before an exit is not lost. */
  readonly destination?: DestinationStream;
}

/** Members that never appear in a log line, whatever object they hang on (one and two levels deep). */
const secrets: readonly string[] = [
  'authorization',
  'Authorization',
  'cookie',
  'key',
  'privateKey',
  'password',
  'token',
  'tls.key',
  'stringData',
];

const redactPaths: readonly string[] = secrets.flatMap((name) => {
  const step = name.includes('.') ? `["${name}"]` : `.${name}`;
  return [name.includes('.') ? `["${name}"]` : name, `*${step}`, `*.*${step}`];
});

/** A root logger. Use `child({ part: 'reflector', … })` for a part. */
export function createLogger(options: LoggerOptions): Logger {
  const destination = options.destination ?? pino.destination({ fd: 1, sync: true });
  return pino(
    {
      level: options.level,
      base: { process: options.name },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: [...redactPaths], censor: '[redacted]' },
    },
    destination,
  );
}

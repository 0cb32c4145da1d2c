// Structured logs on standard output: one JSON object per line, ISO times, level names as words.
// Key material, tokens and whole Secrets are never passed to the logger; the redaction list is the net, not the method.

import type { DestinationStream, Logger as PinoLogger } from 'pino';
import { pino } from 'pino';

/** Levels from quiet to chatty. */
export const logLevels = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof logLevels)[number];

/** A pino logger. Parts get a child with their name; `setLevel` on the root reaches all of them. */
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

/** The children of each root, so that their level can follow it. Weak: a child that nobody holds may go. */
const children = new WeakMap<Logger, Set<WeakRef<Logger>>>();

/** A root logger. Use `child({ part: 'reflector', … })` for a part. */
export function createLogger(options: LoggerOptions): Logger {
  const destination = options.destination ?? pino.destination({ fd: 1, sync: true });
  const family = new Set<WeakRef<Logger>>();
  const gone = new FinalizationRegistry<WeakRef<Logger>>((ref) => family.delete(ref));
  const root = pino(
    {
      level: options.level,
      onChild: (child) => {
        const ref = new WeakRef<Logger>(child);
        family.add(ref);
        gone.register(child, ref);
      },
      base: { process: options.name },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: [...redactPaths], censor: '[redacted]' },
    },
    destination,
  );
  children.set(root, family);
  return root;
}

/** Changes the level of a root logger and of all its children, at once. */
export function setLevel(root: Logger, level: LogLevel): void {
  root.level = level;
  for (const ref of children.get(root) ?? []) {
    const child = ref.deref();
    if (child !== undefined) child.level = level;
  }
}

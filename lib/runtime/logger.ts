// Structured logs on standard output: one JSON object per line, ISO times, level names as words.
// Key material, tokens and whole Secrets are never passed to the logger; the redaction list is the net, not the method.

import type {
  Bindings,
  ChildLoggerOptions,
  DestinationStream,
  LoggerOptions as LoggerOptionsOfPino,
  Logger as PinoLogger,
} from 'pino';
import { pino, stdSerializers } from 'pino';
import type { LogFormat } from '../api/contract.ts';
import { messageOf } from '../errors.ts';

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
  /** Names of the members that every line has; OpenTelemetry's way by default. */
  readonly format?: LogFormat;
}

/** Members that never appear in a log line, whatever object they hang on (one and two levels deep). */
const secrets: ReadonlySet<string> = new Set([
  'authorization',
  'Authorization',
  'cookie',
  'key',
  'privateKey',
  'password',
  'token',
  'tls.key',
  'stringData',
]);

const censored = '[redacted]';
const deepest = 2;

/**
 * The same value without those members. pino's own redaction takes paths with wildcards, which it tries on every value of every line:
 * that was a twentieth of what issuing a certificate takes. Nothing is copied where nothing is taken out.
 */
function cleaned(value: unknown, level: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const changes: [string, unknown][] = [];
  for (const [name, member] of Object.entries(value)) {
    const kept = secrets.has(name) && member !== undefined ? censored : inside(name, member, level);
    if (kept !== member) changes.push([name, kept]);
  }
  if (changes.length === 0) return value;
  return Array.isArray(value)
    ? Object.assign([...value], Object.fromEntries(changes))
    : { ...value, ...Object.fromEntries(changes) };
}

function inside(name: string, member: unknown, level: number): unknown {
  // Its serializer comes later, and cleans what it makes of the error.
  if (level === 0 && name === 'err' && member instanceof Error) return member;
  return level < deepest ? cleaned(member, level + 1) : member;
}

/** The functions of a logger that take members for all of its lines. */
interface Bound {
  readonly child: (this: Logger, bindings: Bindings, options?: ChildLoggerOptions) => unknown;
  readonly setBindings: (this: Logger, bindings: Bindings) => void;
}

/**
 * What children are made with, and theirs, is cleaned like the fields of a line: pino lets it pass no formatter. A child inherits the
 * functions of its parent.
 */
function cleanBindings(root: Logger): void {
  const plain: Bound = root;
  const { child, setBindings } = plain;
  const own = {
    child(this: Logger, bindings: Bindings, options?: ChildLoggerOptions): unknown {
      return child.call(this, cleaned(bindings, 0) as Bindings, options);
    },
    setBindings(this: Logger, bindings: Bindings): void {
      setBindings.call(this, cleaned(bindings, 0) as Bindings);
    },
  };
  Object.assign(root, own);
}

/** The children of each root, so that their level can follow it. Weak: a child that nobody holds may go. */
const children = new WeakMap<Logger, Set<WeakRef<Logger>>>();

/** What every line has: `level`, `time`, `process`, `msg`. */
function plainFrame(name: string): Frame {
  return {
    base: { process: name },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: {
      level: (label) => ({ level: label }),
      log: (fields) => cleaned(fields, 0) as Record<string, unknown>,
    },
  };
}

/** Of the Elastic Common Schema, whose names are used. */
const ecsVersion = '8.17.0';

/** The same by the Elastic Common Schema, with errors as it wants them. */
function ecsFrame(name: string): Frame {
  return {
    base: { 'ecs.version': ecsVersion, 'process.name': name },
    messageKey: 'message',
    timestamp: () => `,"@timestamp":"${new Date().toISOString()}"`,
    formatters: {
      level: (label) => ({ 'log.level': label }),
      log: ({ err, ...fields }) => ({ ...(cleaned(fields, 0) as object), ...ecsError(err) }),
    },
  };
}

type Frame = Pick<LoggerOptionsOfPino, 'base' | 'timestamp' | 'messageKey' | 'formatters'>;

function ecsError(error: unknown): object {
  if (!(error instanceof Error)) return error === undefined ? {} : { 'error.message': messageOf(error) };
  return { 'error.type': error.name, 'error.message': error.message, 'error.stack_trace': error.stack };
}

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
      ...(options.format === 'ECS' ? ecsFrame(options.name) : plainFrame(options.name)),
      serializers: { err: (error: Error) => cleaned(stdSerializers.err(error), 1) },
    },
    destination,
  );
  cleanBindings(root);
  children.set(root, family);
  outputs.set(root, { destination, name: options.name, format: options.format ?? 'OpenTelemetry' });
  return root;
}

interface Output {
  readonly destination: DestinationStream;
  readonly name: string;
  readonly format: LogFormat;
}

const outputs = new WeakMap<Logger, Output>();

/** Writes a line whose members are JSON already, with a comma between them and no braces around. */
export type RawLine = (level: 'info' | 'warn', members: string, message: string) => void;

/**
 * Writes lines to where a root logger writes, past pino: for those that come with every request, of fields that are known and hold no secret. pino
 * takes ten times as long for them as JSON.stringify does. Levels and what every line has are those of the logger.
 */
export function rawLines(root: Logger): RawLine {
  const output = outputs.get(root);
  if (output === undefined) throw new TypeError('not a root logger of createLogger');
  const { destination, name, format } = output;
  const isEcs = format === 'ECS';
  const base = isEcs ? `"ecs.version":"${ecsVersion}","process.name":"${name}"` : `"process":"${name}"`;
  const [levelKey, timeKey, messageKey] = isEcs ? ['log.level', '@timestamp', 'message'] : ['level', 'time', 'msg'];
  let atMs = 0;
  let at = '';
  return (level, members, message) => {
    if (!root.isLevelEnabled(level)) return;
    const nowMs = Date.now();
    if (nowMs !== atMs) at = new Date(nowMs).toISOString();
    atMs = nowMs;
    destination.write(
      `{"${levelKey}":"${level}","${timeKey}":"${at}",${base},${members},"${messageKey}":"${message}"}\n`,
    );
  };
}

/** Writes lines, each with its end, as they are to where a root logger writes: those of another process, which has a logger of its own. */
export function lineWriter(root: Logger): (line: string) => void {
  const output = outputs.get(root);
  if (output === undefined) throw new TypeError('not a root logger of createLogger');
  return (line) => output.destination.write(line);
}

/** Changes the level of a root logger and of all its children, at once. */
export function setLevel(root: Logger, level: LogLevel): void {
  root.level = level;
  for (const ref of children.get(root) ?? []) {
    const child = ref.deref();
    if (child !== undefined) child.level = level;
  }
}

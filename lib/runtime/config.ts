// Reads settings from the environment: typed, with documented defaults, and every fault reported together.
// A process makes one ConfigReader, reads all its settings, and calls `finish` once.
import { isIP } from 'node:net';
import { parseDuration } from '../clock.ts';
import { AppError, messageOf } from '../errors.ts';
import { type LogLevel, logLevels } from './logger.ts';

/** The environment of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Reads variables; a fault is kept for `finish` and the reader goes on with a harmless value. */
export class ConfigReader {
  readonly #environment: Environment;
  readonly #faults: string[] = [];

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** The text of a variable. Without a default it must be set and not empty. */
  text(name: string, fallback?: string): string {
    const value = this.#environment[name];
    if (value !== undefined && value !== '') return value;
    if (fallback !== undefined) return fallback;
    return this.fault(name, 'is not set and has no default', '');
  }

  /** A whole number within bounds, both included. */
  integer(name: string, bounds: { readonly min: number; readonly max: number }, fallback?: number): number {
    const text = this.text(name, fallback === undefined ? undefined : String(fallback));
    if (text === '') return bounds.min;
    const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= bounds.min && value <= bounds.max) return value;
    return this.fault(name, `is "${text}" but takes a whole number from ${bounds.min} to ${bounds.max}`, bounds.min);
  }

  /** A TCP port. 0 is accepted where `anyFree` says that the system may choose. */
  port(name: string, fallback?: number, anyFree: boolean = false): number {
    return this.integer(name, { min: anyFree ? 0 : 1, max: 65_535 }, fallback);
  }

  /** `true` or `false`. */
  flag(name: string, fallback?: boolean): boolean {
    return (
      this.choice(name, ['true', 'false'], fallback === undefined ? undefined : fallback ? 'true' : 'false') === 'true'
    );
  }

  /** One of the given words. */
  choice<const T extends string>(name: string, accepted: readonly [T, ...T[]], fallback?: T): T {
    const text = this.text(name, fallback);
    const found = accepted.find((each) => each === text);
    if (found !== undefined) return found;
    if (text === '') return accepted[0];
    return this.fault(name, `is "${text}" but takes ${accepted.join(', ')}`, accepted[0]);
  }

  /** A log level. */
  level(name: string, fallback: LogLevel = 'info'): LogLevel {
    return this.choice(name, logLevels, fallback);
  }

  /** A duration such as "30s" or "24h", in milliseconds. */
  durationMs(name: string, fallback?: string): number {
    const text = this.text(name, fallback);
    if (text === '') return 0;
    try {
      return parseDuration(text);
    } catch (error) {
      return this.fault(name, `is not usable: ${messageOf(error)}`, 0);
    }
  }

  /** A comma-separated list; empty items are dropped. `check` returns what is wrong with an item, or undefined. */
  list(name: string, fallback?: string, check?: (item: string) => string | undefined): readonly string[] {
    const items = this.#environment[name] === '' ? '' : this.text(name, fallback);
    return items
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '' && !this.#refuses(name, item, check));
  }

  /** A comma-separated list of IP addresses or CIDRs. */
  cidrs(name: string, fallback?: string): readonly string[] {
    return this.list(name, fallback, (item) => (isCidr(item) ? undefined : 'is no IP address or CIDR'));
  }

  /** Records a fault of a variable; returns `instead`. */
  fault<T>(name: string, what: string, instead: T): T {
    this.#faults.push(`${name} ${what}`);
    return instead;
  }

  /** The settings, frozen. Throws AppError `config_invalid` that names every faulty variable. */
  finish<T extends object>(settings: T): Readonly<T> {
    if (this.#faults.length > 0) {
      throw new AppError('config_invalid', `the environment is not usable: ${this.#faults.join('; ')}`);
    }
    return Object.freeze(settings);
  }

  #refuses(name: string, item: string, check?: (item: string) => string | undefined): boolean {
    const wrong = check?.(item);
    if (wrong !== undefined) this.fault(name, `holds "${item}", which ${wrong}`, undefined);
    return wrong !== undefined;
  }
}

function isCidr(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

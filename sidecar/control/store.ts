// The last snapshots on disk, so that a restarted container serves at once while the control plane is away. One file, versioned,
// written whole and renamed into place; what does not parse is ignored, as if nothing had been kept.
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SelfSnapshot } from '../../lib/api/control.ts';
import type { Clock } from '../../lib/clock.ts';
import { AppError, systemCode } from '../../lib/errors.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import { orAborted } from '../../lib/runtime/signals.ts';
import type { KeptDestination } from '../destination/discovery.ts';
import { parseRevocations } from '../revocation/parse.ts';
import type { KeptRevocations } from '../revocation/revocations.ts';
import { parseDestination, parseSelf } from './parse.ts';

/** Everything that is kept. */
export interface Kept {
  readonly self: SelfSnapshot;
  readonly destinations: readonly KeptDestination[];
  readonly revocations?: KeptRevocations;
}

/** Settings of a SnapshotStore. */
export interface SnapshotStoreOptions {
  readonly folder: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What to write; undefined while there is nothing worth keeping. */
  collect(): Kept | undefined;
}

const FILE = 'snapshots.json';
/** Of the file's form. A file of another format is not read. */
const FORMAT = 1;
/** Changes come in bursts; one write covers them. */
const SETTLE_MS = 250;

/** Reads once, writes after changes. */
export class SnapshotStore {
  readonly #options: SnapshotStoreOptions;
  #changed = Promise.withResolvers<void>();

  constructor(options: SnapshotStoreOptions) {
    this.#options = options;
  }

  /** What an earlier run of this pod kept; undefined when there is nothing that can be used. Never rejects. */
  async load(): Promise<Kept | undefined> {
    const path = join(this.#options.folder, FILE);
    try {
      return parseKept(JSON.parse(await readFile(path, 'utf8')));
    } catch (err) {
      if (systemCode(err) !== 'ENOENT') this.#options.logger.warn({ err, path }, 'kept snapshots cannot be used');
      return undefined;
    }
  }

  /** Says that there is something new to keep. */
  touch(): void {
    this.#changed.resolve();
  }

  /** Writes after changes until the signal is aborted; one last time then. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      // Not raced against one promise of the signal: it would remember each change for as long as the process lives.
      await orAborted(this.#changed.promise, signal).catch(() => undefined);
      if (!signal.aborted) await this.#options.clock.sleep(SETTLE_MS, signal).catch(() => undefined);
      this.#changed = Promise.withResolvers();
      await this.write();
    }
  }

  /** Writes now. A failure is logged: what is kept is a help, not a need. */
  async write(): Promise<void> {
    const kept = this.#options.collect();
    if (kept === undefined) return;
    const { folder, logger } = this.#options;
    const path = join(folder, FILE);
    try {
      await mkdir(folder, { recursive: true });
      await writeFile(`${path}.new`, JSON.stringify({ format: FORMAT, ...kept }), { mode: 0o600, flush: true });
      await rename(`${path}.new`, path);
    } catch (err) {
      logger.warn({ err, path }, 'snapshots cannot be kept');
    }
  }
}

function parseKept(value: unknown): Kept {
  if (typeof value !== 'object' || value === null || !('format' in value) || value.format !== FORMAT) {
    throw new AppError('input_invalid', `the file is not of format ${FORMAT}`);
  }
  const { self, destinations, revocations } = value as Readonly<Record<string, unknown>>;
  const list = Array.isArray(destinations) ? destinations : [];
  return {
    self: parseSelf(self),
    destinations: list.map(parseKeptDestination),
    ...(revocations === undefined ? {} : { revocations: parseKeptRevocations(revocations) }),
  };
}

function parseKeptRevocations(value: unknown): KeptRevocations {
  const { snapshot, confirmedMs } = value as { readonly snapshot?: unknown; readonly confirmedMs?: unknown };
  if (typeof confirmedMs !== 'number') throw new AppError('input_invalid', 'kept revocations have no time');
  return { snapshot: parseRevocations(snapshot), confirmedMs };
}

function parseKeptDestination(value: unknown): KeptDestination {
  const { key, snapshot } = value as { readonly key?: unknown; readonly snapshot?: unknown };
  if (typeof key !== 'string') throw new AppError('input_invalid', 'a kept destination has no key');
  return { key, snapshot: parseDestination(snapshot) };
}

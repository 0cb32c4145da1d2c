// A mounted certificate folder as a CertificateSource. The kubelet changes a projected volume by renaming the `..data`
// symlink (kubernetes pkg/volume/util/atomic_writer.go), so the folder is watched, not its files, and one read resolves
// that link once: the texts always come from the same generation. A refused set never replaces a good one.
import { watch } from 'node:fs';
import { readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { credentialBundleFile, secretKeys } from '../api/contract.ts';
import type { Clock } from '../clock.ts';
import { messageOf, systemCode } from '../errors.ts';
import { pemLimits } from '../pki/pem.ts';
import {
  type CertificateSource,
  type CredentialFault,
  type Credentials,
  type CredentialTexts,
  type CredentialVerdict,
  MemoryCertificateSource,
} from './credentials.ts';
import type { Logger } from './logger.ts';

/** How a CertificateFiles is made. */
export interface CertificateFilesOptions {
  /**
   * The mount point; it holds ca.crt and either tls.crt and tls.key or a credential bundle, with or without the kubelet's `..data`
   * link. Where there are both, the bundle counts: key and chain of it cannot be of different ages.
   */
  readonly folder: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called once for each set of files that was refused: for a metric. */
  readonly onRejected?: (fault: CredentialFault) => void;
  /** How often the folder is read even if no change was notified; 5 s by default. */
  readonly pollMs?: number;
}

/** Larger files are no certificates (lib/pki/pem.ts has the limit of each); they are not even read. */
const MAX_BYTES = 2 * pemLimits.bundle;

/** Reads a certificate folder, follows its changes, and hands on only what judgeCredentials found good. */
export class CertificateFiles implements CertificateSource {
  readonly #options: CertificateFilesOptions;
  readonly #good = new MemoryCertificateSource();
  #lastRefusal = '';
  #running: Promise<unknown> = Promise.resolve();
  #next: Promise<CredentialVerdict> | undefined;

  constructor(options: CertificateFilesOptions) {
    this.#options = options;
  }

  current(): Credentials | undefined {
    return this.#good.current();
  }

  subscribe(listener: (credentials: Credentials) => void): () => void {
    return this.#good.subscribe(listener);
  }

  /** Reads and judges the folder. Never rejects: a folder that cannot be read is the fault `unreadable`. */
  refresh(): Promise<CredentialVerdict> {
    // A read that is under way may have missed the change that asks for this one, so one more follows it, never two.
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      const reading = this.#read();
      this.#running = reading;
      return reading;
    });
    return this.#next;
  }

  /** Follows the folder until the signal is aborted. Reads it once at the start. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, pollMs = 5_000 } = this.#options;
    await this.refresh();
    const stopWatching = this.#watch();
    try {
      while (!signal.aborted) {
        await clock.sleep(pollMs, signal);
        await this.refresh();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      stopWatching();
    }
  }

  async #read(): Promise<CredentialVerdict> {
    const { folder, clock } = this.#options;
    const texts = await readTexts(folder).catch((error: unknown) => messageOf(error));
    const verdict: CredentialVerdict =
      typeof texts === 'string'
        ? { good: false, fault: 'unreadable', detail: texts }
        : this.#good.offer(texts, clock.now());
    this.#report(verdict);
    return verdict;
  }

  /** One line and one count per refused state, however often it is read. */
  #report(verdict: CredentialVerdict): void {
    const refusal = verdict.good ? '' : `${verdict.fault} ${verdict.detail}`;
    if (refusal === this.#lastRefusal) return;
    this.#lastRefusal = refusal;
    const { folder, logger, onRejected } = this.#options;
    if (verdict.good) {
      const { serial, notAfter } = verdict.credentials;
      logger.info({ folder, serial, notAfter }, 'certificate folder is good again');
      return;
    }
    const { fault, detail } = verdict;
    logger.warn({ folder, fault, detail, kept: this.current()?.serial }, 'certificate refused');
    onRejected?.(fault);
  }

  /** Notices of the kernel make a change quick; the poll makes it sure. Without a watch only the poll is left. */
  #watch(): () => void {
    const { folder, logger } = this.#options;
    const lost = (err: unknown): void => logger.warn({ folder, err }, 'certificate folder is polled, not watched');
    try {
      const watcher = watch(folder, { persistent: false }, () => void this.refresh());
      watcher.on('error', lost);
      return () => watcher.close();
    } catch (error) {
      lost(error);
      return () => undefined;
    }
  }
}

async function readTexts(folder: string): Promise<CredentialTexts> {
  try {
    return await readGeneration(folder);
  } catch (error) {
    // The kubelet removes the old generation right after the swap: the link that was resolved may be gone.
    if (systemCode(error) !== 'ENOENT') throw error;
    return readGeneration(folder);
  }
}

async function readGeneration(folder: string): Promise<CredentialTexts> {
  const generation = await realpath(join(folder, '..data')).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return folder;
    throw error;
  });
  const read = (name: string): Promise<string> => readText(join(generation, name));
  const [bundle, trustBundle] = await Promise.all([
    read(credentialBundleFile).catch(absent),
    read(secretKeys.trustBundle),
  ]);
  if (bundle !== undefined) return { ...splitBundle(bundle), trustBundle };
  const [certificate, key] = await Promise.all([read(secretKeys.certificate), read(secretKeys.key)]);
  return { certificate, key, trustBundle };
}

function absent(error: unknown): undefined {
  if (systemCode(error) !== 'ENOENT') throw error;
}

/** A credential bundle of the kubelet: a PKCS#8 key, then the chain, leaf first, each a PEM block (KEP-4317). */
function splitBundle(bundle: string): Pick<CredentialTexts, 'certificate' | 'key'> {
  const end = /-----END [A-Z ]*PRIVATE KEY-----\r?\n?/.exec(bundle);
  const at = end === null ? 0 : end.index + end[0].length;
  return { key: bundle.slice(0, at), certificate: bundle.slice(at) };
}

async function readText(path: string): Promise<string> {
  const { size } = await stat(path);
  if (size > MAX_BYTES) throw new Error(`${path} has ${size} bytes; a certificate file has at most ${MAX_BYTES}`);
  return readFile(path, 'utf8');
}

// Follows the files of the edge certificate in the certificate folder. They are optional: most pods have none, and a pod starts
// without them. The kubelet changes the whole folder at once, so one look at where its link leads tells whether there is news.
import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { edgeFiles } from '../../lib/api/contract.ts';
import type { Clock } from '../../lib/clock.ts';
import { messageOf, systemCode } from '../../lib/errors.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import { type EdgeCertificate, judgeEdge } from './certificate.ts';

/** Gives the newest good edge certificate; undefined where there is none. */
export interface EdgeSource {
  current(): EdgeCertificate | undefined;
}

/** How the files are followed. */
export interface EdgeFilesOptions {
  readonly folder: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How often the folder is looked at; 5 s by default. */
  readonly pollMs?: number;
}

/** The edge certificate of a mounted folder. */
export class EdgeFiles implements EdgeSource {
  readonly #options: EdgeFilesOptions;
  #current: EdgeCertificate | undefined;
  #seen = '';
  #refused = '';

  constructor(options: EdgeFilesOptions) {
    this.#options = options;
  }

  current(): EdgeCertificate | undefined {
    return this.#current;
  }

  /** Looks at the folder now. Never rejects. */
  async refresh(): Promise<void> {
    const { folder } = this.#options;
    try {
      const generation = await generationOf(folder);
      // A folder that is not the kubelet's has no generations: it is read each time.
      if (generation === this.#seen && generation !== folder) return;
      const certificate = await readText(join(generation, edgeFiles.certificate));
      const key = await readText(join(generation, edgeFiles.key));
      if (certificate === undefined || key === undefined) {
        // The kubelet removes a generation right after the swap: files that went with it are not gone.
        if ((await generationOf(folder)) !== generation) return;
        this.#gone();
      } else if (!this.#offer(certificate, key)) {
        // Looked at again: what is not valid yet will be, without another swap.
        return;
      }
      this.#seen = generation;
    } catch (error) {
      this.#refuse(messageOf(error));
    }
  }

  /** Follows the folder until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, pollMs = 5_000 } = this.#options;
    while (!signal.aborted) {
      await this.refresh();
      await clock.sleep(pollMs, signal).catch(() => undefined);
    }
  }

  /** Takes it when it is good; whether it is. */
  #offer(certificate: string, key: string): boolean {
    const verdict = judgeEdge(certificate, key, this.#options.clock.now());
    if (!verdict.good) {
      this.#refuse(verdict.detail);
      return false;
    }
    this.#refused = '';
    if (verdict.edge.fingerprint === this.#current?.fingerprint) return true;
    this.#current = verdict.edge;
    const { serial, notAfter, names } = verdict.edge;
    this.#options.logger.info({ serial, notAfter, names }, 'edge certificate in use');
    return true;
  }

  /** The policy no longer asks for one. */
  #gone(): void {
    if (this.#current !== undefined) this.#options.logger.info({}, 'edge certificate is gone');
    this.#current = undefined;
  }

  /** What was good stays; one line for each thing that is wrong, however often it is seen. */
  #refuse(detail: string): void {
    if (detail === this.#refused) return;
    this.#refused = detail;
    this.#options.logger.warn({ detail, kept: this.#current?.serial }, 'edge certificate refused');
  }
}

/** Where the kubelet's link leads; the folder itself when it has none. */
async function generationOf(folder: string): Promise<string> {
  try {
    return await realpath(join(folder, '..data'));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return folder;
    throw error;
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

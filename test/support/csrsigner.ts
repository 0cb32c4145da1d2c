// A signer of CertificateSigningRequests of another make: OpenSSL with a CA of its own, behind the API as any signer is.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import type { CertificateSigningRequest } from '../../lib/kube/object.ts';
import { resources } from '../../lib/kube/resources.ts';

const { certificatesigningrequests } = resources;

/** What the signer is to do otherwise than it was asked to. */
export interface SigningManner {
  /** Signs this request in place of the one that came. */
  readonly request?: string;
  readonly days?: number;
  /** Extensions to state in place of those asked for. */
  readonly extensions?: string;
}

/** What it does with requests: nothing but sign what somebody else approved, unless it is told otherwise. */
export interface SignerActs {
  readonly approve?: boolean;
  readonly deny?: boolean;
  readonly sign?: SigningManner | false;
}

/** Signs approved requests, and approves them if it is told to. */
export class OpensslCsrSigner {
  /** PEM. */
  readonly ca: string;
  readonly #client: KubeClient;
  readonly #signerName: string;
  readonly #folder: string;
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  /** `folder` is for its files. */
  constructor(client: KubeClient, { signerName, folder }: { readonly signerName: string; readonly folder: string }) {
    this.#client = client;
    this.#signerName = signerName;
    this.#folder = folder;
    const name = ['-subj', '/CN=Another CA', '-days', '30', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'ca.key'];
    this.openssl(['req', '-x509', ...key, '-out', 'ca.crt', ...name]);
    this.ca = readFileSync(join(folder, 'ca.crt'), 'utf8');
  }

  /** Runs OpenSSL in the folder. */
  openssl(args: readonly string[], input = ''): string {
    return execFileSync('openssl', args, {
      input,
      encoding: 'utf8',
      cwd: this.#folder,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
  }

  start(acts: SignerActs = {}): void {
    this.#stop = new AbortController();
    this.#running = this.#run(acts, this.#stop.signal);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(acts: SignerActs, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { items } = await this.#client.list(certificatesigningrequests).catch(() => ({ items: [] }));
      for (const each of items)
        if (each.spec.signerName === this.#signerName) await this.#take(each, acts).catch(() => undefined);
      await systemClock.sleep(50);
    }
  }

  async #take(each: CertificateSigningRequest, { approve, deny, sign }: SignerActs): Promise<void> {
    const { name } = each.metadata;
    const has = (type: string): boolean => each.status?.conditions?.some((found) => found.type === type) === true;
    const verdict = deny === true ? 'Denied' : approve === true ? 'Approved' : undefined;
    if (verdict !== undefined && !has(verdict)) {
      const condition = { type: verdict, status: 'True', reason: 'ByTest', message: 'the test says so' };
      const patch = { status: { conditions: [condition] } };
      await this.#client.patch(certificatesigningrequests, { name }, patch, { subresource: 'approval' });
    } else if (sign !== false && has('Approved') && each.status?.certificate === undefined) {
      const certificate = Buffer.from(this.#sign(each, sign)).toString('base64');
      const patch = { status: { certificate } };
      await this.#client.patch(certificatesigningrequests, { name }, patch, { subresource: 'status' });
    }
  }

  #sign({ spec }: CertificateSigningRequest, { request, days = 1, extensions = '' }: SigningManner = {}): string {
    const pem = request ?? Buffer.from(spec.request, 'base64').toString();
    const from = extensions === '' ? ['-copy_extensions', 'copyall'] : [];
    writeFileSync(join(this.#folder, 'ext.cnf'), `extendedKeyUsage=serverAuth,clientAuth\n${extensions}\n`);
    const ca = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial'];
    return this.openssl(['x509', '-req', ...ca, '-days', String(days), ...from, '-extfile', 'ext.cnf'], pem);
  }
}

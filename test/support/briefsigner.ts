// A signer of CertificateSigningRequests whose leaves live for minutes, which OpenSSL does not make by the day; and a person who approves, or
// does not. It signs for the one service that it is told of.
import { systemClock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import type { CertificateSigningRequest } from '../../lib/kube/object.ts';
import { resources } from '../../lib/kube/resources.ts';
import { type Authority, issueLeaf } from '../../lib/pki/ca.ts';
import type { Identity } from '../../lib/pki/identity.ts';
import { keyOfRequest } from '../../lib/pki/pkcs10.ts';
import { testAuthority } from './pki.ts';

/** Whom it signs for. */
export interface BriefSignerOptions {
  readonly signerName: string;
  readonly identity: Identity;
  readonly lifetimeMs: number;
}

/** A running signer. */
export class BriefSigner {
  /** Whether requests are approved; one that is not is not signed. */
  approves = true;
  readonly #client: KubeClient;
  readonly #options: BriefSignerOptions;
  readonly #authority: Authority;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  private constructor(client: KubeClient, options: BriefSignerOptions, authority: Authority) {
    this.#client = client;
    this.#options = options;
    this.#authority = authority;
    this.#running = this.#run(this.#stop.signal);
  }

  static async start(client: KubeClient, options: BriefSignerOptions): Promise<BriefSigner> {
    return new BriefSigner(client, options, await testAuthority());
  }

  /** PEM of its CA. */
  get ca(): string {
    return this.#authority.certificate;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { items } = await this.#client.list(resources.certificatesigningrequests).catch(() => ({ items: [] }));
      for (const each of items) {
        const isOurs = each.spec.signerName === this.#options.signerName && each.status?.certificate === undefined;
        // Somebody deleted it meanwhile: another one comes.
        if (isOurs && this.approves) await this.#sign(each).catch(() => undefined);
      }
      await systemClock.sleep(50);
    }
  }

  async #sign({ metadata: { name }, spec, status }: CertificateSigningRequest): Promise<void> {
    const requests = resources.certificatesigningrequests;
    if (status?.conditions?.some(({ type }) => type === 'Approved') !== true) {
      const condition = { type: 'Approved', status: 'True', reason: 'ByTest', message: 'the test says so' };
      await this.#client.patch(
        requests,
        { name },
        { status: { conditions: [condition] } },
        { subresource: 'approval' },
      );
    }
    const { identity, lifetimeMs } = this.#options;
    const pem = Buffer.from(spec.request, 'base64').toString('utf8');
    const publicKey = keyOfRequest(Buffer.from(pem.replace(/-----[A-Z ]+-----|\s/g, ''), 'base64'));
    const authority = this.#authority;
    const leaf = issueLeaf({ authority, publicKey, identity, dnsNames: [], lifetimeMs, now: new Date() });
    const certificate = Buffer.from(leaf.certificate).toString('base64');
    await this.#client.patch(requests, { name }, { status: { certificate } }, { subresource: 'status' });
  }
}

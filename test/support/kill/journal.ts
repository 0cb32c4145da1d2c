// Every version of every Secret of a rotation, in order, by a watch that starts before it: each is judged by itself (whole, keys that fit,
// a chain that verifies), against the others as they are at that moment (everybody's certificate is accepted by each bundle in use: a
// sidecar goes by what it was told, of which its Secret may be a moment behind; who reads files goes by his Secret),
// and all together (one new CA for a turn, one new certificate for a service).
import { X509Certificate } from 'node:crypto';
import { labels, names, secretKeys, written } from '../../../lib/api/contract.ts';
import type { KubeClient } from '../../../lib/kube/client.ts';
import type { Secret } from '../../../lib/kube/object.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { fingerprint, parseCertificates } from '../../../lib/pki/bundle.ts';
import { parsePrivateKey } from '../../../lib/pki/keys.ts';
import { keyMismatch, parseChain } from '../../../lib/pki/pair.ts';
import { chainVerdict } from '../../../lib/pki/verify.ts';
import { notesAnnotation } from '../../../operator/authority/notes.ts';
import { dataOf } from '../../../operator/certificates/secret.ts';

const ofOperator = `${labels.managedBy}=tabard`;
const pairs = [
  [secretKeys.certificate, secretKeys.key],
  ['next.crt', 'next.key'],
  ['previous.crt', 'previous.key'],
] as const;

/** What came to be in one turn. */
export interface Turn {
  readonly cas: readonly string[];
  /** Serials by service. */
  readonly leaves: Readonly<Record<string, readonly string[]>>;
}

/** The Secrets that an operator keeps, from `start` to `stop`. */
export class SecretJournal {
  /** What was ever wrong, in words. */
  readonly faults: string[] = [];
  /** Versions seen. */
  versions = 0;
  readonly #client: KubeClient;
  /** Services whose pods read the bundle from the Secret. */
  readonly #readers: ReadonlySet<string>;
  readonly #stop = new AbortController();
  readonly #latest = new Map<string, Secret>();
  readonly #cas = new Set<string>();
  readonly #leaves = new Map<string, Set<string>>();
  /** Whose a serial is, of all that were ever seen. */
  readonly #serials = new Map<string, string>();
  /** Serial by service. */
  readonly #current = new Map<string, string>();
  #sequence = 0;
  #watching: Promise<void> = Promise.resolve();
  #version = '';

  private constructor(client: KubeClient, readers: ReadonlySet<string>) {
    this.#client = client;
    this.#readers = readers;
  }

  /** `readers`: services whose pods go by the bundle in their Secret. */
  static async start(client: KubeClient, readers: ReadonlySet<string>): Promise<SecretJournal> {
    const journal = new SecretJournal(client, readers);
    const page = await client.list(resources.secrets, { labelSelector: ofOperator });
    for (const secret of page.items) journal.#see(secret);
    journal.#version = page.resourceVersion;
    journal.#watching = journal.#watch();
    return journal;
  }

  /** The CA's Secret as it is now. */
  get ring(): Secret | undefined {
    return [...this.#latest.values()].find(isRing);
  }

  /** The Secret of a service as it is now. */
  service(name: string): Secret | undefined {
    return [...this.#latest.values()].find((secret) => serviceIn(secret) === name);
  }

  /** What was new since the call before. */
  turn(): Turn {
    const leaves = Object.fromEntries([...this.#leaves].map(([service, serials]) => [service, [...serials]]));
    const made = { cas: [...this.#cas], leaves };
    this.#cas.clear();
    this.#leaves.clear();
    return made;
  }

  /** Resolves once everything that was written before the call has been judged. */
  async caughtUp(): Promise<void> {
    const { items } = await this.#client.list(resources.secrets, { labelSelector: ofOperator });
    const isSeen = (): boolean =>
      items.every(
        ({ metadata }) => this.#latest.get(metadata.uid)?.metadata.resourceVersion === metadata.resourceVersion,
      );
    for (let tries = 0; !isSeen(); tries += 1) {
      if (tries > 600) throw new Error('the watch of Secrets does not follow');
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('the test is over'));
    await this.#watching;
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const from = { resourceVersion: this.#version, timeoutSeconds: 300, idleMs: 400_000, signal };
      try {
        for await (const event of this.#client.watch(resources.secrets, { labelSelector: ofOperator, ...from })) {
          this.#version = event.resourceVersion;
          if (event.type === 'DELETED') this.faults.push(`${event.object.metadata.name} was deleted`);
          else if (event.type !== 'BOOKMARK') this.#see(event.object);
        }
      } catch (error) {
        // A watch that ended early goes on from where it was: the API server misses out nothing.
        if (signal.aborted) return;
        if (error instanceof Error && error.message.includes('too old')) this.faults.push('versions were missed');
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  #see(secret: Secret): void {
    const { name, uid, resourceVersion } = secret.metadata;
    this.versions += 1;
    const isNew = !this.#latest.has(uid);
    this.#latest.set(uid, secret);
    const wrong = (what: string): void => void this.faults.push(`${name} in version ${resourceVersion}: ${what}`);
    try {
      const broken = [...halves(secret), ...(isRing(secret) ? [] : leafFaults(secret))];
      for (const each of broken) wrong(each);
      if (broken.length > 0) return;
      if (isRing(secret)) this.#ring(secret, isNew, wrong);
      else this.#leaf(secret, wrong);
      for (const each of this.#strangers()) wrong(each);
    } catch (error) {
      wrong(String(error));
    }
  }

  #ring(secret: Secret, isNew: boolean, wrong: (what: string) => void): void {
    for (const [key] of pairs) {
      const ca = secret.data?.[key] === undefined ? undefined : parseChain(dataOf(secret, key)).leaf;
      if (ca !== undefined && !this.#serials.has(ca.serialNumber)) {
        this.#serials.set(ca.serialNumber, 'a CA');
        this.#cas.add(fingerprint(ca));
      }
    }
    const { sequence } = JSON.parse(secret.metadata.annotations?.[notesAnnotation] ?? '{}') as { sequence?: number };
    if (!isNew && sequence !== this.#sequence + 1) wrong(`step ${sequence} after step ${this.#sequence}`);
    this.#sequence = sequence ?? 0;
  }

  #leaf(secret: Secret, wrong: (what: string) => void): void {
    const service = serviceIn(secret) ?? '';
    const { serialNumber } = new X509Certificate(dataOf(secret, secretKeys.certificate));
    if (this.#current.get(service) === serialNumber) return;
    this.#current.set(service, serialNumber);
    const owner = this.#serials.get(serialNumber);
    if (owner !== undefined) wrong(`serial ${serialNumber} was given to ${owner} before`);
    this.#serials.set(serialNumber, service);
    const made = this.#leaves.get(service) ?? new Set();
    this.#leaves.set(service, made.add(serialNumber));
  }

  /** Whose certificate is refused by whose bundle, as the Secrets that are read are at this moment. */
  #strangers(): readonly string[] {
    const services = [...this.#latest.values()].filter((secret) => serviceIn(secret) !== undefined);
    const judges = services.filter((secret) => this.#readers.has(serviceIn(secret) ?? ''));
    return services.flatMap((shown) =>
      judges.flatMap((judge) => {
        const chain = parseChain(dataOf(shown, secretKeys.certificate));
        const bundle = parseCertificates(dataOf(judge, secretKeys.trustBundle));
        const verdict = chainVerdict({ ...chain, bundle, now: new Date() });
        return verdict.ok ? [] : [`${shown.metadata.name} is refused by ${judge.metadata.name}: ${verdict.reason}`];
      }),
    );
  }
}

function isRing({ metadata }: Secret): boolean {
  return metadata.name === names.caSecret;
}

function serviceIn({ metadata }: Secret): string | undefined {
  return metadata.labels?.[labels.service];
}

/** Certificates without their key, keys without their certificate, and pairs that are none. */
function halves(secret: Secret): readonly string[] {
  return pairs.flatMap(([certificate, key]) => {
    const [chain, pem] = [dataOf(secret, certificate), dataOf(secret, key)];
    if (chain === '' && pem === '') return certificate === secretKeys.certificate ? ['it is empty'] : [];
    if (chain === '' || pem === '') return [`${certificate} and ${key} are not both there`];
    const mismatch = keyMismatch(parseChain(chain), parsePrivateKey(pem));
    return mismatch === undefined ? [] : [`${certificate}: ${mismatch}`];
  });
}

function leafFaults(secret: Secret): readonly string[] {
  const chain = parseChain(dataOf(secret, secretKeys.certificate));
  const bundle = parseCertificates(dataOf(secret, secretKeys.trustBundle));
  const verdict = chainVerdict({ ...chain, bundle, now: new Date() });
  const noted = secret.metadata.annotations?.[written.serial];
  return [
    ...(verdict.ok ? [] : [`its own bundle refuses it: ${verdict.reason}`]),
    ...(noted === chain.leaf.serialNumber ? [] : [`it is noted as ${noted}, and is ${chain.leaf.serialNumber}`]),
  ];
}

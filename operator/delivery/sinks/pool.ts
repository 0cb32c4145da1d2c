// The sinks that TLSIssuers describe, opened when something is first published there, and anew when their settings or credentials change.
import { createHash } from 'node:crypto';
import type { AwsSecretsManager, CertificateSink } from '../../../lib/api/tlsissuer.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { Secret } from '../../../lib/kube/object.ts';
import type { Store } from '../../../lib/kube/store.ts';
import { mountedCredentials } from '../../issuers/vault/credentials.ts';
import { type AwsCredentials, AwsSecrets } from '../aws/secretsmanager.ts';
import { type Sink, SinkError } from './sink.ts';
import { VaultKv } from './vaultkv.ts';

export interface SinkPoolDeps {
  readonly clock: Clock;
  /** All Secrets of Tabard's own namespace. */
  readonly ownSecrets: Pick<Store<Secret>, 'get'>;
  readonly namespace: string;
  readonly tokensFolder: string;
  readonly userAgent: string;
}

interface Open {
  readonly settings: string;
  readonly sink: Sink;
}

/** Sinks by `<issuer>/<sink>`. */
export class SinkPool {
  readonly #deps: SinkPoolDeps;
  readonly #open = new Map<string, Open>();

  constructor(deps: SinkPoolDeps) {
    this.#deps = deps;
  }

  /** The sink of an issuer, at work. Throws SinkError when it cannot be opened. */
  get(issuer: string, spec: CertificateSink): Sink {
    const key = `${issuer}/${spec.name}`;
    const credentials = awsCredentials(this.#deps, spec.awsSecretsManager);
    // A digest: credentials are not kept a second time.
    const settings = createHash('sha256')
      .update(JSON.stringify([spec, credentials]))
      .digest('hex');
    const known = this.#open.get(key);
    if (known?.settings === settings) return known.sink;
    void known?.sink.close();
    const sink = this.#make(spec, credentials);
    this.#open.set(key, { settings, sink });
    return sink;
  }

  /** Keeps tokens alive. Failures show when something is to be published. */
  async keep(signal: AbortSignal): Promise<void> {
    for (const { sink } of this.#open.values()) {
      if (sink instanceof VaultKv) await sink.keep(signal).catch(() => signal.throwIfAborted());
    }
  }

  async close(): Promise<void> {
    const all = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(all.map(({ sink }) => sink.close()));
  }

  #make(spec: CertificateSink, credentials: AwsCredentials | undefined): Sink {
    const { ownSecrets: secrets, tokensFolder: folder, namespace, clock, userAgent } = this.#deps;
    if (spec.awsSecretsManager !== undefined) return new AwsSecrets(spec.awsSecretsManager, credentials);
    if (spec.vaultKV === undefined)
      throw new SinkError('SinkMissing', `sink "${spec.name}" is of no kind that is known`);
    return new VaultKv(spec.vaultKV, {
      clock,
      userAgent,
      credentials: mountedCredentials({ folder, secrets, namespace }),
    });
  }
}

/** Credentials from the Secret that is named; undefined = those of the environment. Throws SinkError when it lacks them. */
export function awsCredentials(
  { ownSecrets, namespace }: Pick<SinkPoolDeps, 'ownSecrets' | 'namespace'>,
  settings: AwsSecretsManager | undefined,
): AwsCredentials | undefined {
  const name = settings?.credentialsSecretRef?.name;
  if (name === undefined) return undefined;
  const data = ownSecrets.get(`${namespace}/${name}`)?.data ?? {};
  const text = (key: string) =>
    Buffer.from(data[key] ?? '', 'base64')
      .toString('utf8')
      .trim();
  const [accessKeyId, secretAccessKey, sessionToken] = ['accessKeyId', 'secretAccessKey', 'sessionToken'].map(text);
  if (!accessKeyId || !secretAccessKey) {
    const message = `Secret "${namespace}/${name}" is missing or has no accessKeyId and secretAccessKey`;
    throw new SinkError('CredentialMissing', message);
  }
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
}

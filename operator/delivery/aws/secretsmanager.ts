// One account and region of AWS Secrets Manager: reads a secret, and keeps one at a value. It writes only what it made, known by its
// tags; AWS itself moves the label AWSPREVIOUS to the version before.
import { createHash } from 'node:crypto';
import type { DescribeSecretCommandOutput, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { MANAGED_BY } from '../../../lib/api/contract.ts';
import type { AwsSecretsManager } from '../../../lib/api/tlsissuer.ts';
import { messageOf } from '../../../lib/errors.ts';
import { type Publishable, SinkError } from '../sinks/sink.ts';

/** Static credentials; without them those of the operator's environment (IRSA, pod identity, instance role). */
export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** A secret's value and the version that it is of. */
export interface AwsValue {
  readonly text: string;
  readonly version: string;
}

/** Largest value that AWS takes, bytes. */
const largest = 65_536;
const timeouts = { connectionTimeout: 5_000, requestTimeout: 15_000 } as const;
/** Tags by which a secret is known as ours, and as that of one identity: two clusters may share a prefix by mistake. */
const tags = { managedBy: 'managed-by', identity: 'tabard-identity' } as const;

/** One region, under one set of credentials. */
export class AwsSecrets {
  readonly #settings: AwsSecretsManager;
  readonly #credentials: AwsCredentials | undefined;
  #client: Promise<SecretsManagerClient> | undefined;

  constructor(settings: AwsSecretsManager, credentials: AwsCredentials | undefined) {
    this.#settings = settings;
    this.#credentials = credentials;
  }

  /** The current value of a secret; undefined when there is none. Rejects with SinkError. */
  async read(id: string, signal: AbortSignal): Promise<AwsValue | undefined> {
    const { GetSecretValueCommand } = await import('./sdk.ts');
    try {
      const client = await this.#open();
      const { SecretString: text, VersionId: version } = await client.send(
        new GetSecretValueCommand({ SecretId: id, VersionStage: 'AWSCURRENT' }),
        { abortSignal: signal },
      );
      return text === undefined || version === undefined ? undefined : { text, version };
    } catch (error) {
      if (nameOf(error) === 'ResourceNotFoundException') return undefined;
      signal.throwIfAborted();
      throw failure(`reading "${id}"`, error);
    }
  }

  /** Keeps a secret at a value. The same value again is no new version. Rejects with SinkError. */
  async publish(item: Publishable, signal: AbortSignal): Promise<'written' | 'unchanged'> {
    const bytes = Buffer.byteLength(item.value);
    if (bytes > largest) {
      throw new SinkError(
        'TooLarge',
        `"${item.name}" has ${bytes} bytes, and AWS takes ${largest}: shorten the trust bundle`,
      );
    }
    const found = await this.#describe(item.name, signal);
    if (found === undefined) return this.#create(item, signal);
    const tag = (key: string) => found.Tags?.find(({ Key }) => Key === key)?.Value;
    if (tag(tags.managedBy) !== MANAGED_BY || tag(tags.identity) !== item.identity) {
      throw new SinkError(
        'NotOurs',
        `"${item.name}" is not ours (tags ${tags.managedBy}, ${tags.identity}) and is left alone`,
      );
    }
    if (found.DeletedDate !== undefined)
      throw new SinkError(
        'BeingDeleted',
        `"${item.name}" is scheduled for deletion: restore it, or wait until it is gone`,
      );
    if ((await this.read(item.name, signal))?.text === item.value) return 'unchanged';
    await this.#put(item, signal);
    return 'written';
  }

  async #describe(name: string, signal: AbortSignal): Promise<DescribeSecretCommandOutput | undefined> {
    const { DescribeSecretCommand } = await import('./sdk.ts');
    try {
      const client = await this.#open();
      return await client.send(new DescribeSecretCommand({ SecretId: name }), { abortSignal: signal });
    } catch (error) {
      if (nameOf(error) === 'ResourceNotFoundException') return undefined;
      signal.throwIfAborted();
      throw failure(`looking for "${name}"`, error);
    }
  }

  async #create(item: Publishable, signal: AbortSignal): Promise<'written'> {
    const { CreateSecretCommand } = await import('./sdk.ts');
    const input = {
      Name: item.name,
      Description: `Certificate of ${item.identity}, kept by Tabard`,
      SecretString: item.value,
      ClientRequestToken: tokenOf(item.value),
      Tags: [
        { Key: tags.managedBy, Value: MANAGED_BY },
        { Key: tags.identity, Value: item.identity },
      ],
    };
    try {
      const client = await this.#open();
      await client.send(new CreateSecretCommand(input), { abortSignal: signal });
      return 'written';
    } catch (error) {
      signal.throwIfAborted();
      throw failure(`making "${item.name}"`, error);
    }
  }

  async #put(item: Publishable, signal: AbortSignal): Promise<void> {
    const { PutSecretValueCommand } = await import('./sdk.ts');
    const input = { SecretId: item.name, SecretString: item.value, ClientRequestToken: tokenOf(item.value) };
    try {
      const client = await this.#open();
      await client.send(new PutSecretValueCommand(input), { abortSignal: signal });
    } catch (error) {
      signal.throwIfAborted();
      throw failure(`writing "${item.name}"`, error);
    }
  }

  #open(): Promise<SecretsManagerClient> {
    this.#client ??= this.#connect();
    return this.#client;
  }

  async #connect(): Promise<SecretsManagerClient> {
    const { SecretsManagerClient } = await import('./sdk.ts');
    const { region, endpoint } = this.#settings;
    return new SecretsManagerClient({
      region,
      maxAttempts: 3,
      requestHandler: timeouts,
      ...(endpoint === undefined ? {} : { endpoint }),
      // A copy: the client adds members of its own.
      ...(this.#credentials === undefined ? {} : { credentials: { ...this.#credentials } }),
    });
  }

  /** Closes kept connections. */
  async close(): Promise<void> {
    (await this.#client)?.destroy();
  }
}

/** A UUID of the content: the same value sent twice, after an answer that was lost say, is one version. */
function tokenOf(value: string): string {
  const hex = createHash('sha256').update(value).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-');
}

function nameOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'name' in error ? String(error.name) : '';
}

const denied: ReadonlySet<string> = new Set([
  'AccessDeniedException',
  'UnrecognizedClientException',
  'InvalidSignatureException',
  'ExpiredTokenException',
  'CredentialsProviderError',
]);

/** What AWS says, without the request that it was said of. */
function failure(doing: string, error: unknown): SinkError {
  const name = nameOf(error);
  const reason = denied.has(name) ? 'Refused' : 'Failed';
  return new SinkError(reason, `AWS Secrets Manager, ${doing}: ${name}: ${messageOf(error).slice(0, 300)}`, error);
}

// AWS Secrets Manager as moto simulates it (PyPI), as a server of its own on loopback.
import { join } from 'node:path';
import {
  CreateSecretCommand,
  DeleteSecretCommand,
  DescribeSecretCommand,
  GetSecretValueCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { progressOn } from '../../hack/cluster/progress.ts';
import { pythonWith } from '../../hack/python/environment.ts';
import { onFreePorts, startDaemon } from './daemon.ts';

/** The service with an administrator's view of it. */
export interface TestAws {
  readonly endpoint: string;
  create(name: string, value: string): Promise<void>;
  put(name: string, value: string): Promise<void>;
  delete(name: string): Promise<void>;
  /** The value with a label; undefined when there is none. */
  value(name: string, stage?: 'AWSCURRENT' | 'AWSPREVIOUS'): Promise<string | undefined>;
  tags(name: string): Promise<Readonly<Record<string, string>>>;
  /** Number of versions that have a label. */
  versions(name: string): Promise<number>;
  stop(): Promise<void>;
}

export const awsRegion = 'eu-central-1';
export const awsCredentials = { accessKeyId: 'test', secretAccessKey: 'test' } as const;

/** Installs moto where it is missing and starts it. */
export async function startAws(): Promise<TestAws> {
  const python = await pythonWith(
    'moto',
    progressOn((line) => process.stderr.write(`${line}\n`)),
  );
  return onFreePorts(1, async ([port = 0]) => {
    const endpoint = `http://127.0.0.1:${port}`;
    const daemon = await startDaemon({
      program: join(python, '..', 'moto_server'),
      args: ['-H', '127.0.0.1', '-p', String(port)],
      ready: async () => (await fetch(`${endpoint}/moto-api/`)).ok,
    });
    const client = new SecretsManagerClient({ region: awsRegion, endpoint, credentials: { ...awsCredentials } });
    const describe = (SecretId: string) => client.send(new DescribeSecretCommand({ SecretId }));
    return {
      endpoint,
      create: async (Name, SecretString) => void (await client.send(new CreateSecretCommand({ Name, SecretString }))),
      put: async (SecretId, SecretString) =>
        void (await client.send(new PutSecretValueCommand({ SecretId, SecretString }))),
      delete: async (SecretId) => void (await client.send(new DeleteSecretCommand({ SecretId }))),
      value: async (SecretId, VersionStage = 'AWSCURRENT') =>
        client.send(new GetSecretValueCommand({ SecretId, VersionStage })).then(
          ({ SecretString }) => SecretString,
          () => undefined,
        ),
      tags: async (name) =>
        Object.fromEntries(((await describe(name)).Tags ?? []).map(({ Key = '', Value = '' }) => [Key, Value])),
      versions: async (name) => Object.keys((await describe(name)).VersionIdsToStages ?? {}).length,
      stop: async () => {
        client.destroy();
        await daemon.stop();
      },
    };
  });
}

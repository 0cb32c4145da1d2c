// AWS Secrets Manager as a sink and as the place of a CA, against moto.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { AwsSecrets } from '../../../operator/delivery/aws/secretsmanager.ts';
import { type Publishable, valueOf } from '../../../operator/delivery/sinks/sink.ts';
import { awsCredentials, awsRegion, startAws, type TestAws } from '../../support/moto.ts';
import { testAuthority, testLeaf } from '../../support/pki.ts';

const minute = 60_000;
const signal = AbortSignal.timeout(10 * minute);
let aws: TestAws;
let store: AwsSecrets;
let first: Publishable;
let second: Publishable;

const itemOf = async (serviceName: string): Promise<Publishable> => {
  const leaf = await testLeaf(await testAuthority(), { service: serviceName });
  const { certificate, key, bundle: trustBundle, serial, notAfter, identity } = leaf;
  const value = valueOf({ certificate, key, trustBundle, serial, notAfter: notAfter.toISOString() });
  return { name: `mesh/shop/${serviceName}`, identity, value };
};

beforeAll(async () => {
  aws = await startAws();
  store = new AwsSecrets({ region: awsRegion, endpoint: aws.endpoint }, awsCredentials);
  first = await itemOf('web');
  second = { ...(await itemOf('web')), name: first.name };
}, 10 * minute);
afterAll(async () => {
  await store?.close();
  await aws?.stop();
}, minute);

describe('a certificate in AWS Secrets Manager', () => {
  test('is one value of five members, tagged as ours and as that of one identity', async () => {
    expect(await store.publish(first, signal)).toBe('written');
    expect(Object.keys(JSON.parse((await aws.value(first.name)) ?? '{}'))).toEqual([
      'tls.crt',
      'tls.key',
      'ca.crt',
      'serial',
      'notAfter',
    ]);
    expect(await aws.tags(first.name)).toEqual({
      'managed-by': 'tabard',
      'tabard-identity': 'spiffe://cluster.local/ns/shop/svc/web',
    });
  });

  test('published again is no new version (external-secrets#6098)', async () => {
    const before = await aws.versions(first.name);
    expect(await store.publish(first, signal)).toBe('unchanged');
    expect(await aws.versions(first.name)).toBe(before);
  });

  test('keeps the one before as AWSPREVIOUS', async () => {
    expect(await store.publish(second, signal)).toBe('written');
    expect(await aws.value(first.name)).toBe(second.value);
    expect(await aws.value(first.name, 'AWSPREVIOUS')).toBe(first.value);
  });

  test('never takes the place of a secret of somebody else', async () => {
    await aws.create('mesh/shop/foreign', 'precious');
    const attempt = store.publish({ ...first, name: 'mesh/shop/foreign' }, signal);
    await expect(attempt).rejects.toMatchObject({ code: 'delivery_failed', reason: 'NotOurs' });
    expect(await aws.value('mesh/shop/foreign')).toBe('precious');
  });

  test('nor of one that Tabard keeps for another identity, of another cluster say', async () => {
    const other = { ...first, identity: 'spiffe://other.example/ns/shop/svc/web' };
    await expect(store.publish(other, signal)).rejects.toMatchObject({ reason: 'NotOurs' });
    expect(await aws.value(first.name)).toBe(second.value);
  });

  test('is refused above 64 KiB, before AWS is asked', async () => {
    const large = { ...first, name: 'mesh/shop/large', value: 'x'.repeat(65_537) };
    await expect(store.publish(large, signal)).rejects.toMatchObject({
      reason: 'TooLarge',
      message: expect.stringContaining('65537 bytes'),
    });
    expect(await aws.value('mesh/shop/large')).toBeUndefined();
  });

  test('is not brought back from a scheduled deletion', async () => {
    const item = { ...first, name: 'mesh/shop/going' };
    await store.publish(item, signal);
    await aws.delete(item.name);
    await expect(store.publish(item, signal)).rejects.toMatchObject({ reason: 'BeingDeleted' });
  });

  test('fails in words that hold nothing of the value when AWS cannot be reached', async () => {
    const away = new AwsSecrets({ region: awsRegion, endpoint: 'http://127.0.0.1:1' }, awsCredentials);
    const error: unknown = await away.publish(first, signal).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ reason: 'Failed', message: expect.stringContaining('mesh/shop/web') });
    expect(JSON.stringify([error, String(error)])).not.toContain('PRIVATE KEY');
    await away.close();
  });
});

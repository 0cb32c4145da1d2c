// Vault's own key-value engine as a sink.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../lib/clock.ts';
import { type Publishable, valueOf } from '../../../operator/delivery/sinks/sink.ts';
import { VaultKv } from '../../../operator/delivery/sinks/vaultkv.ts';
import { testAuthority, testLeaf } from '../../support/pki.ts';
import { startVault, type TestVault } from '../../support/vault.ts';

const minute = 60_000;
const signal = AbortSignal.timeout(20 * minute);
let vault: TestVault;
let token = '';
let store: VaultKv;
let item: Publishable;
let next: Publishable;

const itemOf = async (): Promise<Publishable> => {
  const leaf = await testLeaf(await testAuthority(), { service: 'web' });
  const { certificate, key, bundle: trustBundle, serial, notAfter, identity } = leaf;
  const value = valueOf({ certificate, key, trustBundle, serial, notAfter: notAfter.toISOString() });
  return { name: 'mesh/shop/web', identity, value };
};
const open = (mount = 'secret') =>
  new VaultKv(
    {
      server: vault.address,
      caBundle: vault.caBundle,
      mount,
      prefix: 'mesh',
      auth: { tokenSecretRef: { name: 'vault', key: 'token' } },
    },
    {
      clock: systemClock,
      userAgent: 'test',
      credentials: { serviceAccountToken: () => Promise.reject(new Error('none')), secretValue: () => token },
    },
  );
const stored = async (path: string) =>
  (await vault.admin('GET', path))['data'] as { readonly data: object; readonly current_version: number };

beforeAll(async () => {
  vault = await startVault();
  token = vault.rootToken;
  await vault.admin('POST', 'sys/mounts/secret', { type: 'kv', options: { version: '2' } });
  store = open();
  [item, next] = [await itemOf(), await itemOf()];
}, 20 * minute);
afterAll(async () => {
  await store?.close();
  await vault?.stop();
}, minute);

describe('a certificate in Vault', () => {
  test('is one version of five members, marked as ours', async () => {
    expect(await store.publish(item, signal)).toBe('written');
    expect((await stored('secret/data/mesh/shop/web')).data).toEqual(JSON.parse(item.value));
    expect(await stored('secret/metadata/mesh/shop/web')).toMatchObject({
      current_version: 1,
      custom_metadata: { 'managed-by': 'tabard', 'tabard-identity': item.identity },
    });
  });

  test('published again is no new version, changed it is the next one', async () => {
    expect(await store.publish(item, signal)).toBe('unchanged');
    expect(await store.publish(next, signal)).toBe('written');
    expect((await stored('secret/metadata/mesh/shop/web')).current_version).toBe(2);
    expect((await stored('secret/data/mesh/shop/web?version=1')).data).toEqual(JSON.parse(item.value));
  });

  test('never takes the place of what somebody else wrote', async () => {
    await vault.admin('POST', 'secret/data/mesh/shop/foreign', { data: { mine: 'x' } });
    const attempt = store.publish({ ...item, name: 'mesh/shop/foreign' }, signal);
    await expect(attempt).rejects.toMatchObject({ code: 'delivery_failed', reason: 'NotOurs' });
    expect((await stored('secret/data/mesh/shop/foreign')).data).toEqual({ mine: 'x' });
  });

  test('comes back as a new version when it was deleted', async () => {
    await vault.admin('DELETE', 'secret/data/mesh/shop/web');
    expect(await store.publish(next, signal)).toBe('written');
    expect((await stored('secret/data/mesh/shop/web')).data).toEqual(JSON.parse(next.value));
  });

  test('fails with what to do when the token is bad or the mount is not there', async () => {
    token = 'hvs.wrong';
    const other = open();
    await expect(other.publish(item, signal)).rejects.toMatchObject({ reason: 'Refused' });
    await other.close();
    token = vault.rootToken;
    const nowhere = open('nowhere');
    await expect(nowhere.publish(item, signal)).rejects.toMatchObject({ reason: 'Failed' });
    await nowhere.close();
    expect(() => open('../sys')).toThrow('is not a plain name');
  });
});

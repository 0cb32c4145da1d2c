// PKCS#12 files over all kinds of keys and some passwords, as Java and OpenSSL open them: the same key and the same certificates come out. That servers
// and clients use them is in test/integration/interop.
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { run, tryRun } from '../../../hack/cluster/run.ts';
import { loadAuthority } from '../../../lib/pki/ca.ts';
import { parsePrivateKey, privateKeyPem } from '../../../lib/pki/keys.ts';
import { keyStore, trustStore } from '../../../lib/pki/pkcs12.ts';
import { foreign } from '../../support/foreign.ts';
import { algorithms } from '../../support/matrix/items.ts';
import { DAY_MS, testAuthority, testLeaf } from '../../support/pki.ts';

const folder = mkdtempSync(join(tmpdir(), 'tabard-keystores-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Store {
  readonly kind: 'key' | 'trust';
  readonly path: string;
  readonly password: string;
  /** SHA-256 of what must come out, in the order of Keystores.java. */
  readonly content: readonly string[];
}

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
/** Plain ASCII: Java opens no other, and operator/delivery/passwords.ts refuses them. */
const passwords = ['changeit', 'a', 'with spaces "and" $igns', '~!@#%^&*()_+`{}|:<>?', 'x'.repeat(64), '0'];
const stores: Store[] = [];

beforeAll(async () => {
  const times = { notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + 9 * DAY_MS) };
  const root = foreign({ name: 'Root', ...times });
  const issuing = foreign({ name: 'Issuing', by: root, ...times });
  const signer = loadAuthority(issuing.certificate.toString(), privateKeyPem(issuing.key), 'cluster.local');
  const trusted = [root.certificate, new X509Certificate((await testAuthority()).certificate)];
  for (const [at, key] of algorithms.entries()) {
    const password = passwords[at] ?? 'changeit';
    const leaf = await testLeaf(signer, { key });
    const privateKey = parsePrivateKey(leaf.key);
    const chain = [new X509Certificate(leaf.certificate), issuing.certificate];
    const content = [privateKey.export({ type: 'pkcs8', format: 'der' }), ...chain.map(({ raw }) => raw)].map(digest);
    add({ kind: 'key', password, content }, await keyStore({ privateKey, chain, alias: 'web' }, password));
    const roots = trusted.map(({ raw }) => digest(raw)).sort();
    add({ kind: 'trust', password, content: roots }, await trustStore(trusted, password));
  }
}, 300_000);

function add(store: Omit<Store, 'path'>, file: Buffer): void {
  const path = join(folder, `${stores.length}.p12`);
  writeFileSync(path, file);
  stores.push({ ...store, path });
}

describe('keystores and truststores', () => {
  test('hold for Java what was put in', async () => {
    const input = stores.map(({ kind, path, password }) => `${kind}\t${path}\t${password}\n`).join('');
    const program = join(import.meta.dirname, '../../support/matrix/Keystores.java');
    const said = await run('java', [program], { input, timeoutMs: 240_000 });
    expect(said.trimEnd().split('\n')).toEqual(stores.map(({ content }) => content.join(' ')));
  }, 300_000);

  test('hold for OpenSSL what was put in, and nothing without the password', async () => {
    for (const { kind, path, password, content } of stores) {
      const args = ['pkcs12', '-in', path, '-nodes', '-passin'];
      const { stdout } = await tryRun('openssl', [...args, 'stdin'], { input: `${password}\n` });
      const certificates = stdout.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
      const found = certificates.map((pem) => digest(new X509Certificate(pem).raw));
      expect(found.sort()).toEqual([...(kind === 'key' ? content.slice(1) : content)].sort());
      const key = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/.exec(stdout)?.[0];
      expect(key === undefined).toBe(kind === 'trust');
      if (key !== undefined) {
        expect(digest(parsePrivateKey(key).export({ type: 'pkcs8', format: 'der' }))).toBe(content[0]);
      }
      expect((await tryRun('openssl', [...args, 'stdin'], { input: 'another\n' })).code).not.toBe(0);
    }
  }, 120_000);
});

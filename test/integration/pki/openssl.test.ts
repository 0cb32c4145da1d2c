// Our certificates as OpenSSL sees them: strict verification for every kind of key, name constraints that hold, and the
// text of the profile. Needs the `openssl` program (Debian package openssl).
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { KeyAlgorithm } from '../../../lib/api/tlspolicy.ts';
import type { Authority } from '../../../lib/pki/ca.ts';
import { type LeafOptions, type TestLeaf, testAuthority, testLeaf } from '../../support/pki.ts';

const folder = mkdtempSync(join(tmpdir(), 'tabard-openssl-'));
const file = (name: string, content: string): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

const algorithms: readonly KeyAlgorithm[] = ['ECDSA-P256', 'ECDSA-P384', 'RSA-2048', 'RSA-3072', 'RSA-4096', 'Ed25519'];
const names: LeafOptions = {
  dnsNames: ['web', 'web.shop', 'web.shop.svc', 'web.shop.svc.cluster.local', '*.web.shop.svc.cluster.local'],
  ipAddresses: ['10.0.0.1', 'fd00::1'],
};

function verify(
  bundle: string,
  leaf: string,
  ...options: readonly string[]
): { readonly status: number | null; readonly text: string } {
  const args = [
    'verify',
    '-x509_strict',
    '-check_ss_sig',
    ...options,
    '-CAfile',
    file('ca.pem', bundle),
    file('leaf.pem', leaf),
  ];
  const { status, stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
  return { status, text: stdout + stderr };
}

function text(pem: string): string {
  return execFileSync('openssl', ['x509', '-noout', '-text'], { input: pem, encoding: 'utf8' });
}

beforeAll(() => {
  if (spawnSync('openssl', ['version']).status !== 0) {
    throw new Error('the program "openssl" is not on the path; install the Debian package openssl');
  }
});

afterAll(() => rmSync(folder, { recursive: true }));

describe('openssl verify -x509_strict', () => {
  test.each(algorithms)(
    'accepts a leaf with a %s key, as server and as client',
    async (key) => {
      const authority = await testAuthority();
      const leaf = await testLeaf(authority, { ...names, key });
      for (const purpose of ['sslserver', 'sslclient']) {
        expect(verify(authority.certificate, leaf.certificate, '-purpose', purpose)).toMatchObject({ status: 0 });
      }
    },
    60_000,
  );

  test.each(algorithms)(
    'accepts a CA with a %s key',
    async (key) => {
      const authority = await testAuthority({ key });
      const leaf = await testLeaf(authority, names);
      expect(verify(authority.certificate, leaf.certificate)).toMatchObject({ status: 0 });
    },
    60_000,
  );

  test('finds each leaf its CA among two generations, in either order', async () => {
    const generations = [await testAuthority(), await testAuthority()];
    const bundles = [generations, [...generations].reverse()].map((set) => set.map((ca) => ca.certificate).join(''));
    for (const authority of generations) {
      const leaf = await testLeaf(authority, names);
      for (const bundle of bundles) expect(verify(bundle, leaf.certificate)).toMatchObject({ status: 0 });
    }
  });

  test('refuses an identity of another trust domain: the name constraint of the CA holds', async () => {
    const authority = await testAuthority();
    const stray: TestLeaf = await testLeaf({ ...authority, trustDomain: 'other.example' }, names);
    const { status, text: said } = verify(authority.certificate, stray.certificate);
    expect(status).not.toBe(0);
    expect(said).toContain('permitted subtree violation');
  });

  test('refuses a leaf of another CA', async () => {
    const [one, two] = [await testAuthority(), await testAuthority()];
    const leaf = await testLeaf(two, names);
    expect(verify(one.certificate, leaf.certificate).status).not.toBe(0);
  });

  test('matches the names that clients ask for, and no others', async () => {
    const authority = await testAuthority();
    const leaf = await testLeaf(authority, names);
    const host = (name: string): number | null =>
      verify(authority.certificate, leaf.certificate, '-verify_hostname', name).status;
    expect(host('web')).toBe(0);
    expect(host('web.shop.svc.cluster.local')).toBe(0);
    expect(host('web-0.web.shop.svc.cluster.local')).toBe(0);
    expect(host('api.shop.svc.cluster.local')).not.toBe(0);
    expect(host('a.b.web.shop.svc.cluster.local')).not.toBe(0);
  });
});

describe('the profile', () => {
  let authority: Authority;
  beforeAll(async () => {
    authority = await testAuthority();
  });

  test('of the CA', () => {
    const shown = text(authority.certificate);
    expect(shown).toContain('Version: 3 (0x2)');
    expect(shown).toMatch(/Basic Constraints: critical\s+CA:TRUE, pathlen:0\n/);
    expect(shown).toMatch(/Key Usage: critical\s+Certificate Sign, CRL Sign\n/);
    expect(shown).toMatch(/Name Constraints: critical\s+Permitted:\s+URI:cluster\.local\n/);
    expect(shown).toMatch(/Subject Key Identifier: \n/);
    expect(shown).toMatch(/Authority Key Identifier: \n/);
  });

  test.each<[KeyAlgorithm, string]>([
    ['ECDSA-P256', 'Digital Signature'],
    ['Ed25519', 'Digital Signature'],
    ['RSA-2048', 'Digital Signature, Key Encipherment'],
  ])('of a leaf with a %s key', async (key, usage) => {
    const shown = text((await testLeaf(authority, { ...names, key })).certificate);
    expect(shown).toContain('Version: 3 (0x2)');
    expect(shown).toMatch(/Subject: *\n/);
    expect(shown).toMatch(
      /Subject Alternative Name: critical\s+URI:spiffe:\/\/cluster\.local\/ns\/shop\/svc\/web, DNS:web,/,
    );
    expect(shown).toContain('IP Address:10.0.0.1, IP Address:FD00:0:0:0:0:0:0:1');
    expect(shown).toMatch(new RegExp(`Key Usage: critical\\s+${usage}\\n`));
    expect(shown).toMatch(/Extended Key Usage: \n\s+TLS Web Server Authentication, TLS Web Client Authentication\n/);
    expect(shown).toMatch(/Basic Constraints: critical\s+CA:FALSE\n/);
    expect(shown).toContain('Signature Algorithm: ecdsa-with-SHA256');
    expect(shown.match(/X509v3 [A-Z][A-Za-z ]+:/g)).toHaveLength(6);
  });

  test('has no serial twice in a thousand leaves, each of 128 bits', async () => {
    const serials = new Set<string>();
    for (let count = 0; count < 1_000; count += 1) serials.add((await testLeaf(authority)).serial);
    expect(serials.size).toBe(1_000);
    expect([...serials].every((serial) => /^[0-9A-F]{32}$/.test(serial))).toBe(true);
  }, 30_000);
});

// Our certificates as zlint sees them: every rule of the RFCs and of common sense (source Community). The rules of the public
// web's CAs (CA/Browser Forum and browsers) are left out: they ask for public names, logs and policies that a mesh has not.
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { toolPath } from '../../../hack/cluster/api.ts';
import { tryRun } from '../../../hack/cluster/run.ts';
import type { KeyAlgorithm } from '../../../lib/api/tlspolicy.ts';
import { generateKey } from '../../../lib/pki/keys.ts';
import { emptyName } from '../../../lib/pki/names.ts';
import { keyIdOf, signCertificate } from '../../../lib/pki/x509.ts';
import { testAuthority, testLeaf } from '../../support/pki.ts';

const sources = ['RFC5280', 'RFC5480', 'RFC5891', 'RFC6962', 'RFC8813', 'Community'];
const folder = mkdtempSync(join(tmpdir(), 'tabard-zlint-'));
let zlint: string;

beforeAll(async () => {
  zlint = await toolPath('zlint');
}, 600_000);

afterAll(() => rmSync(folder, { recursive: true }));

interface Verdict {
  /** Rules that applied and held. */
  readonly passed: number;
  /** Rules that found something, with what they said of it. */
  readonly found: readonly string[];
}

async function lint(pem: string): Promise<Verdict> {
  const file = join(folder, 'certificate.pem');
  writeFileSync(file, pem);
  const { code, stdout, stderr } = await tryRun(zlint, ['-includeSources', sources.join(','), file], {
    timeoutMs: 30_000,
  });
  if (code !== 0) throw new Error(`zlint ended with ${code}: ${stderr}`);
  const results = Object.entries(JSON.parse(stdout) as Record<string, { readonly result: string }>);
  const bad = results.filter(([, { result }]) => ['warn', 'error', 'fatal'].includes(result));
  return {
    passed: results.filter(([, { result }]) => result === 'pass').length,
    found: bad.map(([rule, { result }]) => `${rule}: ${result}`),
  };
}

describe('zlint', () => {
  test.each<KeyAlgorithm>(['ECDSA-P256', 'ECDSA-P384', 'RSA-2048', 'Ed25519'])(
    'finds nothing in a CA and a leaf with %s keys',
    async (key) => {
      const authority = await testAuthority({ key });
      const dnsNames = [
        'web',
        'web.shop',
        'web.shop.svc',
        'web.shop.svc.cluster.local',
        '*.web.shop.svc.cluster.local',
      ];
      const leaf = await testLeaf(authority, { key, dnsNames, ipAddresses: ['10.0.0.1', 'fd00::1'] });
      for (const pem of [authority.certificate, leaf.certificate]) {
        const { passed, found } = await lint(pem);
        expect(found).toEqual([]);
        expect(passed).toBeGreaterThan(45);
      }
    },
  );

  test('finds an empty label in a DNS name, which the checks of our CA refuse', async () => {
    const authority = await testAuthority();
    const { publicKey } = await generateKey('ECDSA-P256');
    const der = signCertificate(
      {
        serial: Buffer.of(1),
        issuerName: authority.name,
        subjectName: emptyName,
        notBefore: authority.notBefore,
        notAfter: authority.notAfter,
        publicKey,
        subjectKeyId: keyIdOf(publicKey),
        authorityKeyId: Buffer.from(authority.keyId, 'hex'),
        role: { kind: 'leaf', uris: [], dnsNames: ['a..b'], ipAddresses: [], usages: ['serverAuth'] },
      },
      authority.privateKey,
    );
    const { found } = await lint(new X509Certificate(der).toString());
    expect(found).not.toEqual([]);
  });
});

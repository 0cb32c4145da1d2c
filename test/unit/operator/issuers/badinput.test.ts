// Bad input, everywhere that PEM comes from somebody else: what ACME servers, Vault and signers of the CSR API answer, what lies in the files and the Secret of an
// edge certificate, roots in a TLSIssuer or a ConfigMap, the CAs by which servers are verified, lists of revoked certificates. (Certificates of the
// mesh and Secrets of CAs: lib/pki/badinput.test.ts and issuers/ca/offer.test.ts.) What is wrong is said, and nothing of a key is repeated.
import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import type { TLSIssuer } from '../../../../lib/api/tlsissuer.ts';
import { messageOf } from '../../../../lib/errors.ts';
import { extension, sequence, tagged } from '../../../../lib/pki/asn1.ts';
import { loadAuthority } from '../../../../lib/pki/ca.ts';
import { crlPem, signCrl } from '../../../../lib/pki/crl.ts';
import { privateKeyPem } from '../../../../lib/pki/keys.ts';
import { extensionIds } from '../../../../lib/pki/names.ts';
import { currentEdge, edgeSecretInput } from '../../../../operator/certificates/edge/secret.ts';
import { judgeChain } from '../../../../operator/issuers/acme/chain.ts';
import { GivenAuthorities } from '../../../../operator/issuers/csr/authorities.ts';
import { HttpsClient } from '../../../../operator/issuers/https.ts';
import { judgeLeaf } from '../../../../operator/issuers/judge.ts';
import { judgeImport } from '../../../../operator/revocation/imports/judge.ts';
import { ExternalRoots } from '../../../../operator/trust/roots.ts';
import { judgeEdge } from '../../../../sidecar/edge/certificate.ts';
import { TestClock } from '../../../support/clock.ts';
import { type Foreign, foreign } from '../../../support/foreign.ts';
import { DAY_MS, testLeaf } from '../../../support/pki.ts';

const now = new Date('2026-11-22T12:00:00Z');
const later = (ms: number): Date => new Date(now.getTime() + ms);
const times = { notBefore: later(-DAY_MS), notAfter: later(10 * DAY_MS) };

const root = foreign({ name: 'Root', ...times });
const issuing = foreign({ name: 'Issuing', by: root, ...times });
const stranger = foreign({ name: 'Stranger', ...times });
const signer = loadAuthority(issuing.certificate.toString(), privateKeyPem(issuing.key), 'cluster.local');
const lifetimeMs = DAY_MS;
const member = await testLeaf(signer, { now, lifetimeMs });
const dnsNames = ['web', 'web.shop', 'web.shop.svc'];
const name = extension(extensionIds.alternativeNames, false, sequence(tagged(2, 'shop.example.com')));
const edge = foreign({ name: 'Edge', by: issuing, ca: false, ...times, extensions: [name] });

const pem = (...all: readonly Foreign[]): string => all.map(({ certificate }) => certificate.toString()).join('');
/** What is left of bytes that are no UTF-8, read as a file or a Secret is read. */
const asText = (bytes: Buffer): string => bytes.toString('utf8');
const der = (text: string): string => asText(new X509Certificate(text).raw);

/** What is done to a good text. `key` belongs to its first certificate. */
type Spoil = (good: string, key: string) => string;
const spoils = {
  'nothing at all': () => '',
  garbage: () => '<html>502 Bad Gateway</html>',
  DER: der,
  'UTF-16': (good) => asText(Buffer.from(good, 'utf16le')),
  'a text cut short': (good) => good.slice(0, 300),
  'a block of another kind in it': (good, key) => good + key,
  'five megabytes': (good) => good.repeat(Math.ceil(5_000_000 / good.length)),
  'a byte order mark': (good) => `\uFEFF${good}`,
  'Windows line ends': (good) => good.replaceAll('\n', '\r\n'),
  'words around the blocks': (good) => `made by hand\n${good}the end\n`,
} as const satisfies Readonly<Record<string, Spoil>>;
type Case = keyof typeof spoils;

/** What is said of each, unless a reader says something else. `taken`: it does no harm, since what is used is written anew. */
const said: Readonly<Record<Case, RegExp | 'taken'>> = {
  'nothing at all': /is empty/,
  garbage: /holds no PEM block/,
  DER: /is DER, not PEM/,
  'UTF-16': /UTF-16 or binary/,
  'a text cut short': /cut short/,
  'a block of another kind in it': /private key among the certificates/,
  'five megabytes': /at most 330000/,
  'a byte order mark': 'taken',
  'Windows line ends': 'taken',
  'words around the blocks': 'taken',
};
/** Of who uses the text as it is. */
const strictly: typeof said = {
  ...said,
  'nothing at all': /is empty|no PEM/,
  'a block of another kind in it': /"PRIVATE KEY" that does not belong there/,
  'five megabytes': /at most 100000/,
  'a byte order mark': /byte order mark/,
  'Windows line ends': /dos2unix/,
};

/** Somebody who reads PEM: why a text is refused, undefined when it is taken. */
interface Reader {
  readonly good: string;
  readonly key: string;
  readonly says: typeof said;
  readonly read: (text: string, at?: Date) => string | undefined | Promise<string | undefined>;
}

function refusalOf(read: () => unknown): string | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

const keyPem = privateKeyPem(edge.key);
const order = {
  publicKey: new X509Certificate(member.certificate).publicKey,
  identity: { trustDomain: 'cluster.local', namespace: 'shop', service: 'web' },
  dnsNames,
  lifetimeMs,
};

function edgeSecretWith(certificate: string): string | undefined {
  const leaf = { chain: certificate, serial: '01', ...times };
  const { metadata, ...rest } = edgeSecretInput({
    namespace: 'shop',
    service: 'web',
    issuer: 'acme',
    leaf,
    keyPem,
    owners: [],
  });
  const stored = { uid: 'u', resourceVersion: '1', creationTimestamp: '' };
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { ...metadata, ...stored }, ...rest };
  const current = currentEdge(secret);
  return current.kind === 'broken' ? current.detail : undefined;
}

function rootsWith(text: string, from: 'pem' | 'configMap', at = now): string | undefined {
  const given = from === 'pem' ? { pem: text } : { configMapRef: { name: 'roots', key: 'ca.crt' } };
  const issuer: TLSIssuer = {
    apiVersion: 'tabard.dev/v1alpha1',
    kind: 'TLSIssuer',
    metadata: { name: 'a', uid: 'a', resourceVersion: '1', creationTimestamp: '' },
    spec: { selfSigned: {}, trust: { roots: [{ name: 'r', ...given }] } },
  };
  const request = { issuers: [issuer], text: () => text, mesh: [], trustDomain: 'cluster.local', now: at };
  return new ExternalRoots().read(request).faults.get('a')?.join();
}

async function serverTrusts(trust: string): Promise<string | undefined> {
  const client = new HttpsClient({ clock: new TestClock(), userAgent: 'x', trust, timeoutMs: 1_000, maximumBytes: 1 });
  const stopped = AbortSignal.abort(new Error('asked'));
  const url = new URL('https://127.0.0.1:1/');
  const failure = await client.send({ method: 'GET', url }, stopped).then(() => 'answered', messageOf);
  return failure === 'asked' ? undefined : failure;
}

const certificates: Readonly<Record<string, Reader>> = {
  'what an ACME server sent': {
    good: pem(edge, issuing),
    key: keyPem,
    says: said,
    read: (text, at = now) =>
      refusalOf(() => judgeChain(text, { key: edge.key, dnsNames: ['shop.example.com'], now: at })),
  },
  'what Vault or a signer of the CSR API sent': {
    good: member.certificate + pem(issuing),
    key: member.key,
    says: said,
    read: (text, at = now) =>
      refusalOf(() =>
        judgeLeaf({
          pem: text,
          order: { ...order, now: at },
          intermediates: [],
          anchors: [root.certificate],
          now: at,
        }),
      ),
  },
  'the files of an edge certificate': {
    good: pem(edge, issuing),
    key: keyPem,
    says: strictly,
    read: (text, at = now) => {
      const verdict = judgeEdge(text, keyPem, at);
      return verdict.good ? undefined : verdict.detail;
    },
  },
  'the Secret of an edge certificate': {
    good: pem(edge, issuing),
    key: keyPem,
    says: strictly,
    read: edgeSecretWith,
  },
};

const authorities: Readonly<Record<string, Reader>> = {
  'roots in a TLSIssuer': {
    good: pem(root),
    key: privateKeyPem(root.key),
    says: said,
    read: (text, at) => rootsWith(text, 'pem', at),
  },
  'roots in a ConfigMap': {
    good: pem(root),
    key: privateKeyPem(root.key),
    says: said,
    read: (text, at) => rootsWith(text, 'configMap', at),
  },
  'the CAs of a signer of the CSR API': {
    good: pem(root),
    key: privateKeyPem(root.key),
    says: said,
    read: (text) => refusalOf(() => new GivenAuthorities('a', Buffer.from(text).toString('base64'))),
  },
  'the CAs by which a server is verified': {
    good: pem(root),
    key: privateKeyPem(root.key),
    says: said,
    read: serverTrusts,
  },
};

describe.each(Object.entries({ ...certificates, ...authorities }))('%s', (_, { good, key, says, read }) => {
  test('is taken when it is good', async () => {
    expect(await read(good)).toBeUndefined();
  });

  test.each(Object.entries(says) as readonly (readonly [Case, RegExp | 'taken'])[])(
    'with %s',
    async (spoil, wanted) => {
      const refusal = await read(spoils[spoil](good, key));
      if (wanted === 'taken') return expect(refusal).toBeUndefined();
      expect(refusal).toMatch(wanted);
      expect(refusal).not.toContain(key.slice(40, 60));
    },
  );
});

describe.each(Object.entries(certificates))('%s', (which, { good, read }) => {
  test.each([
    ['the chain in the wrong order', pem(issuing) + good.slice(0, good.length - pem(issuing).length)],
    ['a certificate that has no part in it', good.slice(0, good.length - pem(issuing).length) + pem(stranger, issuing)],
    ['the certificate of another key', pem(foreign({ name: 'Other', by: issuing, ca: false, ...times }), issuing)],
  ])('with %s', async (spoil, text) => {
    // Vault names its CAs in whatever order; what leads to a root is found among them and written in order.
    const isSorted = which.includes('Vault') && spoil.includes('no part');
    expect(await read(text)).toEqual(isSorted ? undefined : expect.stringMatching(/key|chain|signed by|first/));
  });

  test('is looked at in its time', async () => {
    // What lies in a Secret is renewed by its dates, which planning looks at.
    const isDated = !which.includes('Secret');
    expect(await read(good, later(20 * DAY_MS))).toEqual(isDated ? expect.stringMatching(/expired/) : undefined);
    expect(await read(good, later(-2 * DAY_MS))).toEqual(
      isDated ? expect.stringMatching(/valid only from/) : undefined,
    );
  });
});

describe('a root', () => {
  test('that has expired is refused; one that is not valid yet is spread before its time', async () => {
    const { read, good } = authorities['roots in a TLSIssuer'] ?? { read: () => '', good: '' };
    expect(await read(good, later(20 * DAY_MS))).toMatch(/expired at/);
    expect(await read(good, later(-2 * DAY_MS))).toBeUndefined();
  });

  test('that is no CA is refused', async () => {
    for (const [which, { read }] of Object.entries(authorities)) {
      const refusal = await read(pem(edge));
      // A server may be known by its own certificate.
      expect([which, refusal]).toEqual([which, which.includes('server') ? undefined : expect.stringMatching(/CA/)]);
    }
  });
});

describe('a list of revoked certificates', () => {
  const revoked = (serial: string): Buffer => {
    const issuer = { issuerName: signer.name, authorityKeyId: Buffer.from(signer.keyId, 'hex') };
    const entries = [{ serial, revokedAt: now, reason: 'keyCompromise' as const }];
    const times = { thisUpdate: now, nextUpdate: later(DAY_MS) };
    return signCrl({ ...issuer, number: 1, ...times, entries }, issuing.key);
  };
  const list = crlPem(revoked('0A'));
  const judge = (text: string) => {
    const found = Buffer.from(text);
    return judgeImport({ found, authorities: [issuing.certificate], last: undefined, now });
  };

  test.each<[string, string]>([
    ['as it is', list],
    ['with Windows line ends', list.replaceAll('\n', '\r\n')],
    ['with a byte order mark', `\uFEFF${list}`],
  ])('is taken %s', (_, text) => expect(judge(text)).toMatchObject({ ok: true, list: { serials: ['A'] } }));

  test.each<[string, string, string, RegExp]>([
    ['with another list after it (nodejs/node#65576)', list + crlPem(revoked('0B')), 'CrlUnreadable', /2 PEM blocks/],
    ['with a certificate before it', pem(issuing) + list, 'CrlUnreadable', /2 PEM blocks/],
    ['with a key beside it', list + keyPem, 'CrlUnreadable', /PRIVATE KEY/],
    ['in UTF-16', asText(Buffer.from(list, 'utf16le')), 'CrlUnreadable', /neither DER nor PEM/],
    ['of five megabytes', list.repeat(Math.ceil(5_000_000 / list.length)), 'CrlTooLarge', /at most 1 MiB/],
  ])('is refused %s', (_, text, fault, message) => {
    expect(judge(text)).toMatchObject({ ok: false, fault, message: expect.stringMatching(message) });
    expect(JSON.stringify(judge(text))).not.toContain(keyPem.slice(40, 60));
  });
});

// Our certificates in real TLS handshakes of Node, as sidecars and foreign clients make them: both sides authorized, the
// name constraint of the CA enforced, old and new CA together in a bundle.
import { once } from 'node:events';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { describe, expect, test } from '@jest/globals';
import type { KeyAlgorithm } from '../../../lib/api/tlspolicy.ts';
import { loadAuthority } from '../../../lib/pki/ca.ts';
import { identityOf } from '../../../lib/pki/identity.ts';
import { privateKeyPem } from '../../../lib/pki/keys.ts';
import { foreign } from '../../support/foreign.ts';
import { DAY_MS, type TestLeaf, testAuthority, testLeaf } from '../../support/pki.ts';

interface Sides {
  readonly server: TestLeaf;
  readonly client: TestLeaf;
  /** PEM that both sides trust. */
  readonly bundle: string;
  readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3';
}

/** What each side knows of the other after the handshake, or the client's error. */
async function handshake({ server, client, bundle, maxVersion = 'TLSv1.3' }: Sides): Promise<string> {
  const shared = { ca: bundle, minVersion: 'TLSv1.2', maxVersion } as const;
  const listener = createServer({
    ...shared,
    cert: server.certificate,
    key: server.key,
    requestCert: true,
    rejectUnauthorized: true,
  });
  listener.on('secureConnection', (socket: TLSSocket) => {
    socket.end(`${socket.authorized} ${identityOf(socket.getPeerX509Certificate() ?? none)}`);
  });
  const refused = once(listener, 'tlsClientError').then(([error]) => `server: ${String(error)}`);
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const socket = connect({
    ...shared,
    host: '127.0.0.1',
    port,
    cert: client.certificate,
    key: client.key,
    servername: 'web.shop.svc',
  });
  const answer = once(socket.setEncoding('utf8'), 'data').then(
    ([seen]) => `${String(seen)} / ${socket.authorized} ${identityOf(socket.getPeerX509Certificate() ?? none)}`,
    (error: unknown) => `client: ${String(error)}`,
  );
  try {
    return await Promise.race([answer, refused]);
  } finally {
    socket.destroy();
    listener.close();
  }
}

const none = { subjectAltName: undefined };

const web = 'spiffe://cluster.local/ns/shop/svc/web';
const api = 'spiffe://cluster.local/ns/shop/svc/api';
const good = `true ${api} / true ${web}`;

describe('handshakes with our certificates', () => {
  test.each<[KeyAlgorithm, 'TLSv1.2' | 'TLSv1.3']>([
    ['ECDSA-P256', 'TLSv1.3'],
    ['ECDSA-P256', 'TLSv1.2'],
    ['ECDSA-P384', 'TLSv1.3'],
    ['RSA-2048', 'TLSv1.3'],
    ['RSA-2048', 'TLSv1.2'],
    ['Ed25519', 'TLSv1.3'],
  ])('%s keys in %s: both sides are authorized and know each other', async (key, maxVersion) => {
    const authority = await testAuthority();
    const server = await testLeaf(authority, { key });
    const client = await testLeaf(authority, { key, service: 'api' });
    expect(await handshake({ server, client, bundle: authority.certificate, maxVersion })).toBe(good);
  });

  test('two CAs in one bundle, in any order, and leaves of either', async () => {
    const [old, fresh] = [await testAuthority(), await testAuthority()];
    for (const bundle of [old.certificate + fresh.certificate, fresh.certificate + old.certificate]) {
      for (const [a, b] of [
        [old, fresh],
        [fresh, old],
        [old, old],
        [fresh, fresh],
      ] as const) {
        const [server, client] = [await testLeaf(a), await testLeaf(b, { service: 'api' })];
        expect(await handshake({ server, client, bundle })).toBe(good);
      }
    }
  });

  test('a leaf of another trust domain is refused by the name constraint, although the CA signed it', async () => {
    const authority = await testAuthority();
    const stray = await testLeaf({ ...authority, trustDomain: 'other.example' });
    const client = await testLeaf(authority, { service: 'api' });
    const outcome = await handshake({ server: stray, client, bundle: authority.certificate });
    expect(outcome).toMatch(/^client: .*permitted subtree violation/);
  });

  test('a leaf of a CA that is not trusted is refused', async () => {
    const [one, two] = [await testAuthority(), await testAuthority()];
    const [server, client] = [await testLeaf(one), await testLeaf(two, { service: 'api' })];
    const outcome = await handshake({ server, client, bundle: one.certificate });
    // Node ends such a connection before its server says why; a sidecar asks for the reason itself.
    expect(outcome).toMatch(/^server: .*socket hang up/);
  });

  test('CAs below a root are trusted by the root alone: with just themselves in the bundle, nobody is', async () => {
    const times = { notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + DAY_MS) };
    const root = foreign({ name: 'Root', ...times });
    const issuing = foreign({ name: 'Issuing', by: root, ...times });
    const [top, middle] = [root.certificate.toString(), issuing.certificate.toString()];
    const authority = loadAuthority(middle, privateKeyPem(issuing.key), 'cluster.local');
    const [server, client] = [await testLeaf(authority), await testLeaf(authority, { service: 'api' })];
    const shown = (leaf: TestLeaf): TestLeaf => ({ ...leaf, certificate: leaf.certificate + middle });
    expect(await handshake({ server: shown(server), client: shown(client), bundle: top })).toBe(good);
    expect(await handshake({ server, client, bundle: top + middle })).toBe(good);
    // chainVerdict says the same (test/unit/lib/pki/verify.test.ts).
    expect(await handshake({ server: shown(server), client: shown(client), bundle: middle })).not.toBe(good);
  });
});

// Clients of other trust domains at a pod, over real TLS: who is let in, who cannot pretend to be somebody else, in full handshakes and
// resumed sessions alike, and what becomes of live connections when a domain is no longer federated.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { formatCertificates } from '../../../lib/pki/bundle.ts';
import { otherAuthority, otherLeaf } from '../../support/federation.ts';
import type { Foreign } from '../../support/foreign.ts';
import type { TestLeaf } from '../../support/pki.ts';
import { ask, carried, client, Mesh, type Pod, received, refusals, until } from '../../support/pocketmesh.ts';

const account = 'spiffe://istio.example/ns/shop/sa/web';
const ours = 'spiffe://cluster.local/ns/shop/svc/batch';
let mesh: Mesh;
let api: Pod;
let istio: Foreign;
let issuing: Foreign;
let partner: Foreign;

const federated = (): readonly { readonly trustDomain: string; readonly bundle: string }[] => [
  { trustDomain: 'istio.example', bundle: formatCertificates([istio.certificate]) },
  { trustDomain: 'partner.example', bundle: formatCertificates([partner.certificate]) },
];

beforeAll(async () => {
  mesh = await Mesh.start();
  istio = otherAuthority('istio root');
  issuing = otherAuthority('istio issuing', istio);
  partner = otherAuthority('partner root');
  api = await mesh.pod('api', { self: { federated: federated(), tls: { minVersion: '1.2' } } });
});
afterAll(() => mesh.end());

/** Talks TLS to the pod; what came back, and the refusal in the pod's log if there is a new one. */
async function attempt(leaf: TestLeaf, options = {}) {
  const before = refusals(api).length;
  const secure = client(api.knock(), leaf, options);
  const handshake = { resumed: false };
  secure.once('secureConnect', () => {
    handshake.resumed = secure.isSessionReused();
    secure.end('hello');
  });
  const { text } = await received(secure);
  if (text === '') await until(() => refusals(api).length > before, 'a refusal in the log', 20_000);
  return { text, reason: refusals(api).slice(before).at(-1)?.['reason'], ...handshake };
}

describe('a client of a federated domain', () => {
  test.each(['TLSv1.3', 'TLSv1.2'] as const)('is served over %s, and logged as who it is', async (version) => {
    const leaf = otherLeaf(issuing, [account], { sends: [issuing] });
    const { text } = await attempt(leaf, { minVersion: version, maxVersion: version });
    expect(text).toBe('hello');
    await until(() => carried(api).some(({ peerSerial }) => peerSerial === leaf.serial), 'it is logged', 20_000);
    expect(carried(api).find(({ peerSerial }) => peerSerial === leaf.serial)).toMatchObject({ peer: account });
  });

  test.each<[string, () => TestLeaf, string]>([
    ['an identity of ours', () => otherLeaf(istio, [ours]), 'unknown_ca'],
    [
      'an identity of ours below its intermediate',
      () => otherLeaf(issuing, [ours], { sends: [issuing] }),
      'unknown_ca',
    ],
    ['an identity of another federated domain', () => otherLeaf(partner, [account]), 'unknown_ca'],
    ['an identity of a domain that is not federated', () => otherLeaf(istio, ['spiffe://x.example/a']), 'unknown_ca'],
    ['two identities', () => otherLeaf(istio, [account, ours]), 'unknown_ca'],
    ['none', () => otherLeaf(istio, []), 'unknown_ca'],
  ])('is refused with %s', async (_, leaf, reason) => {
    const seen = api.seen();
    expect(await attempt(leaf())).toMatchObject({ text: '', reason });
    expect(api.seen()).toBe(seen);
  });

  test.each(['TLSv1.3', 'TLSv1.2'] as const)('is served on a resumed session over %s', async (version) => {
    const leaf = otherLeaf(issuing, [account], { sends: [issuing] });
    const versions = { minVersion: version, maxVersion: version };
    const first = client(api.knock(), leaf, versions);
    const [session] = (await once(first, 'session')) as [Buffer];
    expect(await ask(first, 'hi')).toBe('hi');
    expect(await attempt(leaf, { ...versions, session })).toMatchObject({ text: 'hello', resumed: true });
  });
});

describe('a pod', () => {
  test('does not speak to a server of a federated domain, whatever identity it shows', async () => {
    const web = await mesh.pod('web', { self: { federated: federated() } });
    for (const identity of [account, ours]) {
      const leaf = otherLeaf(istio, [identity]);
      const got: string[] = [];
      const server = createServer(
        {
          cert: leaf.certificate,
          key: leaf.key,
          requestCert: true,
          rejectUnauthorized: false,
          ALPNProtocols: ['tabard-tcp/1'],
        },
        (socket) => socket.on('data', (data: Buffer) => got.push(data.toString())).on('error', () => undefined),
      );
      server.on('tlsClientError', () => undefined);
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      mesh.onEnd(() => server.close());
      const { port } = server.address() as AddressInfo;
      mesh.control.setDestination('127.0.0.1:7777', {
        known: true,
        serverName: 'batch.shop.svc.cluster.local',
        endpoints: [{ address: '127.0.0.1', port, transport: 'mutual', identity }],
      });
      expect(await ask(web.dial(7777), 'secret')).toBe('');
      expect(got).toEqual([]);
    }
    expect(refusals(web).map(({ reason }) => reason)).toContain('unknown_ca');
  });

  test('cuts live connections of a domain that is federated no longer, resumes none of its sessions, and keeps the others', async () => {
    const [gone, stays] = [otherLeaf(istio, [account]), otherLeaf(partner, ['spiffe://partner.example/ns/a/sa/b'])];
    const [cut, kept] = [client(api.knock(), gone), client(api.knock(), stays)];
    const [session] = (await once(cut, 'session')) as [Buffer];
    for (const socket of [cut, kept]) {
      socket.write('x');
      await once(socket, 'data');
    }
    const closed = new Promise((resolve) => cut.once('close', resolve));
    mesh.tell('api', { federated: federated().slice(1), tls: { minVersion: '1.2' } });
    await closed;
    expect(await attempt(gone, { session })).toMatchObject({ text: '', reason: 'unknown_ca', resumed: false });
    expect(await ask(kept, 'y')).toBe('y');
    mesh.tell('api', { federated: federated(), tls: { minVersion: '1.2' } });
    await until(
      () => api.lines.filter(({ msg }) => msg === 'policy in use').length >= 3,
      'the policy with both domains is in use',
      20_000,
    );
    expect(await attempt(gone)).toMatchObject({ text: 'hello' });
  });
});

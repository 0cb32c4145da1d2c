// The control API with real TLS and HTTP/2 sockets on loopback: who is let in, and what they are told.
import { setTimeout } from 'node:timers/promises';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { StatusReport } from '../../lib/api/control.ts';
import { ControlBench, type ControlBenchOptions, type ControlTestClient } from '../support/controlbench.ts';
import { pod, service, slice } from '../support/meshbench.ts';
import { testAuthority, testLeaf } from '../support/pki.ts';

let bench: ControlBench;

async function start(options: ControlBenchOptions = {}): Promise<ControlBench> {
  bench = await ControlBench.start(options);
  bench.bench.apply(web1, api1, api, apiSlice('10.0.0.1'));
  return bench;
}

afterEach(() => bench.stop());

const web1 = pod({ name: 'web-1', ips: ['127.0.0.1'] });
const api1 = pod({ name: 'api-1', ips: ['10.0.0.1'] });
const api = service({ name: 'api', ips: ['10.96.0.1'] });
const apiSlice = (...ips: readonly string[]) =>
  slice({ name: 'api-x', of: 'api', endpoints: ips.map((ip, index) => ({ ip, pod: `api-${index + 1}` })) });

/** The connection is closed by the server before an answer comes. */
async function refusedAtTheDoor(client: ControlTestClient): Promise<void> {
  const follower = client.get('/v1/self');
  await client.closed();
  expect(follower.messages).toEqual([]);
}

describe('who is let in', () => {
  test('a sidecar with a certificate of its service, calling from its pod, is told what holds for it', async () => {
    const { authority } = await start();
    const client = await bench.client();
    const follower = await client.get('/v1/self').until(({ messages }) => messages.length > 0);
    expect(follower.last).toMatchObject({
      trustDomain: 'cluster.local',
      namespace: 'shop',
      service: 'web',
      identity: 'spiffe://cluster.local/ns/shop/svc/web',
      policy: { mode: 'Mutual', source: 'defaults' },
      trustBundle: authority.certificate,
      clusterRanges: ['127.0.0.0/8'],
    });
    expect(client.socket.getProtocol()).toBe('TLSv1.3');
  });

  test('also over IPv6', async () => {
    await start();
    bench.bench.apply(pod({ name: 'web-6', ips: ['::1'] }));
    const client = await bench.client({ to: '::1' });
    await client.get('/v1/self').until(({ messages }) => messages.length > 0);
  });

  test('no certificate: closed', async () => {
    await start();
    const client = await bench.client({ tls: { cert: undefined, key: undefined } });
    await refusedAtTheDoor(client);
    expect(bench.refusals).toEqual(['no_client_certificate']);
  });

  test('a certificate of a foreign CA: closed', async () => {
    await start();
    await refusedAtTheDoor(await bench.client({ authority: await testAuthority() }));
    expect(bench.refusals).toEqual(['unknown_ca']);
  });

  test('an expired certificate: closed', async () => {
    await start();
    const leaf = await testLeaf(bench.authority, { lifetimeMs: 1_000 });
    await setTimeout(leaf.notAfter.getTime() - Date.now() + 10);
    await refusedAtTheDoor(await bench.client({ leaf }));
    expect(bench.refusals).toEqual(['expired']);
  });

  test('a certificate that is not valid yet: closed', async () => {
    await start();
    await refusedAtTheDoor(await bench.client({ of: { now: new Date(Date.now() + 3_600_000) } }));
    expect(bench.refusals).toEqual(['not_yet_valid']);
  });

  test('a client that does not offer HTTP/2: closed', async () => {
    await start();
    await refusedAtTheDoor(await bench.client({ tls: { ALPNProtocols: [] } }));
    expect(bench.refusals).toEqual(['not_http2']);
  });

  test('TLS 1.2: the handshake fails', async () => {
    await start();
    await expect(bench.client({ tls: { maxVersion: 'TLSv1.2' } })).rejects.toThrow();
    expect(bench.refusals).toEqual(['handshake']);
  });

  test('a resumed session is judged again: after a change of CA the old certificate is refused', async () => {
    const { authority } = await start();
    const leaf = await testLeaf(authority);
    const tickets: Buffer[] = [];
    const first = await bench.client({ leaf });
    first.socket.on('session', (ticket) => tickets.push(ticket));
    await first.get('/v1/self').until(({ messages }) => messages.length > 0);
    const [session] = tickets;
    const again = await bench.client({ leaf, tls: { session } });
    expect(again.socket.isSessionReused()).toBe(true);
    await again.get('/v1/self').until(({ messages }) => messages.length > 0);
    const next = await testAuthority();
    await bench.swap(next, next.certificate);
    await refusedAtTheDoor(await bench.client({ leaf, tls: { session } }));
    expect(bench.refusals).toEqual(['unknown_ca']);
  });

  test('an address that no injected pod has: 403 with the reason, after a bounded wait', async () => {
    await start();
    const client = await bench.client({ from: '127.0.0.9' });
    const begun = performance.now();
    const follower = await client.get('/v1/self').until(({ ended }) => ended);
    expect(performance.now() - begun).toBeGreaterThan(190);
    expect([follower.status, follower.refusal]).toEqual([
      403,
      { reason: 'address_unknown', message: 'no injected pod has the address 127.0.0.9' },
    ]);
    expect(bench.refusals).toEqual(['address_unknown']);
  });

  test('the address of a pod of another service: 403', async () => {
    await start();
    bench.bench.apply(pod({ name: 'db-1', ips: ['127.0.0.3'] }));
    const client = await bench.client({ from: '127.0.0.3' });
    const follower = await client.get('/v1/self').until(({ ended }) => ended);
    expect([follower.status, follower.refusal?.['reason']]).toEqual([403, 'address_mismatch']);
  });

  test('a pod that is seen a moment later is waited for', async () => {
    await start({ limits: { podWaitMs: 2_000 } });
    const client = await bench.client({ from: '127.0.0.9' });
    const follower = client.get('/v1/self');
    await setTimeout(50);
    bench.bench.apply(pod({ name: 'web-9', ips: ['127.0.0.9'] }));
    await follower.until(({ messages }) => messages.length > 0);
  });

  test('a pod that is seen only after a refusal gets in on the same connection', async () => {
    await start();
    const client = await bench.client({ from: '127.0.0.9' });
    await client.get('/v1/self').until(({ status }) => status === 403);
    bench.bench.apply(pod({ name: 'web-9', ips: ['127.0.0.9'] }));
    await client.get('/v1/self').until(({ messages }) => messages.length > 0);
  });
});

describe('destinations', () => {
  test('the present state comes at once, changes as they happen', async () => {
    await start();
    const follower = await (await bench.client())
      .destination('10.96.0.1:80')
      .until(({ messages }) => messages.length > 0);
    expect(follower.last).toMatchObject({
      known: true,
      serverName: 'api.shop.svc.cluster.local',
      endpoints: [
        { address: '10.0.0.1', port: 8080, transport: 'mutual', identity: 'spiffe://cluster.local/ns/shop/svc/api' },
      ],
    });
    bench.bench.apply(pod({ name: 'api-2', ips: ['10.0.0.2'] }), apiSlice('10.0.0.1', '10.0.0.2'));
    await follower.until(({ messages }) => messages.length > 1);
    expect(follower.last?.['endpoints']).toHaveLength(2);
    expect(await bench.metric('tabard_control_send_seconds_count{kind="destination"}')).toBe(1);
  });

  test('IPv6 destinations and those outside the mesh are answered as well', async () => {
    await start();
    bench.bench.apply(pod({ name: 'db-1', ips: ['fd00::5'] }));
    const client = await bench.client();
    const six = await client.destination('[FD00:0::5]:5432').until(({ messages }) => messages.length > 0);
    expect(six.last?.['endpoints']).toMatchObject([{ address: 'fd00::5', port: 5432 }]);
    const outside = await client.destination('192.0.2.1:443').until(({ messages }) => messages.length > 0);
    expect(outside.last).toMatchObject({ known: false, endpoints: [] });
  });

  test.each([
    ['GET', '/v1/destinations/', 400],
    ['GET', '/v1/destinations/api:80', 400],
    ['GET', '/v1/destinations/%ff', 400],
    ['GET', '/v1/destinations/10.0.0.1%3A80?x', 400],
    ['GET', '/v1/destinations/10.0.0.1/80', 400],
    ['GET', `/v1/destinations/${'1'.repeat(300)}`, 400],
    ['GET', '/v1/self/', 404],
    ['GET', '/', 404],
    ['GET', '/v1/status', 405],
    ['POST', '/v1/self', 405],
    ['DELETE', '/v1/destinations/10.0.0.1%3A80', 405],
  ])('%s %s is answered %i', async (method, path, status) => {
    await start();
    const [answered, body] = await (await bench.client()).post('', path, method);
    expect([answered, JSON.parse(body)]).toEqual([status, { reason: 'bad_request', message: expect.any(String) }]);
  });
});

describe('status reports', () => {
  const report: StatusReport = {
    podName: 'web-1',
    podUid: 'uid-shop-web-1',
    selfVersion: 'x',
    bundleFingerprint: 'ab'.repeat(32),
    serial: 'AB',
    notAfter: '2026-11-23T00:00:00Z',
    plaintext: [{ address: '10.9.9.9', port: 8080, count: 2, refused: true }],
  };

  test('a report of the pod itself is taken in, and forgotten with the pod', async () => {
    await start();
    const client = await bench.client();
    expect(await client.post(JSON.stringify(report))).toEqual([204, '']);
    expect(bench.reports.ofPod('uid-shop-web-1')?.report).toEqual(report);
    const of = { namespace: 'shop', service: 'web' };
    expect(bench.reports.plaintextClients(of)).toMatchObject([
      { address: '10.9.9.9', service: 'web', port: 8080, count: 2 },
    ]);
    bench.bench.remove(web1);
    expect(bench.reports.ofPod('uid-shop-web-1')).toBeUndefined();
    expect(bench.reports.plaintextClients(of)).toHaveLength(1);
  });

  test.each<[string, unknown, number, string]>([
    ['of another pod', { ...report, podUid: 'uid-shop-api-1' }, 403, 'the report is of pod web-1'],
    ['with a broken member', { ...report, serial: 'ab' }, 400, 'serial'],
    ['that is too large', { ...report, extra: 'x'.repeat(70_000) }, 413, 'the body is over 65536 bytes'],
  ])('a report %s is refused', async (_name, body, status, message) => {
    await start();
    const [answered, text] = await (await bench.client()).post(JSON.stringify(body));
    expect([answered, text]).toEqual([status, expect.stringContaining(message)]);
    expect(bench.reports.ofPod('uid-shop-web-1')).toBeUndefined();
    expect(await bench.metric('tabard_control_reports_total{from="sidecar",result="refused"}')).toBe(1);
  });

  test('a body that does not come is not waited for without a bound', async () => {
    await start({ limits: { bodyTimeoutMs: 100 } });
    const client = await bench.client();
    const stream = client.session.request({ ':method': 'POST', ':path': '/v1/status' });
    const status = await new Promise((resolve) => stream.on('response', (headers) => resolve(headers[':status'])));
    expect(status).toBe(408);
  });
});

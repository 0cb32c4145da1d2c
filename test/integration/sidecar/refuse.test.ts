// What a pod refuses and how it says so: plaintext, clients without a good certificate, garbage, floods. Over real sockets.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Authority } from '../../../lib/pki/ca.ts';
import { DAY_MS, type TestLeaf, testAuthority, testLeaf } from '../../support/pki.ts';
import { ask, carried, client, Mesh, type Pod, received, refusals, until } from '../../support/pocketmesh.ts';
import { everyWay } from '../../support/ways.ts';

describe.each(everyWay)('over %s', (_, way) => {
  let mesh: Mesh;
  let api: Pod;
  let stranger: Authority;
  let member: TestLeaf;

  beforeAll(async () => {
    mesh = await Mesh.start(way);
    api = await mesh.pod('api', { self: { connections: { handshakeTimeoutMs: 500 } } });
    stranger = await testAuthority();
    member = await testLeaf(mesh.authority, { service: 'batch' });
  });
  afterAll(() => mesh.end());

  /** Talks TLS to the pod with these credentials; what came back and the last refusal in the pod's log. */
  async function attempt(leaf: TestLeaf | undefined, options = {}, pod: Pod = api) {
    const before = refusals(pod).length;
    const secure = client(pod.knock(), leaf, options);
    const negotiated: { protocol?: string | null } = {};
    secure.once('secureConnect', () => {
      negotiated.protocol = secure.getProtocol();
      secure.end('hello');
    });
    const { text, error } = await received(secure);
    await until(() => text !== '' || refusals(pod).length > before, 'an answer or a refusal').catch(() => undefined);
    return { text, error, refusal: refusals(pod).slice(before).at(-1), ...negotiated };
  }

  describe('a Mutual port', () => {
    test('serves a client of the mesh that has no sidecar', async () => {
      const { text } = await attempt(member);
      expect(text).toBe('hello');
      await until(() => carried(api).length > 0, 'it is logged');
      expect(carried(api).at(-1)).toMatchObject({ peer: member.identity, peerSerial: member.serial });
    });

    test.each([
      ['http/1.1', ['h2', 'http/1.1'], 'http/1.1'],
      ['what it offers alone', ['h2'], 'h2'],
      ['our own protocol before any other', ['h2', 'tabard-tcp/1'], 'tabard-tcp/1'],
    ])('agrees with a client on %s', async (_name, offered, agreed) => {
      const secure = client(api.knock(), member, { ALPNProtocols: offered });
      await once(secure, 'secureConnect');
      expect(secure.alpnProtocol).toBe(agreed);
      expect(await ask(secure, 'hi')).toBe('hi');
    });

    test('tells an HTTP client in words that it refuses plaintext', async () => {
      const seen = api.seen();
      const answer = await ask(api.knock(), 'GET /items HTTP/1.1\r\nhost: api\r\n\r\n');
      expect(answer).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/);
      expect(answer).toContain('x-tabard-reason: plaintext\r\n');
      expect(answer).toContain('Tabard refused this connection: plaintext.');
      expect(refusals(api).at(-1)).toMatchObject({
        direction: 'inbound',
        reason: 'plaintext',
        source: expect.stringMatching(/^127\./),
        destination: `127.0.0.1:${api.applicationPort}`,
        hint: expect.stringContaining('inject its workload'),
      });
      expect(api.seen()).toBe(seen);
    });

    test('the answer arrives although the client has a body under way', async () => {
      const socket = api.knock();
      socket.write('POST /items HTTP/1.1\r\nhost: api\r\ncontent-length: 1000000\r\n\r\n');
      socket.write(Buffer.alloc(1_000_000));
      expect((await received(socket)).text).toContain('403 Forbidden');
      socket.destroy();
    });

    test('resets other plaintext', async () => {
      const { text, error } = await received(send(api, '*1\r\n$4\r\nPING\r\n'));
      expect([text, error]).toEqual(['', 'ECONNRESET']);
      expect(refusals(api).at(-1)).toMatchObject({ reason: 'plaintext' });
    });

    test('reports plaintext clients to the control API', async () => {
      await until(() => mesh.control.reports.some(({ report }) => report.plaintext.length > 0), 'a report has come');
      const { report } = mesh.control.reports.find((each) => each.report.plaintext.length > 0) ?? {};
      expect(report).toMatchObject({ podName: 'api-0', serial: api.leaf.serial });
      expect(report?.plaintext[0]).toMatchObject({ port: api.applicationPort, refused: true, count: 1 });
    });

    test('refuses a client without certificate', async () => {
      const { text, refusal } = await attempt(undefined);
      expect(text).toBe('');
      expect(refusal).toMatchObject({ reason: 'no_client_certificate' });
    });

    test('refuses a certificate of another CA, even with the right name', async () => {
      const { text, refusal } = await attempt(await testLeaf(stranger, { service: 'batch' }));
      expect(text).toBe('');
      expect(refusal).toMatchObject({ reason: 'unknown_ca' });
    });

    test('refuses an expired certificate', async () => {
      const now = new Date(Date.now() - 2 * DAY_MS);
      const { refusal } = await attempt(await testLeaf(mesh.authority, { service: 'batch', now }));
      expect(refusal).toMatchObject({ reason: 'expired' });
    });

    test('refuses a certificate that is not valid yet', async () => {
      const now = new Date(Date.now() + DAY_MS);
      const { refusal } = await attempt(await testLeaf(mesh.authority, { service: 'batch', now }));
      expect(refusal).toMatchObject({ reason: 'not_yet_valid' });
    });

    test('refuses TLS 1.2 and tells the client so', async () => {
      const { error, refusal } = await attempt(member, { maxVersion: 'TLSv1.2' });
      expect(refusal).toMatchObject({ reason: 'protocol_version' });
      expect(error).toBe('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION');
    });

    test('refuses a client with which it shares no group', async () => {
      const { refusal } = await attempt(member, { ecdhCurve: 'P-521' });
      expect(refusal).toMatchObject({ reason: 'no_shared_cipher' });
    });

    test('says that it was the client who did not like what it saw', async () => {
      const { refusal } = await attempt(member, { rejectUnauthorized: true, ca: stranger.certificate });
      // OpenSSL's client sends an alert; Node's checks by itself and only leaves.
      expect(refusal).toMatchObject({ reason: 'reset' });
    });
  });

  function send(pod: Pod, bytes: string | Buffer): Socket {
    const socket = pod.knock();
    socket.write(bytes);
    return socket;
  }

  describe('who wastes time', () => {
    test.each([
      ['sends nothing', Buffer.alloc(0), 'handshake_timeout'],
      ['sends one byte of a record', Buffer.from([22]), 'handshake_timeout'],
      ['sends half a ClientHello', Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 9, 9, 9]), 'handshake_timeout'],
      [
        'sends a record that is no handshake message',
        Buffer.concat([Buffer.from([22, 3, 1, 0, 100]), Buffer.alloc(100, 7)]),
        'malformed',
      ],
      ['sends random bytes', Buffer.from('c0ffee00deadbeef0000', 'hex'), 'plaintext'],
      [
        'sends an SSL 2 hello',
        Buffer.from('802e0100020015000000100100800200800300800400800500800600400700c0', 'hex'),
        'plaintext',
      ],
    ])('is cut off when it %s', async (_name, bytes, reason) => {
      const before = refusals(api).length;
      const socket = send(api, bytes);
      await received(socket);
      await until(() => refusals(api).length > before, 'it is in the log');
      expect(refusals(api).at(-1)).toMatchObject({ reason });
      socket.destroy();
    });

    test('who connects and leaves is not worth a line', async () => {
      const before = refusals(api).length;
      const socket = api.knock();
      await once(socket, 'connect');
      socket.end();
      await received(socket);
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(refusals(api).length).toBe(before);
    });

    test('every kind of noise leaves the proxy as it was', async () => {
      const noise = Array.from({ length: 200 }, (_, index) => {
        const bytes = Buffer.alloc(5 + ((index * 37) % 600), index);
        if (index % 2 === 0) bytes.set([22, 3, 1, index % 5, index], 0);
        const socket = send(api, bytes);
        if (index % 3 === 0) setTimeout(() => socket.resetAndDestroy(), index % 20);
        return received(socket).then(() => socket.destroy());
      });
      await Promise.all(noise);
      expect(api.lines.filter(({ level }) => level === 'error')).toEqual([]);
      expect((await attempt(member)).text).toBe('hello');
      await until(() => api.core.live.count('inbound') === 0, 'no connection is left');
    });

    test('lines about one reason and one peer are limited and counted', async () => {
      const pod = await mesh.pod('quiet');
      // One source address: the limit is per peer.
      const direct = () => connect({ host: '127.0.0.1', port: pod.core.inbound.port });
      for (let i = 0; i < 20; i += 1) {
        const socket = direct();
        socket.on('error', () => undefined);
        socket.write('PING\r\n');
        await received(socket);
      }
      expect(refusals(pod).length).toBe(1);
      expect(await pod.metrics.text()).toContain(
        'tabard_connections_total{direction="inbound",transport="none",result="refused",reason="plaintext"} 20',
      );
    });
  });

  describe('too many connections', () => {
    test('of proved clients: the next one is refused as overload', async () => {
      const pod = await mesh.pod('small', { self: { connections: { maxConcurrent: 3 } } });
      const held = [1, 2, 3].map(() => client(pod.knock(), member));
      for (const socket of held) {
        socket.write('x');
        await once(socket, 'data');
      }
      const { text, refusal } = await attempt(member, {}, pod);
      expect(text).toBe('');
      expect(refusal).toMatchObject({ reason: 'overload' });
      held[0]?.destroy();
      await until(() => pod.core.live.count('inbound') === 2, 'there is room');
      expect((await attempt(member, {}, pod)).text).toBe('hello');
      for (const socket of held) socket.destroy();
    });

    test('of silent ones: they make room for a client that proves itself', async () => {
      const pod = await mesh.pod('small', { self: { connections: { maxConcurrent: 3, handshakeTimeoutMs: 5_000 } } });
      const silent = [1, 2, 3].map(() => pod.knock());
      for (const socket of silent) await once(socket, 'connect');
      expect((await attempt(member, {}, pod)).text).toBe('hello');
      for (const socket of silent) socket.destroy();
    });
  });

  describe('other modes', () => {
    test('Permissive passes plaintext, records it, and still takes TLS', async () => {
      const pod = await mesh.pod('open', { self: { mode: 'Permissive' } });
      expect(await ask(pod.knock(), 'GET / HTTP/1.1\r\n\r\n')).toBe('GET / HTTP/1.1\r\n\r\n');
      expect((await attempt(member, {}, pod)).text).toBe('hello');
      expect((await attempt(undefined, {}, pod)).text).toBe('hello');
      await until(
        () =>
          mesh.control.reports.some(
            ({ report }) => report.podName === 'open-0' && report.plaintext.some((seen) => !seen.refused),
          ),
        'it is reported',
      );
    });

    test('Permissive lets the server speak first to a silent plaintext client after a short wait', async () => {
      const pod = await mesh.pod('db', { self: { mode: 'Permissive' }, behaviour: (socket) => socket.end('greeting') });
      const start = performance.now();
      expect((await received(pod.knock())).text).toBe('greeting');
      expect(performance.now() - start).toBeGreaterThan(250);
      const secure = client(pod.knock(), member);
      expect((await received(secure)).text).toBe('greeting');
    });

    test('Permissive refuses a certificate that is shown and not good', async () => {
      const pod = await mesh.pod('open', { self: { mode: 'Permissive' } });
      const { refusal } = await attempt(await testLeaf(stranger), {}, pod);
      expect(refusal).toMatchObject({ reason: 'unknown_ca' });
    });

    test('ServerOnly takes a client without certificate over TLS and no plaintext', async () => {
      const pod = await mesh.pod('half', { self: { mode: 'ServerOnly' } });
      expect((await attempt(undefined, {}, pod)).text).toBe('hello');
      expect((await received(send(pod, 'PING\r\n'))).error).toBe('ECONNRESET');
      expect(refusals(pod).at(-1)).toMatchObject({ reason: 'plaintext' });
    });

    test('Disabled and Passthrough do not look at the bytes', async () => {
      for (const self of [{ mode: 'Disabled' as const }, {}]) {
        const pod = await mesh.pod('raw', { self });
        mesh.tell('raw', {
          ...self,
          ports: [{ port: pod.applicationPort, mode: 'mode' in self ? self.mode : 'Mutual', protocol: 'Passthrough' }],
        });
        await until(() => pod.lines.filter(({ msg }) => msg === 'policy in use').length === 2, 'the policy is in use');
        expect(await ask(pod.knock(), '\x16\x03\x01 anything')).toBe('\x16\x03\x01 anything');
      }
    });

    test('a port may have a mode of its own', async () => {
      const pod = await mesh.pod('mixed', {});
      mesh.tell('mixed', { ports: [{ port: pod.applicationPort, mode: 'ServerOnly', protocol: 'TCP' }] });
      await until(() => pod.lines.filter(({ msg }) => msg === 'policy in use').length === 2, 'the policy is in use');
      expect((await attempt(undefined, {}, pod)).text).toBe('hello');
    });

    test('TLS 1.2 is taken where the policy says so', async () => {
      const pod = await mesh.pod('old', { self: { tls: { minVersion: '1.2' } } });
      const { text, protocol } = await attempt(member, { maxVersion: 'TLSv1.2' }, pod);
      expect([text, protocol]).toEqual(['hello', 'TLSv1.2']);
    });
  });
});

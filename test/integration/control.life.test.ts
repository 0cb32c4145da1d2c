// The life of control API connections, with real sockets on loopback: many streams, slow readers, swaps of certificate and trust, pods that
// go away, clients that fall silent, and the end of the server.
import { connect } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { afterEach, describe, expect, test } from '@jest/globals';
import { ControlBench, type ControlBenchOptions, type Follower } from '../support/controlbench.ts';
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
const hasLine = ({ messages }: Follower) => messages.length > 0;
const reasonsEnded = () =>
  bench.lines.filter(({ msg }) => msg === 'control connection ended').map(({ reason }) => reason);

/** Waits until the server holds this many connections. */
async function sessions(count: number, ms = 2_000): Promise<void> {
  const end = performance.now() + ms;
  while ((await bench.metric('tabard_control_sessions')) !== count) {
    if (performance.now() > end) throw new Error(`still ${await bench.metric('tabard_control_sessions')} connections`);
    await setTimeout(10);
  }
}

describe('many streams', () => {
  test('two thousand destinations of one client, each updated, none mixed up', async () => {
    await start();
    const client = await bench.client();
    const addresses = Array.from({ length: 2_000 }, (_, index) => `10.${50 + (index >> 8)}.0.${index & 255}`);
    const followers = addresses.map((address) => client.destination(`${address}:80`));
    await Promise.all(followers.map((follower) => follower.until(hasLine, 20_000)));
    expect(await bench.metric('tabard_control_streams{kind="destination"}')).toBe(2_000);
    bench.bench.apply(...addresses.map((ip, index) => pod({ name: `db-${index}`, ips: [ip] })));
    await Promise.all(followers.map((follower) => follower.until(({ messages }) => messages.length > 1, 20_000)));
    followers.forEach((follower, index) => {
      expect(follower.last?.['endpoints']).toMatchObject([{ address: addresses[index], transport: 'mutual' }]);
    });
    client.end();
    await sessions(0);
    expect(await bench.metric('tabard_control_streams{kind="destination"}')).toBe(0);
    expect(await bench.metric('tabard_control_topics')).toBe(0);
  }, 60_000);

  test('one more than a pod may have is refused, on any of its connections, until one is given up', async () => {
    await start({ limits: { streamsPerPod: 3 } });
    const [first, second] = [await bench.client(), await bench.client()];
    const open = [first.get('/v1/self'), first.destination('10.0.0.1:1'), second.destination('10.0.0.1:2')];
    await Promise.all(open.map((follower) => follower.until(hasLine)));
    const refused = await second.destination('10.0.0.1:3').until(({ ended }) => ended);
    expect([refused.status, refused.refusal?.['reason']]).toEqual([429, 'too_many_streams']);
    open[1]?.stream.close();
    await open[1]?.until(({ ended }) => ended);
    await setTimeout(20);
    await second.destination('10.0.0.1:3').until(hasLine);
  });

  test('a pod with too many connections keeps the newest', async () => {
    await start({ limits: { sessionsPerPod: 2 } });
    const clients = [await bench.client(), await bench.client(), await bench.client()];
    for (const client of clients) await client.get('/v1/self').until(hasLine);
    await clients[0]?.closed();
    expect(clients.map(({ session }) => session.destroyed)).toEqual([true, false, false]);
    expect(reasonsEnded()).toEqual(['overtaken']);
  });

  test('an address with too many connections is cut off before TLS', async () => {
    await start({ limits: { connectionsPerAddress: 2 } });
    const clients = [await bench.client(), await bench.client()];
    await expect(bench.client()).rejects.toThrow();
    expect(bench.refusals).toEqual(['too_many_connections']);
    for (const client of clients) await client.get('/v1/self').until(hasLine);
  });
});

describe('a slow reader', () => {
  test('costs one line on its way and gets the newest when it comes back', async () => {
    await start();
    const valve = await bench.valve();
    const client = await bench.client({ through: valve });
    const many = Array.from({ length: 91 }, (_, index) => `10.1.0.${index}`);
    bench.bench.apply(...many.map((ip, index) => pod({ name: `api-${index}`, uid: `u${index}`, ips: [ip] })));
    const offer = (count: number) =>
      bench.bench.apply(slice({ name: 'api-x', of: 'api', endpoints: many.slice(0, count).map((ip) => ({ ip })) }));
    const count = ({ last }: Follower) => (last?.['endpoints'] as readonly unknown[] | undefined)?.length;
    offer(90);
    const followers = Array.from({ length: 20 }, () => client.destination('10.96.0.1:80'));
    await Promise.all(followers.map((follower) => follower.until(hasLine)));
    valve.shut();
    for (let turn = 0; turn < 200; turn += 1) {
      offer(80 + (turn % 10));
      await setTimeout(7);
    }
    const superseded = await bench.metric('tabard_control_snapshots_superseded_total{kind="destination"}');
    const sent = await bench.metric('tabard_control_snapshots_sent_total{kind="destination"}');
    // A line has some 12 KB, the windows of HTTP/2 take 64 KB: hardly more than one line of each stream was handed over.
    expect(superseded).toBeGreaterThan(1_000);
    expect(sent).toBeLessThan(120);
    expect(await bench.metric('tabard_control_snapshot_bytes')).toBeLessThan(20_000);
    offer(91);
    valve.open();
    await Promise.all(followers.map((follower) => follower.until((it) => count(it) === 91, 10_000)));
  }, 60_000);
});

describe('certificate and trust', () => {
  test('a new certificate of the same CA: streams live on, new connections see it', async () => {
    const { authority } = await start();
    const client = await bench.client();
    const follower = await client.destination('10.96.0.1:80').until(hasLine);
    const before = client.socket.getPeerX509Certificate()?.serialNumber;
    await bench.swap(authority, authority.certificate);
    const next = await bench.client();
    await next.get('/v1/self').until(hasLine);
    expect(next.socket.getPeerX509Certificate()?.serialNumber).not.toBe(before);
    bench.bench.apply(pod({ name: 'api-2', ips: ['10.0.0.2'] }), apiSlice('10.0.0.1', '10.0.0.2'));
    await follower.until(({ messages }) => messages.length === 2);
    expect(client.session.destroyed).toBe(false);
  });

  test('a CA more in the bundle: everyone is told, nobody is cut, members of the new CA get in', async () => {
    const { authority } = await start();
    const client = await bench.client();
    const follower = await client.get('/v1/self').until(hasLine);
    const second = await testAuthority();
    const both = authority.certificate + second.certificate;
    await bench.swap(authority, both);
    await follower.until(({ last }) => last?.['trustBundle'] === both);
    await (await bench.client({ authority: second })).get('/v1/self').until(hasLine);
    expect(client.session.destroyed).toBe(false);
  });

  test('a CA less: its members are sent away', async () => {
    await start();
    const client = await bench.client();
    await client.get('/v1/self').until(hasLine);
    const second = await testAuthority();
    await bench.swap(second, second.certificate);
    await client.closed();
    expect([client.goneAway, reasonsEnded()]).toEqual([true, ['unknown_ca']]);
  });

  test('tickets of before a swap are worth nothing after it', async () => {
    const { authority } = await start();
    const leaf = await testLeaf(authority);
    const first = await bench.client({ leaf });
    const tickets: Buffer[] = [];
    first.socket.on('session', (ticket) => tickets.push(ticket));
    await first.get('/v1/self').until(hasLine);
    await bench.swap(authority, authority.certificate);
    const [session] = tickets;
    const again = await bench.client({ leaf, tls: { session } });
    expect(again.socket.isSessionReused()).toBe(false);
    await again.get('/v1/self').until(hasLine);
  });

  test('a connection ends with the certificate of its client', async () => {
    const { authority } = await start();
    const leaf = await testLeaf(authority, { lifetimeMs: 2_000 });
    const client = await bench.client({ leaf });
    await client.get('/v1/self').until(hasLine);
    await client.closed(5_000);
    expect([client.goneAway, reasonsEnded()]).toEqual([true, ['expired']]);
    expect(Date.now()).toBeGreaterThanOrEqual(leaf.notAfter.getTime());
  });
});

describe('pods that go away', () => {
  test('the connection of a deleted pod ends', async () => {
    await start();
    const client = await bench.client();
    await client.get('/v1/self').until(hasLine);
    bench.bench.remove(web1);
    await client.closed();
    expect(reasonsEnded()).toEqual(['pod_gone']);
  });

  test('so does one whose address was given to a younger pod', async () => {
    await start();
    const client = await bench.client();
    await client.get('/v1/self').until(hasLine);
    bench.bench.apply(pod({ name: 'web-2', ips: ['127.0.0.1'], started: 99 }));
    await client.closed();
    expect(reasonsEnded()).toEqual(['pod_gone']);
    const again = await (await bench.client()).get('/v1/self').until(hasLine);
    expect(again.last?.['service']).toBe('web');
  });
});

describe('silence', () => {
  test('a client that answers no ping is cut', async () => {
    await start({ limits: { pingEveryMs: 100, pingTimeoutMs: 500 } });
    const valve = await bench.valve();
    await (await bench.client({ through: valve })).get('/v1/self').until(hasLine);
    valve.shut();
    await sessions(0, 4_000);
    expect(reasonsEnded()).toEqual(['silent']);
  });

  test('one that answers stays', async () => {
    await start({ limits: { pingEveryMs: 100, pingTimeoutMs: 500 } });
    const client = await bench.client();
    await client.get('/v1/self').until(hasLine);
    await setTimeout(2_500);
    expect(client.session.destroyed).toBe(false);
  });

  test('a connection without a stream is closed', async () => {
    await start({ limits: { idleMs: 200 } });
    const client = await bench.client();
    await client.closed(4_000);
    expect(reasonsEnded()).toEqual(['idle']);
  });

  test.each([
    ['nothing at all', ''],
    ['half a ClientHello', '\x16\x03\x01\x02\x00\x01\x00'],
  ])('a client that sends %s costs a deadline', async (_name, bytes) => {
    await start({ limits: { handshakeTimeoutMs: 300 } });
    const socket = connect(bench.server.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(Buffer.from(bytes, 'latin1'));
    const begun = performance.now();
    await new Promise((resolve) => socket.on('close', resolve));
    expect(performance.now() - begun).toBeGreaterThan(250);
    expect(bench.refusals).toEqual(['handshake']);
  });

  test('a client that sends garbage is refused at once', async () => {
    await start();
    const socket = connect(bench.server.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await new Promise((resolve) => socket.on('close', resolve));
    expect(bench.refusals).toEqual(['handshake']);
  });
});

describe('the end', () => {
  test('clients are told to go one by one over the time given, and nobody new is let in', async () => {
    await start();
    const clients = [await bench.client(), await bench.client(), await bench.client()];
    const followers = clients.map((client) => client.get('/v1/self'));
    await Promise.all(followers.map((follower) => follower.until(hasLine)));
    const begun = performance.now();
    const left = clients.map((client) => client.closed(5_000).then(() => performance.now() - begun));
    const stopped = bench.drain(900);
    await expect(bench.client()).rejects.toThrow();
    const times = await Promise.all(left);
    await stopped;
    expect(clients.map(({ goneAway }) => goneAway)).toEqual([true, true, true]);
    expect((times[2] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(400);
  });
});

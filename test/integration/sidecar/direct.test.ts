// The direct transport by itself, against a TLS server of the mesh.
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type Clock, systemClock } from '../../../lib/clock.ts';
import type { Authority } from '../../../lib/pki/ca.ts';
import { defaultPolicy } from '../../../lib/policy/defaults.ts';
import { MemoryCertificateSource } from '../../../lib/runtime/credentials.ts';
import { Generation } from '../../../sidecar/tls/generation.ts';
import { MeshDialer } from '../../../sidecar/transport/dial.ts';
import { DirectTransport } from '../../../sidecar/transport/direct.ts';
import type { Opened } from '../../../sidecar/transport/transport.ts';
import { testAuthority, testLeaf } from '../../support/pki.ts';
import { openTestHalf } from '../../support/relays.ts';

/** Shorter than that of the certificate of our own. */
const PEER_LIFETIME_MS = 3_600_000;

let authority: Authority;
let server: Server;
let callers: Promise<string>;

beforeEach(async () => {
  authority = await testAuthority();
  const { certificate, key, bundle } = await testLeaf(authority, { service: 'api', lifetimeMs: PEER_LIFETIME_MS });
  const seen = Promise.withResolvers<string>();
  callers = seen.promise;
  const ALPNProtocols = ['tabard-tcp/1'];
  server = createServer(
    { cert: certificate, key, ca: bundle, requestCert: true, ALPNProtocols },
    (socket: TLSSocket) => {
      socket.on('error', () => socket.destroy());
      seen.resolve(socket.getPeerX509Certificate()?.serialNumber ?? '');
    },
  );
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
});
afterEach(() => new Promise((done) => server.close(done)));

async function generation(): Promise<Generation> {
  const { certificate, key, bundle: trustBundle } = await testLeaf(authority, { service: 'web' });
  const source = new MemoryCertificateSource();
  source.offer({ certificate, key, trustBundle }, systemClock.now());
  const credentials = source.current();
  if (credentials === undefined) throw new Error('the test leaf is no good');
  return new Generation({ credentials, trustBundle, tls: defaultPolicy.tls, trustDomain: 'cluster.local' });
}

const transport = (current: () => Generation | undefined, clock: Clock = systemClock): DirectTransport =>
  new DirectTransport({
    dialer: new MeshDialer({ clock, generation: current, onHandshake: () => undefined }),
    openHalf: openTestHalf,
  });

const open = (transport: DirectTransport): Promise<Opened> =>
  new Promise((resolve) =>
    transport.open(
      {
        address: '127.0.0.1',
        port: (server.address() as AddressInfo).port,
        identity: 'spiffe://cluster.local/ns/shop/svc/api',
        serverName: 'api.shop.svc.cluster.local',
      },
      { connectTimeoutMs: 10_000, handshakeTimeoutMs: 10_000 },
      resolve,
    ),
  );

describe('a certificate that is swapped while the TCP connection is being made', () => {
  test('is the one that the handshake shows', async () => {
    const [old, fresh] = [await generation(), await generation()];
    const order = [old, fresh];
    const opened = await open(transport(() => order.shift() ?? fresh));
    expect(opened).toMatchObject({ ok: true, leg: { tls: { serial: fresh.serial } } });
    expect(await callers).toBe(fresh.serial);
    if (opened.ok) opened.leg.half.reset();
  });

  test('and cannot be used any more, ends the attempt before a byte is sent', async () => {
    const order = [await generation()];
    const opened = await open(transport(() => order.shift()));
    expect(opened).toMatchObject({ ok: false, reason: 'own_certificate_expired', fault: 'own' });
  });
});

describe('a session that is resumed', () => {
  test('serves while what the peer proved with it is good, and not a moment longer: Node shows no certificate then', async () => {
    const own = await generation();
    let aheadMs = 0;
    const clock: Clock = {
      ...systemClock,
      now: () => new Date(Date.now() + aheadMs),
      nowMs: () => Date.now() + aheadMs,
    };
    const direct = transport(() => own, clock);
    const carried = async (): Promise<boolean> => {
      const opened = await open(direct);
      if (!opened.ok) throw new Error(opened.detail);
      const { half, tls } = opened.leg;
      const nothing = (): void => undefined;
      const closed = new Promise((resolve) =>
        half.start({ data: nothing, drained: nothing, ended: nothing, closed: resolve }),
      );
      // The ticket comes after the handshake.
      await new Promise((resolve) => setTimeout(resolve, 50));
      half.reset();
      await closed;
      return tls?.resumed ?? false;
    };
    expect(await carried()).toBe(false);
    let tries = 0;
    while (!(await carried()) && tries < 100) tries += 1;
    expect(tries).toBeLessThan(100);
    // The server's certificate has run out, by our clock and not by its own.
    aheadMs = PEER_LIFETIME_MS;
    expect(await open(direct)).toMatchObject({ ok: false, reason: 'expired', fault: 'endpoint' });
  });
});

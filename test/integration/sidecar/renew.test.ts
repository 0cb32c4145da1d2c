// Certificates that change under way: renewal under load, a new trust bundle, expiry, and policies that no longer allow what is live.
import { once } from 'node:events';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../lib/clock.ts';
import { DAY_MS, testAuthority, testLeaf } from '../../support/pki.ts';
import { ask, carried, client, echo, Mesh, received, refusals, until } from '../../support/pocketmesh.ts';
import { everyWay } from '../../support/ways.ts';

describe.each(everyWay)('over %s', (_, way) => {
  let mesh: Mesh;

  beforeEach(async () => {
    mesh = await Mesh.start(way);
  });
  afterEach(() => mesh.end());

  interface SeenTls {
    readonly serial: string;
    readonly resumed: boolean;
  }

  const tlsOf = (line: Readonly<Record<string, unknown>>): SeenTls => line['tls'] as SeenTls;

  describe('a new certificate', () => {
    test('is swapped in under load: nothing fails, and every connection made later shows it, without a restart (cert-manager#1440 #1453)', async () => {
      const { web, api } = await mesh.pair();
      const held = web.dial(8080);
      held.write('before');
      await once(held, 'data');
      const stop = new AbortController();
      let done = 0;
      const load = Array.from({ length: 8 }, async (_, worker) => {
        while (!stop.signal.aborted) {
          const text = `${worker} ${done}`;
          expect(await ask(web.dial(8080), text)).toBe(text);
          done += 1;
        }
      });
      const serials = new Set([api.leaf.serial]);
      for (let round = 0; round < 3; round += 1) {
        await new Promise((resolve) => setTimeout(resolve, 300));
        const [own, theirs] = [await web.renew(), await api.renew()];
        serials.add(theirs.serial);
        // A connection that begins now may only show the new ones, on both sides, resumed or not.
        const mark = `round ${round}`;
        expect(await ask(web.dial(8080), mark)).toBe(mark);
        const line = carried(api).findLast(({ bytesIn }) => bytesIn === mark.length);
        expect(line).toMatchObject({ peerSerial: own.serial, tls: { serial: theirs.serial } });
      }
      stop.abort();
      await Promise.all(load);
      expect(done).toBeGreaterThan(30);
      expect(refusals(web)).toEqual([]);
      expect(refusals(api)).toEqual([]);
      expect(new Set(carried(api).map((line) => tlsOf(line).serial))).toEqual(serials);
      // The connection from before all of it lives on with the certificate that it was made with.
      held.write('after');
      expect(String((await once(held, 'data'))[0])).toBe('after');
      held.destroy();
    }, 60_000);

    test('that is broken never replaces a good one', async () => {
      const { web, api } = await mesh.pair();
      const other = await testLeaf(mesh.authority, { service: 'web' });
      const verdict = web.source.offer(
        { certificate: other.certificate, key: web.leaf.key, trustBundle: other.bundle },
        systemClock.now(),
      );
      expect(verdict).toMatchObject({ good: false, fault: 'key_mismatch' });
      expect(await ask(web.dial(8080), 'still')).toBe('still');
      await until(() => carried(api).length === 1, 'it is logged');
      expect(carried(api)[0]).toMatchObject({ peerSerial: web.leaf.serial });
    });

    test('makes sessions and tunnels of the old one worthless', async () => {
      const { web, api } = await mesh.pair();
      for (const text of ['full', 'resumed']) expect(await ask(web.dial(8080), text)).toBe(text);
      await api.renew();
      for (const text of ['full again', 'and resumed']) expect(await ask(web.dial(8080), text)).toBe(text);
      await until(() => carried(api).length === 4, 'all are logged');
      const tunnels = [...new Set(carried(api).map(({ tunnel }) => tunnel))];
      if (way.transport === 'Direct') {
        expect(carried(api).map((line) => tlsOf(line).resumed)).toEqual([false, true, false, true]);
      } else {
        expect(tunnels.length).toBe(2);
        expect(carried(api).map(({ tunnel }) => tunnels.indexOf(tunnel))).toEqual([0, 0, 1, 1]);
      }
    });
  });

  /** A session of a client without sidecar. */
  async function sessionOf(secure: TLSSocket): Promise<Buffer> {
    const [session] = (await once(secure, 'session')) as [Buffer];
    return session;
  }

  describe('trust', () => {
    test('a session from before a CA was dropped does not get in any more', async () => {
      const old = await testAuthority();
      const member = await testLeaf(old, { service: 'batch' });
      const api = await mesh.pod('api', { self: { trustBundle: mesh.authority.certificate + old.certificate } });
      const first = client(api.knock(), member);
      first.write('in');
      const session = await sessionOf(first);
      await once(first, 'data');

      const again = client(api.knock(), member, { session });
      expect(await ask(again, 'resumed')).toBe('resumed');
      await until(() => carried(api).length === 1, 'it is logged');
      expect(carried(api)[0]).toMatchObject({ peer: member.identity, tls: { resumed: true } });

      const gone = received(first);
      mesh.tell('api', { trustBundle: mesh.authority.certificate });
      // The live connection of that peer is cut, and neither its session nor its certificate opens a new one.
      expect((await gone).error).toBe('ECONNRESET');
      await until(() => carried(api).some(({ reason }) => reason === 'unknown_ca'), 'the cut is logged');
      const late = client(api.knock(), member, { session });
      late.end('x');
      expect((await received(late)).text).toBe('');
      expect(refusals(api).at(-1)).toMatchObject({ reason: 'unknown_ca' });
    });

    test('a session does not outlive the certificate that it was made with', async () => {
      const api = await mesh.pod('api');
      const member = await testLeaf(mesh.authority, { service: 'batch', lifetimeMs: 2_000 });
      const first = client(api.knock(), member);
      first.write('in');
      const session = await sessionOf(first);
      await once(first, 'data');
      const gone = received(first);
      // The live connection ends with the certificate, at a quiet moment or by a cut.
      await gone;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, member.notAfter.getTime() - Date.now() + 50)));
      const late = client(api.knock(), member, { session });
      late.end('x');
      expect((await received(late)).text).toBe('');
      expect(refusals(api).at(-1)).toMatchObject({ reason: 'expired' });
    });

    test('a new CA is believed as soon as it is in the bundle', async () => {
      const { web, api } = await mesh.pair();
      const next = await testAuthority();
      const bundle = mesh.authority.certificate + next.certificate;
      mesh.tell('web', { trustBundle: bundle });
      mesh.tell('api', { trustBundle: bundle });
      await until(
        () => [web, api].every((pod) => pod.lines.filter(({ msg }) => msg === 'policy in use').length === 2),
        'both have it',
      );
      const leaf = await testLeaf(next, { service: 'api' });
      const verdict = api.source.offer(
        { certificate: leaf.certificate, key: leaf.key, trustBundle: bundle },
        new Date(),
      );
      expect(verdict.good).toBe(true);
      expect(await ask(web.dial(8080), 'new CA')).toBe('new CA');
      await until(() => carried(web).length === 1, 'it is logged');
      expect(carried(web)[0]).toMatchObject({ peerSerial: leaf.serial });
    });
  });

  describe('time', () => {
    test('an own certificate that has expired stops everything, with its reason', async () => {
      const api = await mesh.pod('api');
      const web = await mesh.pod('web', { leaf: { lifetimeMs: 2_000 } });
      mesh.publish(8080, [api]);
      expect(await ask(web.dial(8080), 'in time')).toBe('in time');
      await until(() => web.core.notReady().includes('own_certificate_expired'), 'it has expired');
      expect((await received(web.dial(8080))).error).toBe('ECONNRESET');
      expect(refusals(web).at(-1)).toMatchObject({ direction: 'outbound', reason: 'own_certificate_expired' });
      const member = await testLeaf(mesh.authority, { service: 'batch' });
      const secure = client(web.knock(), member);
      expect((await received(secure)).text).toBe('');
      expect(refusals(web).at(-1)).toMatchObject({ direction: 'inbound', reason: 'own_certificate_expired' });
      await web.renew({ lifetimeMs: DAY_MS });
      expect(web.core.notReady()).toEqual([]);
      expect(await ask(web.dial(8080), 'again')).toBe('again');
    });

    test('a busy connection is cut when a certificate under it expires, a quiet one is ended in order before', async () => {
      const api = await mesh.pod('api', { behaviour: echo });
      // Quiet moments are used in the last fifth of this time: more than a busy machine stands still at once.
      const web = await mesh.pod('web', { leaf: { lifetimeMs: 8_000 } });
      mesh.publish(8080, [api]);
      const quiet = web.dial(8080);
      quiet.write('x');
      await once(quiet, 'data');
      const busy = web.dial(8080);
      const chatter = setInterval(() => busy.write('x'), 50);
      const ends = Promise.all([received(quiet), received(busy)]).finally(() => clearInterval(chatter));
      const [quietEnd, busyEnd] = await ends;
      expect(quietEnd.error).toBeUndefined();
      expect(busyEnd.error).toBe('ECONNRESET');
      quiet.destroy();
      await until(() => carried(web).length === 2 && carried(api).length === 2, 'both are logged');
      expect(carried(web)[0]).toMatchObject({ ending: 'aged' });
      // Either side may look first; the other sees a reset.
      const reasons = [carried(web)[1], carried(api).find(({ ending }) => ending === 'failed')].map(
        (line) => line?.['reason'],
      );
      expect(reasons.some((reason) => reason === 'own_certificate_expired' || reason === 'expired')).toBe(true);
    });

    test('an idle connection is ended after the idle timeout', async () => {
      const api = await mesh.pod('api');
      const web = await mesh.pod('web', { self: { connections: { idleTimeoutMs: 600 } } });
      mesh.publish(8080, [api]);
      const socket = web.dial(8080);
      socket.write('x');
      await once(socket, 'data');
      expect((await received(socket)).error).toBeUndefined();
      socket.destroy();
      await until(() => carried(web)[0]?.['ending'] === 'idle', 'it is logged as idle');
    });
  });

  describe('a stricter policy', () => {
    test('cuts live plaintext when Permissive becomes Mutual, and leaves mutual TLS alone', async () => {
      const api = await mesh.pod('api', { self: { mode: 'Permissive' } });
      const web = await mesh.pod('web');
      mesh.publish(8080, [api]);
      const plain = api.knock();
      const mutual = web.dial(8080);
      for (const socket of [plain, mutual]) {
        socket.write('x');
        await once(socket, 'data');
      }
      const gone = received(plain);
      mesh.tell('api', { mode: 'Mutual' });
      expect((await gone).error).toBe('ECONNRESET');
      mutual.write('y');
      expect(String((await once(mutual, 'data'))[0])).toBe('y');
      mutual.destroy();
      await until(() => carried(api).some(({ reason }) => reason === 'plaintext'), 'the cut is logged');
    });
  });
});

// Threads that ask for this are named where they are answered. Revocation at the data path: what is revoked is cut and refused whichever side of a connection it is and whichever side knows, on
// new, resumed and live connections; what is lifted lives again; what was known is known after a restart.
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { testLeaf } from '../../support/pki.ts';
import { ask, carried, client, Mesh, type Pod, received, refusals, until as within } from '../../support/pocketmesh.ts';
import { startSidecar } from '../../support/sidecar.ts';
import { everyWay } from '../../support/ways.ts';

const identityOf = (service: string): string => `spiffe://cluster.local/ns/shop/svc/${service}`;

/** A busy machine may take its time. */
const until = (condition: () => boolean, what: string): Promise<void> => within(condition, what, 15_000);

describe.each(everyWay)('over %s', (_, way) => {
  let mesh: Mesh;

  beforeEach(async () => {
    mesh = await Mesh.start(way);
  });
  afterEach(() => mesh.end());

  /** A connection that has carried something, and what will have ended it. */
  async function live(from: Pod): Promise<{ readonly socket: Socket; readonly ended: ReturnType<typeof received> }> {
    const socket = from.dial(8080);
    socket.write('x');
    await once(socket, 'data');
    return { socket, ended: received(socket) };
  }

  const lastReasons = (pod: Pod): readonly unknown[] => carried(pod).map(({ reason }) => reason);
  const refusedFor = (pod: Pod): readonly unknown[] => refusals(pod).map(({ reason }) => reason);

  describe('a revoked identity', () => {
    test.each([
      ['of the client', 'web', []],
      ['of the server', 'api', []],
      ['of the client, when the client alone knows', 'web', ['api']],
      ['of the client, when the server alone knows', 'web', ['web']],
      ['of the server, when the client alone knows', 'api', ['api']],
      ['of the server, when the server alone knows', 'api', ['web']],
    ])('%s: its live connection is cut at once', async (_, revoked, unaware) => {
      const { web, api } = await mesh.pair();
      const { ended } = await live(web);
      mesh.control.setRevocations({ number: 5, entries: [{ identity: identityOf(revoked) }] }, unaware.map(identityOf));
      await ended;
      await until(() => carried(web).length === 1 && carried(api).length === 1, 'both sides have written it down');
      expect([...lastReasons(web), ...lastReasons(api)]).toContain('revoked');
      expect(web.core.live.count('outbound') + api.core.live.count('inbound')).toBe(0);
    });

    test.each([
      ['client', 'web'],
      ['server', 'api'],
    ])('of the %s: new connections are refused, those of others go on', async (_, revoked) => {
      const { web, api } = await mesh.pair();
      const other = await mesh.pod('other');
      const far = await mesh.pod('far');
      mesh.publish(8081, [far]);
      const bystander = other.dial(8081);
      bystander.write('y');
      await once(bystander, 'data');
      mesh.control.setRevocations({ number: 5, entries: [{ identity: identityOf(revoked) }] });
      await until(() => api.lines.some(({ msg, number }) => msg === 'revocations in use' && number === 5), 'api knows');
      expect(await ask(web.dial(8080), 'refused')).toBe('');
      await until(() => [...refusedFor(web), ...refusedFor(api)].includes('revoked'), 'a side says why');
      bystander.end('z');
      expect((await received(bystander)).text).toBe('z');
    });

    test('lives again when it is lifted', async () => {
      const { web, api } = await mesh.pair();
      mesh.control.setRevocations({ number: 5, entries: [{ identity: identityOf('web') }] });
      await until(() => api.lines.some(({ msg, number }) => msg === 'revocations in use' && number === 5), 'api knows');
      expect(await ask(web.dial(8080), 'refused')).toBe('');
      mesh.control.setRevocations({ number: 6 });
      const knows = ({ lines }: Pod): boolean =>
        lines.some(({ msg, number }) => msg === 'revocations in use' && number === 6);
      await until(() => knows(web) && knows(api), 'both know');
      expect(await ask(web.dial(8080), 'welcome back')).toBe('welcome back');
    });

    test('lives again by itself when its end has passed', async () => {
      const { web } = await mesh.pair();
      const end = new Date(Date.now() + 1_500).toISOString();
      mesh.control.setRevocations({ number: 5, entries: [{ identity: identityOf('web'), until: end }] });
      await until(() => web.lines.some(({ number }) => number === 5), 'web knows');
      while (Date.now() <= Date.parse(end)) await new Promise((resolve) => setTimeout(resolve, 50));
      expect(await ask(web.dial(8080), 'again')).toBe('again');
    });
  });

  describe('a revoked serial', () => {
    test('is cut and refused, and its service lives on with another certificate (cert-manager#392 #1732 #2612 #3122 #4797 #7447)', async () => {
      const { web, api } = await mesh.pair();
      const { ended } = await live(web);
      const entries = [{ serial: web.leaf.serial.toLowerCase() }];
      mesh.control.setRevocations({ number: 5, entries });
      await ended;
      await until(() => [...lastReasons(web), ...lastReasons(api)].includes('revoked'), 'it is cut');
      expect(await ask(web.dial(8080), 'refused')).toBe('');
      await web.renew();
      expect(await ask(web.dial(8080), 'with a new key')).toBe('with a new key');
    });

    test('is cut on connections that were made before the service had a newer certificate', async () => {
      const { web, api } = await mesh.pair();
      const old = web.leaf.serial;
      const { ended } = await live(web);
      await web.renew();
      mesh.control.setRevocations({ number: 5, entries: [{ serial: old }] });
      await ended;
      await until(() => [...lastReasons(web), ...lastReasons(api)].includes('revoked'), 'it is cut');
    });

    test('of a list of its CA counts for what that CA signed alone (ghostunnel#214 #482: a list is taken and enforced)', async () => {
      const { web, api } = await mesh.pair();
      const peer = await testLeaf(mesh.authority, { service: 'web' });
      const issuer = `O=Tabard\nCN=Tabard CA ${mesh.authority.keyId.toLowerCase().slice(0, 16)}`;
      mesh.control.setRevocations({ number: 5, lists: [{ issuer: 'CN=Somebody else', serials: [web.leaf.serial] }] });
      await until(() => api.lines.some(({ number }) => number === 5), 'api knows');
      expect(await ask(web.dial(8080), 'not meant')).toBe('not meant');
      mesh.control.setRevocations({ number: 6, lists: [{ issuer, serials: [web.leaf.serial, peer.serial] }] });
      await until(() => api.lines.some(({ number }) => number === 6), 'api knows');
      expect(await ask(web.dial(8080), 'meant')).toBe('');
      expect(refusedFor(api)).toEqual(['revoked']);
    });
  });

  describe('sessions', () => {
    test('that were made before a change are not resumed after it, and the revoked peer is refused (Node resumes without any CRL check while ticket keys are kept)', async () => {
      const api = await mesh.pod('api');
      const leaf = await testLeaf(mesh.authority, { service: 'web' });
      const sessions: Buffer[] = [];
      const handshake = async (session?: Buffer): Promise<{ text: string; resumed: boolean }> => {
        const secure: TLSSocket = client(api.knock(), leaf, session === undefined ? {} : { session });
        secure.on('session', (each: Buffer) => void sessions.push(each));
        const first = new Promise<void>((resolve) => secure.once('data', () => resolve()));
        secure.write('hello');
        const ended = received(secure);
        await Promise.race([first, ended]);
        const resumed = secure.isSessionReused();
        secure.end();
        return { text: (await ended).text, resumed };
      };
      expect(await handshake()).toEqual({ text: 'hello', resumed: false });
      expect(await handshake(sessions.at(-1))).toEqual({ text: 'hello', resumed: true });
      mesh.control.setRevocations({ number: 5, entries: [{ identity: identityOf('nobody') }] });
      await until(() => api.lines.some(({ number }) => number === 5), 'api knows');
      const kept = sessions.at(-1);
      expect(await handshake(kept)).toEqual({ text: 'hello', resumed: false });
      mesh.control.setRevocations({ number: 6, entries: [{ identity: leaf.identity }] });
      await until(() => api.lines.some(({ number }) => number === 6), 'api knows');
      expect((await handshake(kept)).text).toBe('');
      expect((await handshake(sessions.at(-1))).text).toBe('');
      expect(refusedFor(api)).toContain('revoked');
    });
  });

  describe('what is known of revocations', () => {
    test('is reported at once, with its number', async () => {
      const { web } = await mesh.pair();
      mesh.control.setRevocations({ number: 7, entries: [{ identity: identityOf('nobody') }] });
      await until(
        () =>
          mesh.control.reports.some(({ identity, report }) => identity === web.identity && report.revocations === 7),
        'web has reported it',
      );
      const metrics = await web.metrics.text();
      expect(metrics).toMatch(/^tabard_revocations_enforced 1$/m);
      expect(metrics).toMatch(/^tabard_revocations_number 7$/m);
      expect(metrics).toMatch(/^tabard_revocations_age_seconds 0$/m);
    });

    test('does not go back with a replica that is behind', async () => {
      const { web, api } = await mesh.pair();
      mesh.control.setRevocations({ number: 7, entries: [{ identity: identityOf('web') }] });
      await until(() => api.lines.some(({ number }) => number === 7), 'api knows');
      mesh.control.setRevocations({ number: 6 });
      mesh.control.setRevocations({
        number: 8,
        entries: [{ identity: identityOf('web') }, { identity: identityOf('nobody') }],
      });
      await until(() => api.lines.some(({ number }) => number === 8), 'api knows');
      expect(api.lines.some(({ number }) => number === 6)).toBe(false);
      expect(await ask(web.dial(8080), 'refused')).toBe('');
    });

    test('is not forgotten by a container that starts again while the control API is away', async () => {
      const { web } = await mesh.pair();
      const stateFolder = mesh.folder();
      const first = await mesh.pod('db', { stateFolder });
      mesh.control.setRevocations({ number: 5, entries: [{ identity: identityOf('web') }] });
      await until(() => first.lines.some(({ number }) => number === 5), 'db knows');
      await first.stop();
      await mesh.control.stop();
      const authority = mesh.authority;
      const again = await startSidecar({
        authority,
        control: mesh.control.address,
        service: 'db',
        stateFolder,
        applicationPort: first.applicationPort,
      });
      try {
        expect(again.core.notReady()).toEqual([]);
        const peer = client(again.knock(), web.leaf);
        expect((await received(peer)).text).toBe('');
        await until(
          () => again.lines.some(({ msg, reason }) => msg === 'connection refused' && reason === 'revoked'),
          'why',
        );
      } finally {
        await again.stop();
      }
    });

    test('is waited for before the pod is ready, where the control API has it', async () => {
      const slow = await mesh.pod('slow', { self: { revocation: { mode: 'Soft', maxAgeMs: 3_600_000 } } });
      expect(await slow.metrics.text()).toMatch(/^tabard_revocations_number 0$/m);
    });
  });

  describe('news that stopped', () => {
    test('Hard: new peers are refused once it is too old, live ones stay, and all is well with the next word', async () => {
      const web = await mesh.pod('web');
      const api = await mesh.pod('api', { self: { revocation: { mode: 'Hard', maxAgeMs: 1 } } });
      mesh.publish(8080, [api]);
      const { socket, ended } = await live(web);
      const port = mesh.control.port;
      await mesh.control.stop();
      await until(() => api.lines.some(({ msg }) => msg === 'control API connection lost'), 'api has lost it');
      // The first connection may come within the millisecond for which news may be old.
      await eventually(async () => (await ask(web.dial(8080), 'refused')) === '');
      expect(refusedFor(api)).toContain('control_unavailable');
      socket.end('still here');
      expect((await ended).text).toBe('still here');
      await mesh.control.listen(port);
      await eventually(async () => (await ask(web.dial(8080), 'again')) === 'again');
    }, 30_000);

    test('Soft: peers that were not revoked when it stopped are served on (an old list shuts nobody out: nodejs/help#460)', async () => {
      const web = await mesh.pod('web');
      const api = await mesh.pod('api', { self: { revocation: { mode: 'Soft', maxAgeMs: 1 } } });
      mesh.publish(8080, [api]);
      expect(await ask(web.dial(8080), 'before')).toBe('before');
      await mesh.control.stop();
      await until(() => api.lines.some(({ msg }) => msg === 'control API connection lost'), 'api has lost it');
      expect(await ask(web.dial(8080), 'after')).toBe('after');
    });
  });

  /** Tries until it holds; fails after twenty seconds. */
  async function eventually(probe: () => Promise<boolean>): Promise<void> {
    const lastMs = performance.now() + 20_000;
    while (!(await probe())) {
      if (performance.now() > lastMs) throw new Error('it did not come to hold');
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
});

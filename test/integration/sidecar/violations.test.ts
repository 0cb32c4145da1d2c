// Peers that break a rule of tabard/1, over real TLS and on both relays: the tunnel ends with GOAWAY and the rule's code, applications see a
// reset, the log names the rule, and nothing is left. The vectors are those that the session is held to by itself (test/unit/sidecar/tunnel);
// floods and readers that stall need more than a socket's buffers and are looked at there alone.
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { rules } from '../../../sidecar/tunnel/codes.ts';
import { encodeFrame, type Frame, frameTypes as types } from '../../../sidecar/tunnel/frame.ts';
import { FrameReader } from '../../../sidecar/tunnel/reader.ts';
import { type TestLeaf, testLeaf } from '../../support/pki.ts';
import { carried, client, Mesh, type Pod, until as within } from '../../support/pocketmesh.ts';
import { relayNames } from '../../support/relays.ts';
import { piecesOf, type Violation, violations } from '../../support/tunnelvectors.ts';

const ALPNProtocols = ['tabard/1'];
const until = (condition: () => boolean, what: string): Promise<void> => within(condition, what, 25_000);
const vectorsOf = (receiver: Violation['receiver']): readonly (readonly [string, Violation])[] =>
  violations
    .filter((each) => each.receiver === receiver && each.reads !== false && each.takes !== false)
    .map((each) => [each.name, each]);

/** What a peer hears. */
function framesOf(socket: Socket): Frame[] {
  const frames: Frame[] = [];
  const hear = (type: number, stream: number, payload: Uint8Array): boolean => {
    frames.push({ type, stream, payload: new Uint8Array(payload) });
    return true;
  };
  const reader = new FrameReader({
    data: (stream, bytes) => hear(types.data, stream, bytes),
    frame: hear,
    violation: (rule) => {
      throw new Error(`the sidecar itself broke ${rule}`);
    },
  });
  socket.on('data', (bytes: Buffer) => reader.push(bytes, true));
  socket.on('error', () => undefined);
  return frames;
}

const count = (frames: readonly Frame[], wanted: number): number => frames.filter(({ type }) => type === wanted).length;
const lastCode = (frames: readonly Frame[]): number | undefined =>
  frames.at(-1)?.type === types.goaway ? frames.at(-1)?.payload?.[0] : undefined;
const ends = (pod: Pod): Pod['lines'] => pod.lines.filter(({ msg }) => msg === 'tunnel ended');
const warned = 'warn';

/** Resolves when a socket was reset: a reader is told so; who has heard an end reads no more, and is told at the next write. */
function wasReset(socket: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.on('error', ({ code }: NodeJS.ErrnoException) => {
    if (code === 'ECONNRESET' || code === 'EPIPE') resolve();
  });
  socket.once('end', () => {
    const writing = setInterval(() => socket.write('x'), 20);
    socket.once('close', () => clearInterval(writing));
  });
  return promise;
}

const violationsOf = async (pod: Pod, direction: string): Promise<number> => {
  const name = `tabard_tunnels_ended_total{direction="${direction}",cause="violation"} `;
  const line = (await pod.metrics.text()).split('\n').find((text) => text.startsWith(name));
  return Number(line?.slice(name.length) ?? 0);
};

describe.each(relayNames)('on the %s relay', (relay) => {
  let mesh: Mesh;

  beforeAll(async () => {
    mesh = await Mesh.start({ transport: 'Tunnel', relay });
  });
  afterAll(() => mesh.end());

  describe('a side that dialled', () => {
    let api: Pod;
    let leaf: TestLeaf;
    const applications: Socket[] = [];

    beforeAll(async () => {
      const behaviour = (socket: Socket): void => void applications.push(socket.resume());
      api = await mesh.pod('api', { isSamePort: () => true, behaviour });
      leaf = await testLeaf(mesh.authority, { service: 'rogue' });
    });

    async function tunnel(): Promise<{ readonly socket: TLSSocket; readonly frames: Frame[] }> {
      applications.length = 0;
      const socket = client(api.knock(), leaf, { ALPNProtocols });
      const frames = framesOf(socket);
      await once(socket, 'secureConnect');
      return { socket, frames };
    }

    test.each(vectorsOf('accepting'))('sends %s', async (_, violation) => {
      const [before, counted] = [ends(api).length, await violationsOf(api, 'inbound')];
      const logged = carried(api).length;
      const { socket, frames } = await tunnel();
      const pieces = piecesOf(violation);
      if (violation.answers === false) socket.write(Buffer.concat(pieces));
      else {
        socket.write(pieces[0] ?? Buffer.alloc(0));
        await until(() => count(frames, types.accept) > 0 && applications.length > 0, 'the stream stands');
        socket.write(Buffer.concat(pieces.slice(1, -1)));
        const [application] = applications;
        if (application === undefined) throw new Error('nobody was called');
        const reset = wasReset(application);
        socket.write(pieces.at(-1) ?? Buffer.alloc(0));
        await reset;
      }
      await until(() => lastCode(frames) !== undefined, 'the peer is told');
      expect(lastCode(frames)).toBe(violation.code);
      await until(() => ends(api).length === before + 1, 'the end is logged');
      const { rule } = violation;
      expect(ends(api).at(-1)).toMatchObject({ level: warned, cause: 'violation', rule, streams: 1 });
      expect(ends(api).at(-1)).toMatchObject({ direction: 'inbound', peer: leaf.identity, reason: 'malformed' });
      await until(() => api.core.live.count('inbound') === 0, 'nothing is left');
      if (violation.answers !== false) {
        await until(() => carried(api).length > logged, 'the connection is logged');
        expect(carried(api).at(-1)).toMatchObject({
          ending: 'failed',
          reason: 'malformed',
          stream: expect.any(Number),
        });
      }
      expect(await violationsOf(api, 'inbound')).toBe(counted + 1);
      expect(await api.metrics.text()).toContain('tabard_tunnels_active{direction="inbound"} 0');
      socket.destroy();
    });

    test('says that we broke a rule, and our log names it, too', async () => {
      const { socket } = await tunnel();
      const before = ends(api).length;
      socket.write(
        encodeFrame({ type: types.goaway, stream: 0, payload: Uint8Array.of(rules.bad_window, 0, 0, 0, 0) }),
      );
      await until(() => ends(api).length === before + 1, 'it is logged');
      expect(ends(api).at(-1)).toMatchObject({ level: warned, cause: 'told', rule: 'bad_window' });
      socket.destroy();
    });
  });

  describe('a side that accepts', () => {
    let web: Pod;
    /** What the peer does with a tunnel, once an OPEN has come. */
    let act: (socket: TLSSocket, frames: readonly Frame[]) => Promise<void>;
    let told: Frame[] = [];
    const PORT = 8_070;

    beforeAll(async () => {
      web = await mesh.pod('web');
      const leaf = await testLeaf(mesh.authority, { service: 'rogue' });
      const server = createServer(
        { cert: leaf.certificate, key: leaf.key, ca: leaf.bundle, requestCert: true, ALPNProtocols },
        (socket) => {
          const frames = framesOf(socket);
          told = frames;
          mesh.onEnd(() => socket.destroy());
          void until(() => count(frames, types.open) > 0 || socket.destroyed, 'a stream is wanted').then(() =>
            act(socket, frames),
          );
        },
      );
      server.on('tlsClientError', () => undefined);
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      mesh.onEnd(() => server.close());
      const { port } = server.address() as AddressInfo;
      const { identity } = leaf;
      mesh.control.setDestination(`127.0.0.1:${PORT}`, {
        known: true,
        serverName: 'rogue.shop.svc.cluster.local',
        endpoints: [{ address: '127.0.0.1', port, transport: 'mutual', identity }],
      });
    });

    test.each(vectorsOf('dialling'))('sends %s', async (_, violation) => {
      const [before, counted] = [ends(web).length, await violationsOf(web, 'outbound')];
      const pieces = piecesOf(violation);
      act = async (socket, frames) => {
        // What is answered has carried a byte by then.
        if (pieces.length > 1) {
          socket.write(Buffer.concat(pieces.slice(0, -1)));
          await until(() => count(frames, types.data) > 0 || socket.destroyed, 'a byte has come');
        }
        socket.write(pieces.at(-1) ?? Buffer.alloc(0));
      };
      const application = web.dial(PORT);
      application.write('x');
      application.resume();
      await wasReset(application);
      await until(() => ends(web).length > before, 'the end is logged');
      const { rule, code } = violation;
      expect(ends(web).at(-1)).toMatchObject({ level: warned, direction: 'outbound', cause: 'violation', rule });
      await until(() => lastCode(told) !== undefined, 'the peer is told');
      expect(lastCode(told)).toBe(code);
      await until(() => web.core.live.count('outbound') === 0, 'nothing is left');
      expect(await violationsOf(web, 'outbound')).toBeGreaterThan(counted);
      expect(await web.metrics.text()).toContain('tabard_tunnels_active{direction="outbound"} 0');
    });

    test('says that we broke a rule: the application sees a reset, and our log names it', async () => {
      const before = ends(web).length;
      act = async (socket) => {
        socket.write(encodeFrame({ type: types.accept, stream: 1 }));
        socket.write(encodeFrame({ type: types.goaway, stream: 0, payload: Uint8Array.of(rules.flood, 0, 0, 0, 1) }));
      };
      const application = web.dial(PORT);
      application.write('x');
      application.resume();
      await wasReset(application);
      await until(() => ends(web).length > before, 'it is logged');
      expect(ends(web).at(-1)).toMatchObject({ level: warned, cause: 'told', rule: 'flood' });
    });
  });
});

// What the accepting side keeps of a peer over all of its tunnels. Sessions are real, over links in memory; who the peer is was proved elsewhere.
import { expect, test } from '@jest/globals';
import { systemClock } from '../../../../lib/clock.ts';
import { createLogger } from '../../../../lib/runtime/logger.ts';
import type { Generation } from '../../../../sidecar/tls/generation.ts';
import { type AcceptedTunnel, type Refused, TunnelAcceptor } from '../../../../sidecar/tunnel/acceptor.ts';
import { MAX_PEER_BYTES, MAX_TUNNEL_BYTES } from '../../../../sidecar/tunnel/held.ts';
import { TunnelRegistry } from '../../../../sidecar/tunnel/registry.ts';
import { TunnelSession } from '../../../../sidecar/tunnel/session.ts';
import type { Answer } from '../../../../sidecar/tunnel/table.ts';
import { linkedHalves } from '../../../support/linkedhalves.ts';
import { anOpening, listenTo, settled } from '../../../support/tunnelpair.ts';

const notAfter = new Date(Date.now() + 86_400_000);
/** Certificates that are as good as they can be. */
const generation = {
  notAfter,
  expired: () => false,
  revoked: () => undefined,
  judgeAgain: () => ({ ok: true }),
} as unknown as Generation;

test('bytes that wait count for a peer over all of its tunnels, not for another one; what is refused for them is told', async () => {
  const registry = new TunnelRegistry({
    clock: systemClock,
    logger: createLogger({ name: 'sidecar', level: 'silent' }),
    onEnd: () => undefined,
  });
  const refused: Refused[] = [];
  const acceptor = new TunnelAcceptor({
    clock: systemClock,
    registry,
    generation: () => generation,
    isSamePort: () => true,
    admit: () => undefined,
    idleTimeoutMs: () => 600_000,
    carry: ({ stream, accept }) => {
      accept();
      listenTo(stream);
      stream.pause();
    },
    refused: (_tunnel, _stream, why) => void refused.push(why),
  });
  const sessions: TunnelSession[] = [];
  /** A tunnel from a place, and a way to open a stream in it. */
  const tunnelFrom = (address: string) => {
    const [half, far] = linkedHalves({ highWater: 100_000_000 });
    acceptor.take({
      id: `${sessions.length}`,
      half: far,
      source: { address, port: 40_000 },
      destination: { address: '10.0.0.9', port: anOpening.port },
      tls: { serial: '01' },
      peer: { identity: 'spiffe://cluster.local/ns/shop/svc/web', fingerprint: 'f', notAfter },
      generation,
    } as unknown as AcceptedTunnel);
    const session = new TunnelSession({
      half,
      role: 'dialling',
      maxStreams: 10_000,
      nowMs: () => 0,
      events: { retired: () => undefined, ended: () => undefined },
    });
    sessions.push(session);
    return async () => {
      const { promise, resolve } = Promise.withResolvers<Answer>();
      const stream = session.open(anOpening, resolve);
      listenTo(stream);
      const answer = await promise;
      return { stream, answer: answer.kind };
    };
  };
  const [first, second, third, other] = ['10.0.0.1', '10.0.0.1', '10.0.0.1', '10.0.0.2'].map(tunnelFrom);
  if (first === undefined || second === undefined || third === undefined || other === undefined)
    throw new Error('four were made');
  const block = new Uint8Array(MAX_TUNNEL_BYTES / 128);
  for (const open of [first, second]) {
    for (let count = 0; count < MAX_PEER_BYTES / 2 / block.length; count += 1) {
      const { stream, answer } = await open();
      expect([count, answer]).toEqual([count, 'accepted']);
      stream.write(block, false);
      await settled(4);
    }
    await settled();
  }
  expect(refused).toEqual([]);
  expect([(await third()).answer, (await other()).answer]).toEqual(['refused', 'accepted']);
  expect(refused).toMatchObject([{ reason: 'overload' }]);
  await registry.close(1_000);
  for (const session of sessions) session.close();
}, 60_000);

// Which tunnel a stream goes to, and when another one is made. Sessions are real, over links in memory; handshakes are promises of the test.
import { describe, expect, test } from '@jest/globals';
import { type ClientTunnel, dueAt, measure, SUSTAINED_LOOKS } from '../../../../sidecar/transport/clienttunnel.ts';
import type { MeshConnection, MeshDialled } from '../../../../sidecar/transport/dial.ts';
import { PeerTunnels } from '../../../../sidecar/transport/peertunnels.ts';
import type { Target } from '../../../../sidecar/transport/transport.ts';
import { listenTo, settled, tunnelPair } from '../../../support/tunnelpair.ts';

const target: Target = {
  address: '10.0.0.1',
  port: 80,
  identity: 'spiffe://cluster.local/ns/shop/svc/api',
  serverName: 'api',
};
const limits = { connectTimeoutMs: 1, handshakeTimeoutMs: 1 };
const failure: MeshDialled = {
  ok: false,
  reason: 'upstream_unreachable',
  detail: 'ECONNREFUSED',
  fault: 'endpoint',
};

function aTunnel(): ClientTunnel {
  const { dialling: session } = tunnelPair({ maxStreams: 1 });
  // What is judged elsewhere is of no account here.
  const rest = {
    id: '',
    facts: {},
    place: target,
    endMs: 0,
    endReason: 'expired',
    look: () => undefined,
    tls: {},
    peer: {},
  };
  return {
    ...rest,
    session,
    generation: {},
    dueMs: 0,
    heat: 0,
    bulkLooks: 0,
    seenBytes: 0,
    isDue: false,
  } as unknown as ClientTunnel;
}

/** An endpoint whose handshakes end as `outcomes` say, one after the other. */
function bench(outcomes: readonly ('tunnel' | 'direct' | 'failed')[]) {
  const left = [...outcomes];
  const made: ClientTunnel[] = [];
  const state = { dials: 0, nowMs: 0, current: (tunnel: ClientTunnel): boolean => !tunnel.session.isRetired };
  let next: 'tunnel' | 'direct' | 'failed' = 'failed';
  const peer = new PeerTunnels(
    {
      dial: async () => {
        state.dials += 1;
        await settled(2);
        next = left.shift() ?? 'failed';
        return next === 'failed' ? failure : { ok: true, connection: {} as MeshConnection };
      },
      adopt: () => {
        if (next === 'direct') return undefined;
        const tunnel = aTunnel();
        made.push(tunnel);
        return tunnel;
      },
      isCurrent: (tunnel) => state.current(tunnel),
      breach: () => undefined,
      nowMs: () => state.nowMs,
    },
    target,
  );
  return { peer, made, state };
}

describe('the tunnels of an endpoint', () => {
  test('are made once for all who ask together', async () => {
    const { peer, made, state } = bench(['tunnel']);
    const places = await Promise.all(Array.from({ length: 20 }, () => peer.find(limits)));
    expect(state.dials).toBe(1);
    expect(places).toEqual(places.map(() => ({ kind: 'tunnel', tunnel: made[0] })));
    expect(peer.ready()).toBe(made[0]);
  });

  test('are none where the endpoint knows none: the first who asked gets the connection, and nobody asks again for a while', async () => {
    const { peer, state } = bench(['direct', 'tunnel']);
    const [first, second] = await Promise.all([peer.find(limits), peer.find(limits)]);
    expect(first).toMatchObject({ kind: 'direct', connection: {} });
    expect(second).toEqual({ kind: 'direct', connection: undefined });
    expect(await peer.find(limits)).toEqual({ kind: 'direct', connection: undefined });
    expect(state.dials).toBe(1);
    state.nowMs += 300_000;
    expect((await peer.find(limits)).kind).toBe('tunnel');
  });

  test('are replaced before they are retired, and go on while they cannot be replaced', async () => {
    const { peer, made, state } = bench(['tunnel', 'failed', 'tunnel']);
    await peer.find(limits);
    const [old] = made;
    state.current = (tunnel) => tunnel !== old;
    expect(peer.ready()).toBeUndefined();
    expect(await peer.find(limits)).toEqual({ kind: 'tunnel', tunnel: old });
    expect(await peer.find(limits)).toEqual({ kind: 'tunnel', tunnel: made[1] });
    expect(old?.session.isRetired).toBe(true);
    expect(peer.ready()).toBe(made[1]);
  });

  test('are two at most: beyond their caps connections go direct', async () => {
    const { peer, made, state } = bench(['tunnel', 'tunnel', 'tunnel']);
    for (let i = 0; i < 2; i += 1) {
      await peer.find(limits);
      listenTo(made[i]?.session.open({ port: 80, source: undefined, startedMs: 0 }, () => undefined) as never);
    }
    expect(peer.ready()).toBeUndefined();
    expect(await peer.find(limits)).toEqual({ kind: 'direct', connection: undefined });
    expect(state.dials).toBe(2);
  });

  test('become two under bulk that goes on, and the cooler one takes the next stream', async () => {
    const { peer, made } = bench(['tunnel', 'tunnel', 'tunnel']);
    await peer.find(limits);
    const [first] = made;
    if (first === undefined) throw new Error('nothing was made');
    let bytes = 0;
    const busy = {
      ...first,
      session: {
        get traffic() {
          return bytes;
        },
      },
    } as unknown as ClientTunnel;
    for (let looks = 0; looks < SUSTAINED_LOOKS; looks += 1) {
      expect(busy.bulkLooks).toBe(looks);
      bytes += 33_554_432;
      measure(busy);
    }
    expect(busy.bulkLooks).toBe(SUSTAINED_LOOKS);
    first.heat = busy.heat;
    for (let i = 0; i < 3; i += 1) {
      peer.widen(limits);
      await settled();
    }
    expect(made.length).toBe(2);
    expect(peer.ready()).toBe(made[1]);
  });
});

test('a tunnel is due at half of the certificate that ends first, or at the maximum age, a little sooner', () => {
  for (let i = 0; i < 50; i += 1) {
    expect(dueAt(0, 100_000, 1_000_000)).toBeGreaterThanOrEqual(45_000);
    expect(dueAt(0, 100_000, 1_000_000)).toBeLessThanOrEqual(50_000);
    expect(dueAt(0, 100_000, 10_000)).toBeLessThanOrEqual(10_000);
  }
});

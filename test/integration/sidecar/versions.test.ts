// Today's sidecar with one of an earlier version, in both roles, over both transports: what the protocol's specification promises for peers
// one version apart (docs/tunnel-protocol.md section 9). The other one is real: test/data/peers, made by hack/olderpeer.ts. Needs root.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { TestPod } from '../../support/pods/pod.ts';
import { begin, finish, serveShapes, shapes, wholeOf } from '../../support/pods/shapes.ts';
import { PodWorld } from '../../support/pods/world.ts';
import { relayNames } from '../../support/relays.ts';
import type { Way } from '../../support/ways.ts';

const minute = 60_000;
const data = resolve(import.meta.dirname, '../../data/peers');
const service = '10.79.200.1';
const ECHO = 9_100;
const transports: readonly Way['transport'][] = ['Tunnel', 'Direct'];

let world: PodWorld;
let older: string;
let client: TestPod;
let server: TestPod;

beforeAll(async () => {
  world = await PodWorld.start();
  const bundle = gunzipSync(readFileSync(join(data, 'sidecar.js.gz')));
  const { sha256 } = JSON.parse(readFileSync(join(data, 'peer.json'), 'utf8')) as { sha256: string };
  expect(createHash('sha256').update(bundle).digest('hex')).toBe(sha256);
  older = join(world.folder, 'older.js');
  writeFileSync(older, bundle);
  client = world.pod('client');
  server = world.pod('server');
  await server.ask({ do: 'echo', port: ECHO, name: 'server' });
  await serveShapes(server);
  for (const port of [ECHO, ...shapes.map((shape) => shape.port)]) await world.publish(service, port, [server]);
}, 3 * minute);
afterAll(() => world?.end(), minute);

describe.each([
  ["an older server's sidecar", 'server'],
  ["an older client's sidecar", 'client'],
])('with %s', (_, which) => {
  test.each(transports.flatMap((transport) => relayNames.map((relay) => [transport, relay] as const)))(
    '%s carries everything, over the %s relay of today',
    async (transport, relay) => {
      await Promise.all([client, server].map((pod) => world.tell(pod, transport)));
      const old = { program: older };
      const today = { program: world.today, relay };
      await server.startSidecar(which === 'server' ? old : today);
      await client.startSidecar(which === 'client' ? old : today);
      const calls = Array.from({ length: 20 }, (_unused, call) => client.call(service, ECHO, `${call}`));
      expect(await Promise.all(calls)).toEqual(calls.map((_unused, call) => `server ${call}`));
      const begun = await begin(client, server, service);
      for (const talked of await finish(client, server, begun)) expect(talked.told).toEqual(wholeOf(talked));
      const [witness, direction] =
        which === 'server' ? ([client, 'outbound'] as const) : ([server, 'inbound'] as const);
      const carriage = transport === 'Tunnel' ? 'tunnel' : 'direct';
      const count = `tabard_connections_total{direction="${direction}",transport="${carriage}",result="ok",reason=""}`;
      await witness.untilLive(direction, 0);
      expect(await witness.metric(count)).toBe(20 + shapes.length);
      // The older one leaves as it would in a rollout; who had a connection to it is told at a quiet moment.
      const leaving = which === 'server' ? server : client;
      leaving.sidecar.kill('SIGTERM');
      expect(await leaving.sidecar.exited).toBe(0);
    },
    5 * minute,
  );
});

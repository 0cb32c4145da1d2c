// More connections than a policy lets in, at real sidecars in network namespaces: the newest are refused and the reason is told, those that
// stand go on, memory stays what it was, and the sidecar says that it is well, because it is. Needs root.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { residentMb } from '../../../bench/dataplane/program.ts';
import type { TestPod } from '../../support/pods/pod.ts';
import { PodWorld } from '../../support/pods/world.ts';
import { everyWay } from '../../support/ways.ts';

const minute = 60_000;
const service = '10.79.200.1';
const PORT = 8080;
const LIMIT = 30;
const TOO_MANY = 200;

let world: PodWorld;
let client: TestPod;
let server: TestPod;

beforeAll(async () => {
  world = await PodWorld.start();
  client = world.pod('client');
  server = world.pod('server');
  await server.ask({ do: 'echo', port: PORT, name: 'server' });
  await world.publish(service, PORT, [server]);
}, 3 * minute);
afterAll(() => world?.end(), minute);

describe.each(everyWay)('over %s', (_, { transport, relay }) => {
  beforeAll(async () => {
    await Promise.all([client, server].map((pod) => world.tell(pod, transport)));
    for (const pod of [client, server]) await pod.startSidecar({ program: world.today, relay });
  }, 3 * minute);

  test.each([
    ['the server lets in', 'inbound', () => server],
    ['the client lets out', 'outbound', () => client],
  ] as const)(
    'beyond what %s the newest are refused, and nobody else notices',
    async (_limit, direction, find) => {
      const full = find();
      const limit = (maxConcurrent: number) => world.tell(full, transport, { connections: { maxConcurrent } });
      const told = (): number => full.log.filter(({ msg }) => msg === 'policy in use').length;
      const before = told();
      await limit(LIMIT);
      await full.untilLogged(() => told() > before, 'hears of the limit');
      const names = Array.from({ length: LIMIT }, (_unused, number) => `${direction} ${number}`);
      for (const name of names) expect(await client.call(service, PORT, 'hello', name)).toBe('server hello');

      const megabytes = residentMb(full.sidecar.child.pid ?? 0);
      const refused = `tabard_connections_total{direction="${direction}",transport="none",result="refused",reason="overload"}`;
      const late = Array.from({ length: TOO_MANY }, () => client.call(service, PORT, 'me, too'));
      expect(new Set(await Promise.all(late))).toEqual(new Set([null]));
      expect(await full.metric(refused)).toBeGreaterThanOrEqual(TOO_MANY);
      expect(full.log.find(({ msg, reason }) => msg === 'connection refused' && reason === 'overload')).toBeDefined();
      // Who called is told as well, where there is somebody to tell it.
      const caller = client.log.findLast(({ msg }) => msg === 'connection refused')?.['reason'];
      if (transport === 'Tunnel' || direction === 'outbound') expect(caller).toBe('overload');
      expect([(await full.page('/ready')).status, (await full.page('/live')).status]).toEqual([200, 200]);
      expect(residentMb(full.sidecar.child.pid ?? 0) - megabytes).toBeLessThan(40);
      await full.untilLive(direction, LIMIT);

      for (const on of names) {
        await client.ask({ do: 'send', on, line: 'still' });
        expect(await client.ask({ do: 'hear', on })).toBe('server still');
      }
      await client.ask({ do: 'drop' });
      await client.untilLive('outbound', 0);
      await client.untilAnswers(service, PORT, 'server hello');
      await limit(10_000);
    },
    5 * minute,
  );
});

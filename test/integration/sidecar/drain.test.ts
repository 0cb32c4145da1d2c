// A pod that stops in the middle of transfers, whichever of the four processes it is that goes first: every byte arrives, in order, both
// ways, however the applications end their directions. Real sidecars in network namespaces, over every way. Needs root.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { TestPod } from '../../support/pods/pod.ts';
import { begin, finish, serveShapes, shapes, wholeOf } from '../../support/pods/shapes.ts';
import { PodWorld } from '../../support/pods/world.ts';
import { everyWay } from '../../support/ways.ts';

const minute = 60_000;
/** Readers stand still for so long: longer than any moment that could be taken for quiet. */
const STALL_MS = 1_500;
const service = '10.79.200.1';

let world: PodWorld;
let client: TestPod;
let server: TestPod;

beforeAll(async () => {
  world = await PodWorld.start();
  client = world.pod('client');
  server = world.pod('server');
  for (const { port } of shapes) await world.publish(service, port, [server]);
}, 3 * minute);
afterAll(() => world?.end(), minute);

describe.each(everyWay)('over %s', (_, { transport, relay }) => {
  beforeAll(() => Promise.all([client, server].map((pod) => world.tell(pod, transport))));
  beforeEach(async () => {
    await Promise.all([client, server].map((pod) => pod.restart({ program: world.today, relay })));
    await serveShapes(server);
  }, 3 * minute);
  afterAll(() => Promise.all([client.end(), server.end()]));

  test.each([
    ["the client's sidecar", () => client.sidecar],
    ["the server's sidecar", () => server.sidecar],
    ["the server's application", () => server.application],
    ["the client's application", () => client.application],
  ])(
    'no byte is lost when %s is told to stop in the middle of transfers',
    async (_who, find) => {
      const begun = await begin(client, server, service);
      const leaving = find();
      leaving.kill('SIGTERM');
      await new Promise((resolve) => setTimeout(resolve, STALL_MS));
      for (const transfer of await finish(client, server, begun)) expect(transfer.told).toEqual(wholeOf(transfer));
      expect(await leaving.exited).toBe(0);
      for (const pod of [client, server].filter(({ sidecar }) => sidecar === leaving)) {
        expect(pod.log.find(({ msg }) => msg === 'connections drained')).toMatchObject({ cut: 0 });
      }
    },
    5 * minute,
  );
});

// Sidecars of two workers as the image has them, with the redirect's rules: transfers of every shape between pods in network namespaces, over
// IPv4 and through whichever worker the kernel chooses. Needs root.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { TestPod } from '../../support/pods/pod.ts';
import { begin, finish, serveShapes, shapes, wholeOf } from '../../support/pods/shapes.ts';
import { PodWorld } from '../../support/pods/world.ts';
import { bothWays } from '../../support/ways.ts';

const minute = 60_000;
const service = '10.79.200.1';
const serves = ({ msg }: { readonly msg?: unknown }) => msg === 'worker serves';

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

test.each(bothWays)(
  'two workers carry every byte over %s, and end in order',
  async (_, { transport, relay }) => {
    const pods = [client, server];
    await Promise.all(pods.map((pod) => world.tell(pod, transport)));
    await Promise.all(pods.map((pod) => pod.restart({ program: world.today, relay, workers: 2 })));
    await Promise.all(pods.map((pod) => pod.untilLogged(serves, 'its second worker serves')));
    await serveShapes(server);
    const begun = await begin(client, server, service);
    for (const transfer of await finish(client, server, begun)) expect(transfer.told).toEqual(wholeOf(transfer));
    for (const pod of pods) {
      expect(await pod.metric('tabard_sidecar_workers{state="serving"}')).toBe(2);
      pod.sidecar.kill('SIGTERM');
      expect(await pod.sidecar.exited).toBe(0);
    }
    await Promise.all(pods.map((pod) => pod.end()));
  },
  8 * minute,
);

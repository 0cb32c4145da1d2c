// Sidecars on a Node whose insides are not what the fast relay takes them for: its self-test finds that out at the start, the log and the
// metrics say so, and connections are carried all the same. The bundle, behind the real redirect. Needs root.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { TestPod } from '../../../support/pods/pod.ts';
import { begin, finish, serveShapes, shapes, wholeOf } from '../../../support/pods/shapes.ts';
import { PodWorld } from '../../../support/pods/world.ts';
import { until } from '../../../support/until.ts';

const minute = 60_000;
const service = '10.79.200.1';
const transports = ['Tunnel', 'Direct'] as const;

/** Has a script run before the sidecar does. */
const before = (script: string): readonly string[] => [
  '--import',
  `data:text/javascript,${encodeURIComponent(script)}`,
];

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

test.each([
  [
    'memory of ours that reads do not go to',
    "process.binding('tcp_wrap').TCP.prototype.useUserBuffer = () => undefined;",
    // On a machine that is very busy its time is over first.
    /^the fast path failed its self-test: /,
  ],
  [
    'no way to what Node has inside',
    "process.binding = () => { throw new Error('no such module'); };",
    /^the fast path is not there: the connections of Node cannot be reached: no such module$/,
  ],
])(
  'with %s the public relay carries every byte, and says why it was chosen',
  async (_what, script, why) => {
    for (const transport of transports) {
      for (const pod of [client, server]) {
        await world.tell(pod, transport);
        await pod.end();
        pod.startApplication();
        await pod.startSidecar({ program: world.today, options: before(script) });
        // Its log may come later than its readiness.
        await until(() => pod.log.some(({ msg }) => msg === 'relay chosen'), 'a line about the relay');
        const chosen = pod.log.find(({ msg }) => msg === 'relay chosen');
        expect(chosen).toMatchObject({ level: 'warn', path: 'public', why: expect.stringMatching(why) });
        expect(await pod.metric('tabard_sidecar_relay_info{path="public"}')).toBe(1);
        expect(await pod.metric('tabard_sidecar_relay_info{path="fast"}')).toBe(0);
      }
      await serveShapes(server);
      const begun = await begin(client, server, service);
      for (const transfer of await finish(client, server, begun)) expect(transfer.told).toEqual(wholeOf(transfer));
    }
  },
  8 * minute,
);

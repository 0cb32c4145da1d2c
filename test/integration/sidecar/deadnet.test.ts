// A network that swallows packets between two pods, in one direction or in both, and tells nobody: an nft rule on the node drops them. Clients
// over every way look at all three at once, so that what takes its time takes it once. Needs root.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Gone } from '../../support/pods/application.ts';
import type { TestPod } from '../../support/pods/pod.ts';
import { PodWorld } from '../../support/pods/world.ts';
import { everyWay, type Way } from '../../support/ways.ts';

const minute = 60_000;
const PORT = 8080;

/** What of a server's packets is lost, with the address of its service, and that of another one that a healthy pod stands behind, too. */
const losses = [
  ['asks are lost', '10.79.200.1', '10.79.201.1'],
  ['answers are lost', '10.79.200.2', '10.79.201.2'],
  ['both are lost', '10.79.200.3', '10.79.201.3'],
] as const;
type Loss = (typeof losses)[number][0];
const names: Readonly<Record<Loss, string>> = {
  'asks are lost': 'deaf',
  'answers are lost': 'mute',
  'both are lost': 'gone',
};

interface Client {
  readonly way: Way;
  readonly pod: TestPod;
}

let world: PodWorld;
let healthy: TestPod;
const clients: Client[] = [];
const servers = new Map<Loss, TestPod>();

async function serve(name: string): Promise<TestPod> {
  const pod = world.pod(name);
  await pod.ask({ do: 'echo', port: PORT, name });
  await world.tell(pod, 'Tunnel');
  await pod.startSidecar({ program: world.today });
  return pod;
}

beforeAll(async () => {
  world = await PodWorld.start();
  healthy = await serve('healthy');
  for (const [loss, address, shared] of losses) {
    const pod = await serve(names[loss]);
    servers.set(loss, pod);
    await world.publish(address, PORT, [pod]);
    await world.publish(shared, PORT, [pod]);
  }
  for (const [, way] of everyWay) {
    const pod = world.pod(`client-${way.transport}-${way.relay}`.toLowerCase());
    await world.tell(pod, way.transport);
    await pod.startSidecar({ program: world.today, relay: way.relay });
    clients.push({ way, pod });
  }
}, 5 * minute);
afterAll(() => world?.end(), minute);

/** Does the same for every client and every loss at once. */
const each = (act: (client: Client, loss: Loss, address: string, shared: string) => Promise<void>): Promise<unknown> =>
  Promise.all(clients.flatMap((client) => losses.map(([loss, address, shared]) => act(client, loss, address, shared))));
const isTunnel = ({ way }: Client): boolean => way.transport === 'Tunnel';
const idle = (loss: Loss): string => `idle: ${loss}`;
const busy = (loss: Loss): string => `busy: ${loss}`;

test(
  'lost packets: applications are told by resets, new connections go elsewhere or are refused with the reason, and all goes on when they pass again',
  async () => {
    await each(async ({ pod }, loss, address) => {
      for (const on of [idle(loss), busy(loss)]) {
        expect(await pod.call(address, PORT, 'hello', on)).toBe(`${names[loss]} hello`);
      }
    });
    for (const [loss, server] of servers) {
      for (const { pod } of clients) {
        if (loss !== 'answers are lost') world.drop(pod, server);
        if (loss !== 'asks are lost') world.drop(server, pod);
      }
    }
    const begun = performance.now();
    for (const [loss, , shared] of losses) await world.publish(shared, PORT, [servers.get(loss) ?? healthy, healthy]);

    const told = each(async (client, loss) => {
      const { pod } = client;
      await pod.ask({ do: 'send', on: busy(loss), line: 'into the dark' });
      // `direct` has what TCP has: what is under way is sent again for many minutes.
      const kept = isTunnel(client) ? [idle(loss), busy(loss)] : [idle(loss)];
      const ends = await Promise.all(kept.map((on) => pod.ask<Gone>({ do: 'gone', on })));
      expect([pod.name, loss, ...ends]).toEqual([pod.name, loss, ...kept.map(() => 'ECONNRESET')]);
    });
    const elsewhere = each(async ({ pod }, loss, _, shared) => {
      for (let call = 0; call < 3; call += 1) {
        expect([loss, await pod.call(shared, PORT, `${call}`)]).toEqual([loss, `healthy ${call}`]);
      }
    });
    const refused = each(async ({ pod }, loss, address) => {
      expect([loss, await pod.call(address, PORT, 'is anybody there')]).toEqual([loss, null]);
      const isTold = (line: { [key: string]: unknown }): boolean =>
        line['msg'] === 'connection refused' &&
        line['reason'] === 'upstream_unreachable' &&
        line['destination.address'] === address;
      await pod.untilLogged(isTold, 'says why it was refused');
    });
    await Promise.all([told, elsewhere, refused]);
    console.log(`all who waited were told within ${((performance.now() - begun) / 1_000).toFixed(0)} s`);
    for (const { pod } of clients.filter(isTunnel)) {
      // A side that hears nothing any more may reset the tunnel while its reset still arrives.
      const causes = () => pod.log.filter(({ msg }) => msg === 'tunnel ended').map(({ cause }) => cause);
      await pod.untilLogged(() => causes().length >= losses.length, 'tells of three tunnels that ended');
      expect(causes()).toContain('dead');
    }

    world.heal();
    await each(({ pod }, loss, address) => pod.untilAnswers(address, PORT, `${names[loss]} hello`));
    for (const { pod } of clients) await pod.ask({ do: 'drop' });
    for (const pod of [...clients.map(({ pod }) => pod), ...servers.values(), healthy]) {
      await pod.untilLive('inbound', 0);
      await pod.untilLive('outbound', 0);
      await pod.untilIdle();
    }
  },
  8 * minute,
);

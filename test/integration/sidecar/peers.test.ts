// Peers that fall silent, as real pods over cables: one that is paused, one whose cable is pulled, one whose host vanished and came back with
// other processes. Clients over every way look at all of them at once, so that what takes its time takes it once. Needs root.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { residentMb } from '../../../bench/dataplane/program.ts';
import type { Gone } from '../../support/pods/application.ts';
import type { TestPod } from '../../support/pods/pod.ts';
import { PodWorld } from '../../support/pods/world.ts';
import { everyWay, type Way } from '../../support/ways.ts';

const minute = 60_000;
const PORT = 8080;

/** How a peer falls silent, with the address of its service. */
const fates = [
  ['paused', '10.79.200.1'],
  ['cut', '10.79.200.2'],
  ['vanished', '10.79.200.3'],
] as const;
type Fate = (typeof fates)[number][0];

interface Client {
  readonly way: Way;
  readonly name: string;
  readonly pod: TestPod;
}

let world: PodWorld;
const clients: Client[] = [];
let healthy: TestPod;
let peers: Readonly<Record<Fate, TestPod>>;

/** A pod that sends back what it gets, with its name. */
async function serve(name: string, relay: Way['relay']): Promise<TestPod> {
  const pod = world.pod(name);
  await pod.ask({ do: 'echo', port: PORT, name });
  await world.tell(pod, 'Tunnel');
  await pod.startSidecar({ program: world.today, relay });
  return pod;
}

beforeAll(async () => {
  world = await PodWorld.start();
  peers = {
    paused: await serve('paused', 'fast'),
    cut: await serve('cut', 'public'),
    vanished: await serve('vanished', 'fast'),
  };
  healthy = await serve('healthy', 'public');
  for (const [name, way] of everyWay) {
    const pod = world.pod(`client-${way.transport}-${way.relay}`.toLowerCase());
    await world.tell(pod, way.transport);
    await pod.startSidecar({ program: world.today, relay: way.relay });
    clients.push({ way, name, pod });
  }
}, 5 * minute);
afterAll(() => world?.end(), minute);

/** Does the same for every client at once. */
function each<T>(act: (client: Client) => Promise<T>): Promise<readonly T[]> {
  return Promise.all(clients.map(act));
}

/** A connection of a client to a peer, as it is called. */
const idle = (fate: Fate): string => `idle to ${fate}`;
const busy = (fate: Fate): string => `busy to ${fate}`;
const isOf = (transport: Way['transport']) => (client: Client) => client.way.transport === transport;

test(
  'peers that fall silent lose nobody but those who spoke to them, and serve again when they are back',
  async () => {
    for (const [fate, address] of fates) await world.publish(address, PORT, [peers[fate]]);
    await each(async ({ pod }) => {
      for (const [fate, address] of fates) {
        expect(await pod.call(address, PORT, 'hello', idle(fate))).toBe(`${fate} hello`);
        expect(await pod.call(address, PORT, 'hello', busy(fate))).toBe(`${fate} hello`);
      }
    });
    for (const [fate, address] of fates) await world.publish(address, PORT, [peers[fate], healthy]);
    const before = memory();

    peers.paused.sidecar.kill('SIGSTOP');
    peers.cut.pull();
    const { relay } = everyWay[0]?.[1] ?? { relay: 'fast' as const };
    const returned = await world.vanish(peers.vanished);
    await Promise.all([
      returned.startSidecar({ program: world.today, relay }),
      returned.ask({ do: 'echo', port: PORT, name: 'vanished' }),
    ]);
    peers = { ...peers, vanished: returned };

    // New connections are answered all the same, by somebody.
    await each(async ({ pod }) => {
      for (const [fate] of fates) await pod.ask({ do: 'send', on: busy(fate), line: 'into the dark' });
      for (const [fate, address] of fates) {
        for (let call = 0; call < 4; call += 1) {
          expect([`healthy ${call}`, `vanished ${call}`]).toContain(await pod.call(address, PORT, `${call}`));
          expect([fate, peers[fate].sidecar.isOver]).toEqual([fate, false]);
        }
      }
    });

    // Those who spoke to them are told, without a word from the network.
    const ends = await each(async ({ way, name, pod }) => {
      // `direct` has what TCP has: a paused process has a kernel that answers for it, and what is under way is sent again for many minutes.
      const found = [idle('cut'), idle('vanished')];
      const kept = way.transport === 'Tunnel' ? fates.flatMap(([fate]) => [idle(fate), busy(fate)]) : found;
      const gone = await Promise.all(kept.map((on) => pod.ask<Gone>({ do: 'gone', on })));
      return { name, gone: kept.map((on, index) => `${on}: ${gone[index]}`) };
    });
    for (const { name, gone } of ends) {
      expect([name, gone.filter((end) => !end.endsWith(': ECONNRESET'))]).toEqual([name, []]);
    }
    for (const { pod } of clients.filter(isOf('Tunnel'))) {
      const causes = () => pod.log.filter(({ msg }) => msg === 'tunnel ended').map(({ cause }) => cause);
      const reset = () => pod.log.filter(({ msg, reason }) => msg === 'connection' && reason === 'reset').length;
      await pod.untilLogged(
        () => causes().length >= 3 && reset() >= 6,
        'tells of tunnels and connections that were lost',
      );
      expect(causes()).toContain('dead');
    }

    // Back again.
    peers.paused.sidecar.kill('SIGCONT');
    peers.cut.plug();
    for (const [fate, address] of fates) await world.publish(address, PORT, [peers[fate]]);
    await each(async ({ pod }) => {
      for (const [fate, address] of fates) await pod.untilAnswers(address, PORT, `${fate} hello`);
    });
    for (const { pod } of clients.filter(isOf('Direct'))) {
      for (const on of [idle('paused'), busy('paused')]) await pod.ask({ do: 'send', on, line: 'still' });
      expect(await pod.ask({ do: 'hear', on: idle('paused') })).toBe('paused still');
      expect(await pod.ask({ do: 'hear', on: busy('paused') })).toBe('paused into the dark');
      expect(await pod.ask({ do: 'hear', on: busy('paused') })).toBe('paused still');
      await pod.ask({ do: 'drop' });
    }

    // Nothing is left behind, on either side.
    const all = [...clients.map(({ pod }) => pod), ...Object.values(peers), healthy];
    for (const pod of all) {
      await pod.untilLive('inbound', 0);
      await pod.untilLive('outbound', 0);
      await pod.untilIdle();
    }
    const after = memory();
    for (const [name, megabytes] of before)
      expect([name, (after.get(name) ?? 0) - megabytes < 40]).toEqual([name, true]);
  },
  8 * minute,
);

/** Resident megabytes of the sidecars that stay. */
function memory(): ReadonlyMap<string, number> {
  const pods = [...clients.map(({ pod }) => pod), peers.paused, peers.cut, healthy];
  return new Map(pods.map(({ name, sidecar }) => [name, residentMb(sidecar.child.pid ?? 0)]));
}

// The shapes that a transfer between two applications can have: who sends, who speaks first, and who ends a direction when. Each is more than
// fits between the two, so that it stands still, in the middle, until its reader reads.
import type { TestPod } from './pod.ts';
import type { Talk, Talked } from './talk.ts';

/** What both applications do, by the port on which the server does it. */
export interface Shape {
  readonly name: string;
  readonly port: number;
  readonly client: Talk;
  readonly server: Talk;
}

/** More than sidecars and the kernel of a pod hold for one connection (world.ts). */
const MUCH = 6_000_000;

/** Every shape. */
export const shapes: readonly Shape[] = [
  {
    name: 'a download after a request that was ended',
    port: 9_001,
    client: { sends: 100, begins: 'at once', ends: 'when sent', holds: true },
    server: { sends: MUCH, begins: 'when the other has ended', ends: 'when sent' },
  },
  {
    name: 'a download by a server that speaks first',
    port: 9_002,
    client: { sends: 0, begins: 'at once', ends: 'when the other has ended', holds: true },
    server: { sends: MUCH, begins: 'at once', ends: 'when sent' },
  },
  {
    name: 'an upload that is answered after its end',
    port: 9_003,
    client: { sends: MUCH, begins: 'at once', ends: 'when sent' },
    server: { sends: 1_000, begins: 'when the other has ended', ends: 'when sent', holds: true },
  },
  {
    name: 'an upload to a server that has ended its own direction',
    port: 9_004,
    client: { sends: MUCH, begins: 'at once', ends: 'when sent' },
    server: { sends: 0, begins: 'at once', ends: 'when sent', holds: true },
  },
  {
    name: 'both ways at once',
    port: 9_005,
    client: { sends: MUCH, begins: 'at once', ends: 'when sent', holds: true },
    server: { sends: MUCH, begins: 'at once', ends: 'when sent', holds: true },
  },
];

/** A transfer that both applications have told of. */
export interface Transfer {
  readonly shape: Shape;
  readonly told: { readonly name: string; readonly client: Talked; readonly server: Talked };
}

/** Has the application of a pod do its part of every shape. */
export async function serveShapes(server: TestPod): Promise<void> {
  for (const { port, server: talk } of shapes) await server.ask({ do: 'listen', port, talk });
}

/** Begins a transfer of every shape; resolves, with their numbers, when all of them go through both sidecars. */
export async function begin(client: TestPod, server: TestPod, to: string): Promise<readonly number[]> {
  const begun: number[] = [];
  for (const { port, client: talk } of shapes) begun.push(await client.ask<number>({ do: 'talk', to, port, talk }));
  await Promise.all([client.untilLive('outbound', shapes.length), server.untilLive('inbound', shapes.length)]);
  return begun;
}

/** Lets the readers read; resolves with what both applications say. */
export async function finish(client: TestPod, server: TestPod, begun: readonly number[]): Promise<readonly Transfer[]> {
  // Asked first: an application that was told to stop is gone as soon as it has nothing left to do.
  const transfers = shapes.map(async (shape, index): Promise<Transfer> => {
    const here = client.ask<Talked>({ do: 'outcome', of: begun[index] ?? -1 });
    const there = server.ask<Talked>({ do: 'heard', port: shape.port });
    const [clients, servers] = await Promise.all([here, there]);
    return { shape, told: { name: shape.name, client: clients, server: servers } };
  });
  await Promise.all([client.ask({ do: 'read on' }), server.ask({ do: 'read on' })]);
  return Promise.all(transfers);
}

/** What both would say if every byte had arrived, in order, and both directions had ended in order. */
export function wholeOf({ shape, told: { client, server } }: Transfer): Transfer['told'] {
  const whole = (own: Talk, talked: Talked, other: Talked): Talked => ({
    sent: own.sends,
    sentHash: talked.sentHash,
    received: other.sent,
    receivedHash: other.sentHash,
    heardEnd: true,
  });
  return {
    name: shape.name,
    client: whole(shape.client, client, server),
    server: whole(shape.server, server, client),
  };
}

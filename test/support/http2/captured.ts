// A port of loopback that stands for a pod's capture, for clients that cannot be handed a socket: what comes in there leaves as if an
// application of the pod had opened it.
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { Mesh, Pod } from '../pocketmesh.ts';

/** The port. It goes with the mesh. `destination`: the published port that its connections are for. */
export async function captured(mesh: Mesh, pod: Pick<Pod, 'dial'>, destination: number): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => pipeBoth(socket, pod.dial(destination)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  mesh.onEnd(() => server.close());
  return (server.address() as AddressInfo).port;
}

function pipeBoth(one: Socket, other: Socket): void {
  for (const socket of [one, other]) socket.on('error', () => undefined);
  one.on('close', () => other.destroy());
  other.on('close', () => one.destroy());
  one.pipe(other).pipe(one);
}

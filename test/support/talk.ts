// A connection that is kept, with everything that it has got so far; and the moment from which a pod judges by another policy.
import type { Socket } from 'node:net';
import { type Mesh, type Pod, until } from './pocketmesh.ts';

/** One side of a conversation. */
export class Talk {
  readonly socket: Socket;
  text = '';
  ended = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => void (this.text += chunk.toString('latin1')));
    socket.on('error', () => undefined);
    socket.on('close', () => void (this.ended = true));
    socket.on('end', () => void (this.ended = true));
  }
}

/** Tells a service's pod something else about itself, and waits until that is in force. */
export async function changePolicy(
  mesh: Mesh,
  pod: Pod,
  service: string,
  self: Parameters<Mesh['tell']>[1],
): Promise<void> {
  const policies = (): number => pod.lines.filter(({ msg }) => msg === 'policy in use').length;
  const before = policies();
  mesh.tell(service, self);
  // A busy machine may take its time.
  await until(() => policies() > before, 'the policy is in use', 15_000);
}

// The kubelet's tcpSocket probe (kubernetes pkg/probe/tcp): succeeds when a connection opens, and closes it at once.
import { once } from 'node:events';
import { connect } from 'node:net';
import { messageOf } from '../../lib/errors.ts';
import { failed, type ProbeContext, type ProbeOutcome } from './outcome.ts';

/** Opens and closes a connection. Never rejects. */
export async function probeTcp(
  action: { readonly host?: string; readonly port: number },
  { address, signal }: ProbeContext,
): Promise<ProbeOutcome> {
  const socket = connect({ host: action.host ?? address, port: action.port });
  try {
    await once(socket, 'connect', { signal });
    return { success: true, answered: true, status: 200, message: 'connected' };
  } catch (error) {
    return failed(messageOf(signal.aborted ? signal.reason : error));
  } finally {
    socket.on('error', () => undefined);
    socket.destroy();
  }
}

// All TCP bytes between the pods of an embedded cluster, as tcpdump sees them on the bridge.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Cluster } from '../cluster/api.ts';

/** Bytes seen on the wire between pods. */
export interface Capture {
  /** Ends the capture and gives all that was seen, as a pcap. Fails with what tcpdump said. */
  stop(): Promise<Buffer>;
}

/** Starts a capture; resolves once tcpdump listens. */
export async function captureBridge(cluster: Pick<Cluster, 'netns' | 'bridge'>): Promise<Capture> {
  const dump = ['tcpdump', '-i', cluster.bridge, '--immediate-mode', '-B', '16384', '-s', '0', '-U', '-w', '-', 'tcp'];
  const child = spawn('nsenter', [`--net=${cluster.netns}`, ...dump], { stdio: ['ignore', 'pipe', 'pipe'] });
  const chunks: Buffer[] = [];
  let said = '';
  const listening = Promise.withResolvers<void>();
  child.on('error', listening.reject);
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
    if (said.includes('listening on')) listening.resolve();
  });
  const ended = once(child, 'close');
  void ended.then(() => listening.reject(new Error(`tcpdump ended: ${said.trim()}`)));
  await listening.promise;
  return {
    async stop() {
      child.kill('SIGINT');
      await ended;
      if (!said.includes('packets captured')) throw new Error(`tcpdump ended: ${said.trim()}`);
      return Buffer.concat(chunks);
    },
  };
}

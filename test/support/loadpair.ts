// Two sidecars and an application, each in a process of its own, for tests of load: `dial` opens a connection that goes through both.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { resolve } from 'node:path';
import { leashed } from '../../hack/leash.ts';
import { testLeaf } from './pki.ts';
import { Mesh } from './pocketmesh.ts';
import type { RelayName } from './relays.ts';
import type { Way } from './ways.ts';

/** What a process of the pair is. */
export type LoadSettings = { readonly folder: string } & (
  | { readonly role: 'application' }
  | {
      readonly role: 'sidecar';
      readonly service: string;
      readonly leaf: { readonly certificate: string; readonly key: string; readonly trustBundle: string };
      readonly control: { readonly port: number; readonly identity: string };
      readonly applicationPort: number;
      readonly relay: RelayName;
    }
);

/** What a process says of itself, after a collection of garbage. */
export interface LoadFigures {
  /** The question that this answers. */
  readonly question: number;
  readonly inbound: number;
  readonly outbound: number;
  readonly ready: boolean;
  readonly rssMb: number;
  /** JavaScript's heap and the buffers that it holds. */
  readonly heapMb: number;
}

/** Which process is asked. */
export type LoadPart = 'client' | 'server' | 'application';

/** A running pair. */
export interface LoadPair {
  /** Opens a connection through both sidecars to the application. */
  dial(): Socket;
  figures(part: LoadPart): Promise<LoadFigures>;
  /** The application reads again what it had stopped to read. */
  readOn(): void;
  /** So many connections at once may the client have, as soon as it has heard of it. */
  limit(count: number): void;
  end(): Promise<void>;
}

/** Starts the pair. */
export async function startLoadPair(way: Way): Promise<LoadPair> {
  const mesh = await Mesh.start(way);
  const { port, identity } = mesh.control;
  const folder = mesh.folder();
  const start = async (settings: LoadSettings) => {
    const flags = ['--expose-gc', '--disable-warning=ExperimentalWarning'];
    const script = resolve(import.meta.dirname, 'loadprocess.ts');
    const child = spawn(...leashed(process.execPath, [...flags, script, JSON.stringify(settings)]), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    mesh.onEnd(() => child.kill('SIGKILL'));
    const [told] = (await once(child, 'message')) as [{ listening: number; inbound: number }];
    return { child, ...told };
  };
  const application = await start({ role: 'application', folder });
  // A machine that is busy with other tests takes its time for a hundred handshakes at once.
  const tell = (service: string, maxConcurrent: number): void =>
    mesh.tell(service, { accessLog: 'None', connections: { handshakeTimeoutMs: 60_000, maxConcurrent } });
  const sidecar = async (service: string) => {
    tell(service, 12_000);
    const { certificate, key, bundle: trustBundle } = await testLeaf(mesh.authority, { service });
    const leaf = { certificate, key, trustBundle };
    const applicationPort = application.listening;
    return start({
      role: 'sidecar',
      service,
      leaf,
      control: { port, identity },
      applicationPort,
      relay: way.relay,
      folder,
    });
  };
  const [server, client] = [await sidecar('server'), await sidecar('client')];
  mesh.control.setDestination(`127.0.0.1:${application.listening}`, {
    known: true,
    serverName: 'server.shop.svc.cluster.local',
    endpoints: [
      {
        address: '127.0.0.1',
        port: server.inbound,
        transport: 'mutual',
        identity: 'spiffe://cluster.local/ns/shop/svc/server',
      },
    ],
  });
  const parts: Readonly<Record<LoadPart, ChildProcess>> = {
    client: client.child,
    server: server.child,
    application: application.child,
  };
  let asked = 0;
  const figures = (part: LoadPart): Promise<LoadFigures> => {
    const child = parts[part];
    asked += 1;
    const question = asked;
    const { promise, resolve: answer } = Promise.withResolvers<LoadFigures>();
    const hear = (told: LoadFigures): void => {
      // Another question may have been asked meanwhile.
      if (told.question !== question) return;
      child.off('message', hear);
      answer(told);
    };
    child.on('message', hear);
    child.send(question);
    return promise;
  };
  for (const part of ['client', 'server'] as const) {
    while (!(await figures(part)).ready) await new Promise((again) => setTimeout(again, 50));
  }
  return {
    dial: () => {
      const socket = connect({ host: '127.0.0.1', port: client.listening, allowHalfOpen: true, noDelay: true });
      socket.on('error', () => undefined);
      return socket;
    },
    figures,
    readOn: () => void parts.application.send('read on'),
    limit: (count) => tell('client', count),
    end: () => mesh.end(),
  };
}

/** Throws where this process, and so those that it starts, may not open so many files. */
export function requireOpenFiles(count: number): void {
  const [, most] = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  if (most === undefined || most === 'unlimited' || Number(most) >= count) return;
  throw new Error(`this test needs ${count} open files in one process, and ${most} are allowed: raise ulimit -Hn`);
}

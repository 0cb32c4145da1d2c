// Sidecars that are processes of their own, with their logs on a pipe and their figures for the asking: of a pod with an HTTP application, or any; and healthy clients.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, createServer, type RequestListener, request } from 'node:http';
import { resolve } from 'node:path';
import { leashed } from '../../hack/leash.ts';
import type { LogFigures, LogSettings } from './logprocess.ts';
import { testLeaf } from './pki.ts';
import type { Mesh, Pod } from './pocketmesh.ts';

const program = resolve(import.meta.dirname, 'logprocess.ts');
/** Where the pod is published. */
const port = 8_080;

/** A sidecar that is a process. */
export interface WebProcess {
  readonly child: ChildProcess;
  readonly inboundPort: number;
  readonly outboundPort: number;
  readonly figures: () => Promise<LogFigures>;
  /** Reads its output from now on. */
  readonly read: () => readonly Readonly<Record<string, unknown>>[];
}

/** What may differ of it. */
export interface WebOptions {
  readonly logFormat?: LogSettings['logFormat'];
  readonly answer?: RequestListener;
}

/** A pod `web` with an HTTP application, whose sidecar is a process; published as port 8080. */
export async function webProcess(
  mesh: Mesh,
  { logFormat = 'OpenTelemetry', answer = (_, answered) => void answered.end('here') }: WebOptions = {},
): Promise<WebProcess> {
  const site = createServer(answer);
  const application = await mesh.application((socket) => void site.emit('connection', socket));
  mesh.onEnd(() => site.closeAllConnections());
  // A busy machine takes its time for hundreds of handshakes at once.
  const connections = { handshakeTimeoutMs: 60_000 };
  mesh.tell('web', { connections, ports: [{ port: application.port, mode: 'Mutual', protocol: 'HTTP' }] });
  const web = await sidecarProcess(mesh, { service: 'web', applicationPort: application.port, logFormat });
  mesh.control.setDestination(`127.0.0.1:${port}`, {
    known: true,
    serverName: 'web.shop.svc.cluster.local',
    endpoints: [
      {
        address: '127.0.0.1',
        port: web.inboundPort,
        transport: 'mutual',
        identity: 'spiffe://cluster.local/ns/shop/svc/web',
      },
    ],
  });
  return web;
}

/** A sidecar in a process of its own, ready. What it was told of its policy before is what holds; what goes out by it is bound for `applicationPort`. */
export async function sidecarProcess(
  mesh: Mesh,
  { service, ...rest }: Pick<LogSettings, 'service' | 'applicationPort' | 'logFormat'>,
): Promise<WebProcess> {
  const { certificate, key, bundle: trustBundle } = await testLeaf(mesh.authority, { service });
  const settings: LogSettings = {
    ...rest,
    service,
    leaf: { certificate, key, trustBundle },
    control: { port: mesh.control.port, identity: mesh.control.identity },
    folder: mesh.folder(),
  };
  const flags = ['--expose-gc', '--disable-warning=ExperimentalWarning'];
  const child = spawn(...leashed(process.execPath, [...flags, program, JSON.stringify(settings)]), {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  mesh.onEnd(async () => {
    if (child.exitCode === null && child.kill('SIGKILL')) await once(child, 'exit');
  });
  const [ports] = (await once(child, 'message')) as [Pick<WebProcess, 'inboundPort' | 'outboundPort'>];
  const figures = async (): Promise<LogFigures> => {
    child.send('figures');
    return ((await once(child, 'message')) as [LogFigures])[0];
  };
  while (!(await figures()).ready) await new Promise((again) => setTimeout(again, 50));
  return { child, ...ports, figures, read: () => linesOf(child) };
}

function linesOf({ stdout }: ChildProcess): readonly Readonly<Record<string, unknown>>[] {
  const lines: Readonly<Record<string, unknown>>[] = [];
  let rest = '';
  stdout?.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) lines.push(JSON.parse(part) as Readonly<Record<string, unknown>>);
  });
  return lines;
}

/** So many requests on a few connections through the sidecar of a pod, with lines of more than a kilobyte each; what was answered, by status. */
export async function ask(from: Pod, count: number): Promise<ReadonlyMap<number | undefined, number>> {
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  agent.createConnection = () => from.dial(port);
  const statuses = new Map<number | undefined, number>();
  const one = async (): Promise<void> => {
    const asked = request({ agent, path: `/${'x'.repeat(1_000)}` }).end();
    const [answer] = await once(asked, 'response');
    for await (const _ of answer);
    statuses.set(answer.statusCode, (statuses.get(answer.statusCode) ?? 0) + 1);
  };
  let left = count;
  const worker = async (): Promise<void> => {
    for (; left > 0; ) {
      left -= 1;
      await one();
    }
  };
  await Promise.all(Array.from({ length: 4 }, worker)).finally(() => agent.destroy());
  return statuses;
}

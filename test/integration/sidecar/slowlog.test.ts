// A sidecar whose log nobody reads: traffic goes on, memory stays, what was dropped is counted, and told once somebody reads again.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';
import { resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { leashed } from '../../../hack/leash.ts';
import type { LogFigures, LogSettings } from '../../support/logprocess.ts';
import { testLeaf } from '../../support/pki.ts';
import { Mesh, type Pod, until } from '../../support/pocketmesh.ts';

const program = resolve(import.meta.dirname, '../../support/logprocess.ts');
const port = 8_080;
let mesh: Mesh;

beforeEach(async () => {
  mesh = await Mesh.start();
});
afterEach(() => mesh.end());

interface Running {
  readonly child: ChildProcess;
  readonly figures: () => Promise<LogFigures>;
  /** Reads its output from now on. */
  readonly read: () => readonly Readonly<Record<string, unknown>>[];
}

/** A pod `web` with an HTTP application, whose sidecar is a process; published as port 8080. */
async function web(logFormat: LogSettings['logFormat']): Promise<Running> {
  const site = createServer((_, answer) => answer.end('here'));
  const application = await mesh.application((socket) => void site.emit('connection', socket));
  mesh.onEnd(() => site.closeAllConnections());
  mesh.tell('web', { ports: [{ port: application.port, mode: 'Mutual', protocol: 'HTTP' }] });
  const { certificate, key, bundle: trustBundle, identity } = await testLeaf(mesh.authority, { service: 'web' });
  const settings: LogSettings = {
    leaf: { certificate, key, trustBundle },
    control: { port: mesh.control.port, identity: mesh.control.identity },
    applicationPort: application.port,
    folder: mesh.folder(),
    logFormat,
  };
  const flags = ['--expose-gc', '--disable-warning=ExperimentalWarning'];
  const child = spawn(...leashed(process.execPath, [...flags, program, JSON.stringify(settings)]), {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  mesh.onEnd(async () => {
    if (child.exitCode === null && child.kill('SIGKILL')) await once(child, 'exit');
  });
  const [{ inboundPort }] = (await once(child, 'message')) as [{ inboundPort: number }];
  mesh.control.setDestination(`127.0.0.1:${port}`, {
    known: true,
    serverName: 'web.shop.svc.cluster.local',
    endpoints: [{ address: '127.0.0.1', port: inboundPort, transport: 'mutual', identity }],
  });
  const figures = async (): Promise<LogFigures> => {
    child.send('figures');
    return ((await once(child, 'message')) as [LogFigures])[0];
  };
  while (!(await figures()).ready) await new Promise((again) => setTimeout(again, 50));
  return { child, figures, read: () => linesOf(child) };
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

/** So many requests on a few connections, with lines of more than a kilobyte each; what was answered, by status. */
async function ask(from: Pod, count: number): Promise<ReadonlyMap<number | undefined, number>> {
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

const droppedOf = ({ metrics }: LogFigures): number =>
  Number(/^tabard_log_lines_dropped_total (\d+)$/m.exec(metrics)?.[1] ?? 0);

describe('a sidecar whose log nobody reads', () => {
  test('carries traffic all the same in bounded memory, counts what it drops, and says so when somebody reads', async () => {
    const running = await web('OpenTelemetry');
    const shop = await mesh.pod('shop');
    expect(await ask(shop, 1_500)).toEqual(new Map([[200, 1_500]]));
    const full = await running.figures();
    expect(droppedOf(full)).toBeGreaterThan(0);
    expect(await ask(shop, 1_500)).toEqual(new Map([[200, 1_500]]));
    const later = await running.figures();
    expect(droppedOf(later)).toBeGreaterThanOrEqual(droppedOf(full) + 1_500);
    // Two megabytes of lines were said in between.
    expect(later.heapMb - full.heapMb).toBeLessThan(2);
    const lines = running.read();
    await until(() => lines.some(({ dropped }) => dropped !== undefined), 'it says what was dropped', 20_000);
    const told = lines.find(({ dropped }) => dropped !== undefined);
    expect(told).toMatchObject({
      level: 'warn',
      dropped: droppedOf(await running.figures()),
      msg: 'log lines were dropped: the reader was too slow',
    });
    const before = lines.length;
    await ask(shop, 4);
    const requests = () => lines.slice(before).filter(({ msg }) => msg === 'request').length;
    await until(() => requests() === 4, 'lines flow again', 20_000);
  }, 120_000);

  test('ends when it is told to, without waiting for a reader', async () => {
    const running = await web('OpenTelemetry');
    const shop = await mesh.pod('shop');
    await ask(shop, 1_200);
    expect(droppedOf(await running.figures())).toBeGreaterThan(0);
    const exited = once(running.child, 'exit');
    running.child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  }, 120_000);

  test('goes on when the reader is gone for good', async () => {
    const running = await web('OpenTelemetry');
    running.child.stdout?.destroy();
    const shop = await mesh.pod('shop');
    expect(await ask(shop, 50)).toEqual(new Map([[200, 50]]));
    while (droppedOf(await running.figures()) < 50) await new Promise((again) => setTimeout(again, 50));
  }, 120_000);
});

test('a sidecar that is read says everything, its last words included, by the Elastic Common Schema where that is asked for', async () => {
  const running = await web('ECS');
  const lines = running.read();
  const shop = await mesh.pod('shop');
  await ask(shop, 3);
  running.child.kill('SIGTERM');
  await once(running.child, 'close');
  const requests = lines.filter(({ message }) => message === 'request');
  expect(requests).toHaveLength(3);
  expect(requests[0]).toMatchObject({
    '@timestamp': expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    'ecs.version': '8.17.0',
    'log.level': 'info',
    'process.name': 'sidecar',
    'network.direction': 'inbound',
    'event.outcome': 'success',
    'http.request.method': 'GET',
    'http.response.status_code': 200,
    'tls.client.x509.alternative_names': ['spiffe://cluster.local/ns/shop/svc/shop'],
    'event.duration': expect.any(Number),
  });
  expect(lines.at(-1)).toMatchObject({ message: 'stopped' });
  expect(lines.filter((line) => 'msg' in line || 'level' in line || 'time' in line)).toEqual([]);
}, 120_000);

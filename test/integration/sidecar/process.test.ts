// The sidecar as the process that a container runs: ready within its time, honest about why it is not, gone when it is told to.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { leashed } from '../../../hack/leash.ts';
import { env } from '../../../lib/api/contract.ts';
import { type TestLeaf, testLeaf } from '../../support/pki.ts';
import { Mesh, until } from '../../support/pocketmesh.ts';
import { sidecarEnvironment } from '../../support/sidecarenv.ts';

const main = resolve(import.meta.dirname, '../../../sidecar/main.ts');

let mesh: Mesh;
let folder: string;

beforeEach(async () => {
  mesh = await Mesh.start();
  folder = mkdtempSync(join(tmpdir(), 'tabard-process-'));
  mesh.onEnd(() => rmSync(folder, { recursive: true }));
});
afterEach(() => mesh.end());

/** Writes a generation of the certificate volume as the kubelet does: a new folder, then the link to it in one step. */
function mount(leaf: TestLeaf, generation: number): void {
  const tls = join(folder, 'tls');
  const data = join(tls, `..${generation}`);
  mkdirSync(data, { recursive: true });
  writeFileSync(join(data, 'tls.crt'), leaf.certificate);
  writeFileSync(join(data, 'tls.key'), leaf.key);
  writeFileSync(join(data, 'ca.crt'), leaf.bundle);
  symlinkSync(`..${generation}`, join(tls, '..next'));
  renameSync(join(tls, '..next'), join(tls, '..data'));
}

interface Running {
  readonly child: ChildProcess;
  readonly adminPort: number;
  readonly startedMs: number;
  readonly lines: Readonly<Record<string, unknown>>[];
  readonly exit: Promise<number | null>;
}

async function run(settings: Readonly<Record<string, string>> = {}): Promise<Running> {
  const adminPort = await freePort();
  const startedMs = performance.now();
  const child = spawn(...leashed(process.execPath, ['--disable-warning=ExperimentalWarning', main]), {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...sidecarEnvironment(mesh.control, { tls: join(folder, 'tls'), state: join(folder, 'state') }),
      TABARD_ADMIN_PORT: String(adminPort),
      ...settings,
    },
  });
  mesh.onEnd(() => child.kill('SIGKILL'));
  const lines: Readonly<Record<string, unknown>>[] = [];
  let rest = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop() ?? '';
      for (const part of parts) lines.push(JSON.parse(part) as Readonly<Record<string, unknown>>);
    });
  }
  const exit = once(child, 'exit').then(([code]) => code as number | null);
  return { child, adminPort, startedMs, lines, exit };
}

/** A port that was free a moment ago: the process has to be told one, it cannot say which one it took. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** Status and body of a GET on the admin port; undefined while nobody listens. */
async function get({ adminPort }: Running, path: string): Promise<{ status: number; body: string } | undefined> {
  const socket = connect(adminPort, '127.0.0.1');
  let text = '';
  socket.on('data', (chunk) => {
    text += String(chunk);
  });
  socket.on('error', () => undefined);
  // Not ended: an answer that takes a moment is for who still listens.
  socket.write(`GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`);
  await once(socket, 'close').catch(() => undefined);
  const [, status, body] = /^HTTP\/1\.1 (\d+)[\s\S]*?\r\n\r\n([\s\S]*)$/.exec(text) ?? [];
  return status === undefined ? undefined : { status: Number(status), body: body ?? '' };
}

async function ready(running: Running): Promise<void> {
  const end = performance.now() + 60_000;
  while ((await get(running, '/ready'))?.status !== 200) {
    if (performance.now() > end) throw new Error('it never became ready');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('the process', () => {
  test('is ready once certificate, bundle and policy are there, shows its metrics, and ends well', async () => {
    mesh.tell('web');
    const leaf = await testLeaf(mesh.authority, { service: 'web' });
    mount(leaf, 1);
    const running = await run();
    await ready(running);
    console.log(
      `start to ready: ${Math.round(performance.now() - running.startedMs)} ms (the bar is 400 ms on an idle core)`,
    );
    const metrics = (await get(running, '/metrics'))?.body ?? '';
    expect(metrics).toContain(`tabard_certificate_info{serial="${leaf.serial}"} 1`);
    expect(metrics).toContain(`tabard_certificate_not_after_timestamp_seconds ${leaf.notAfter.getTime() / 1000}`);
    expect(metrics).toContain('tabard_control_connected 1');
    expect(metrics).toContain('tabard_connections_active{direction="inbound"} 0');
    running.child.kill('SIGTERM');
    expect(await running.exit).toBe(0);
    expect(running.lines.filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([]);
  }, 120_000);

  test('says what it lacks while it is not ready', async () => {
    mount(await testLeaf(mesh.authority, { service: 'web' }), 1);
    const running = await run();
    await until(() => running.lines.some(({ msg }) => msg === 'control API connected'), 'it runs', 30_000);
    // The admin port is opened first, but perhaps not in time for this test.
    while ((await get(running, '/live')) === undefined) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await get(running, '/ready')).toMatchObject({ status: 503, body: '{"ready":false,"reasons":["policy"]}\n' });
    expect(await get(running, '/live')).toMatchObject({ status: 200 });
    mesh.tell('web');
    await ready(running);
  }, 120_000);

  test('takes a renewed certificate from its volume, and keeps the good one when the next is broken', async () => {
    mesh.tell('web');
    mount(await testLeaf(mesh.authority, { service: 'web' }), 1);
    const running = await run();
    await ready(running);
    const next = await testLeaf(mesh.authority, { service: 'web' });
    mount(next, 2);
    await until(
      () => running.lines.some(({ msg, serial }) => msg === 'credentials in use' && serial === next.serial),
      'it is in use',
      30_000,
    );
    const broken = await testLeaf(mesh.authority, { service: 'web' });
    mount({ ...broken, key: next.key }, 3);
    await until(() => running.lines.some(({ msg }) => msg === 'certificate refused'), 'it is refused', 30_000);
    expect((await get(running, '/metrics'))?.body).toContain(`tabard_certificate_info{serial="${next.serial}"} 1`);
    expect(await get(running, '/ready')).toMatchObject({ status: 200 });
    // Nothing of a key is ever in the log.
    expect(JSON.stringify(running.lines)).not.toContain('PRIVATE KEY');
  }, 120_000);

  test('does not start with settings that it cannot use, and names them all', async () => {
    const running = await run({ [env.service]: '', [env.controlAddress]: 'nowhere' });
    expect(await running.exit).toBe(1);
    await until(() => running.lines.length > 0, 'it says why');
    expect(running.lines[0]).toMatchObject({ level: 'fatal' });
    expect(String(running.lines[0]?.['why'])).toMatch(
      /TABARD_SERVICE.*TABARD_CONTROL_ADDRESS|TABARD_CONTROL_ADDRESS.*TABARD_SERVICE/,
    );
  }, 120_000);

  test('closes connections that were not captured', async () => {
    mesh.tell('web');
    mount(await testLeaf(mesh.authority, { service: 'web' }), 1);
    const inbound = await freePort();
    const running = await run({ TABARD_INBOUND_PORT: String(inbound) });
    await ready(running);
    const socket = connect(inbound, '127.0.0.1');
    socket.on('error', () => undefined);
    await new Promise((done) => socket.once('close', done));
    await until(() => running.lines.some(({ msg }) => msg === 'connection refused'), 'it is logged');
    expect(running.lines.find(({ msg }) => msg === 'connection refused')).toMatchObject({
      detail: 'not a captured connection',
    });
  }, 120_000);
});

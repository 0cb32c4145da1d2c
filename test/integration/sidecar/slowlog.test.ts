// A sidecar whose log nobody reads: traffic goes on, memory stays, what was dropped is counted, and told once somebody reads again.
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { LogFigures } from '../../support/logprocess.ts';
import { Mesh, until } from '../../support/pocketmesh.ts';
import { ask, webProcess } from '../../support/webprocess.ts';

let mesh: Mesh;

beforeEach(async () => {
  mesh = await Mesh.start();
});
afterEach(() => mesh.end());

const droppedOf = ({ metrics }: LogFigures): number =>
  Number(/^tabard_log_lines_dropped_total (\d+)$/m.exec(metrics)?.[1] ?? 0);

describe('a sidecar whose log nobody reads', () => {
  test('carries traffic all the same in bounded memory, counts what it drops, and says so when somebody reads', async () => {
    const running = await webProcess(mesh);
    const shop = await mesh.pod('shop');
    expect(await ask(shop, 1_500)).toEqual(new Map([[200, 1_500]]));
    const full = await running.figures();
    expect(droppedOf(full)).toBeGreaterThan(0);
    expect(await ask(shop, 1_500)).toEqual(new Map([[200, 1_500]]));
    const later = await running.figures();
    expect(droppedOf(later)).toBeGreaterThanOrEqual(droppedOf(full) + 1_500);
    // Two megabytes of lines were said in between, and would stay; connections over Node's streams take a moment until they are gone.
    let { heapMb } = later;
    for (let looks = 0; heapMb >= full.heapMb + 2 && looks < 100; looks += 1) {
      await new Promise((again) => setTimeout(again, 100));
      ({ heapMb } = await running.figures());
    }
    expect(heapMb - full.heapMb).toBeLessThan(2);
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
    const running = await webProcess(mesh);
    const shop = await mesh.pod('shop');
    await ask(shop, 1_200);
    expect(droppedOf(await running.figures())).toBeGreaterThan(0);
    const exited = once(running.child, 'exit');
    running.child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  }, 120_000);

  test('goes on when the reader is gone for good', async () => {
    const running = await webProcess(mesh);
    running.child.stdout?.destroy();
    const shop = await mesh.pod('shop');
    expect(await ask(shop, 50)).toEqual(new Map([[200, 50]]));
    while (droppedOf(await running.figures()) < 50) await new Promise((again) => setTimeout(again, 50));
  }, 120_000);
});

test('a sidecar that is read says everything, its last words included, by the Elastic Common Schema where that is asked for', async () => {
  const running = await webProcess(mesh, { logFormat: 'ECS' });
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

// The control API comes and goes, and the sidecar with it: snapshots on disk, fail closed, reconnecting, reports, and the end.
import { once } from 'node:events';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { FakeControl } from '../../support/control.ts';
import { testAuthority } from '../../support/pki.ts';
import { ask, carried, echo, Mesh, type Pod, received, refusals, until } from '../../support/pocketmesh.ts';
import { startSidecar } from '../../support/sidecar.ts';

let mesh: Mesh;

beforeEach(async () => {
  mesh = await Mesh.start();
});
afterEach(() => mesh.end());

async function pair(): Promise<{ readonly web: Pod; readonly api: Pod }> {
  const api = await mesh.pod('api');
  const web = await mesh.pod('web', { self: { clusterRanges: ['127.0.0.0/16', 'fd00::/8'] } });
  mesh.publish(8080, [api]);
  return { web, api };
}

const connected = (pod: Pod): number => pod.lines.filter(({ msg }) => msg === 'control API connected').length;

describe('while the control API is away', () => {
  test('known destinations are served, unknown ones of the cluster are refused, others pass', async () => {
    const { web } = await pair();
    const outside = await mesh.application(echo, '127.9.9.9');
    expect(await ask(web.dial(8080), 'known')).toBe('known');
    await mesh.control.stop();
    await until(() => web.lines.some(({ msg }) => msg === 'control API is away'), 'the loss is noticed');

    expect(await ask(web.dial(8080), 'still known')).toBe('still known');
    // 127.9.9.9 is outside the ranges of this cluster: nobody is asked.
    expect(await ask(web.dial(outside.port, '127.9.9.9'), 'outside')).toBe('outside');
    expect(await web.metrics.text()).toContain('tabard_passthrough_total{why="control_unavailable"} 1');

    const socket = web.dial(8081);
    socket.write('secret');
    expect((await received(socket)).error).toBe('ECONNRESET');
    expect(refusals(web).at(-1)).toMatchObject({ reason: 'control_unavailable', destination: '127.0.0.1:8081' });
  });

  test('a short absence only makes a new destination wait', async () => {
    const { web } = await pair();
    const { port } = mesh.control;
    await mesh.control.stop();
    const answer = ask(web.dial(8080), 'patience');
    await new Promise((resolve) => setTimeout(resolve, 500));
    await mesh.control.listen(port);
    expect(await answer).toBe('patience');
    expect(refusals(web)).toEqual([]);
  });

  test('subscriptions come back by themselves, with what changed meanwhile', async () => {
    const { web, api } = await pair();
    expect(await ask(web.dial(8080), 'one')).toBe('one');
    const { port } = mesh.control;
    await mesh.control.stop();
    mesh.publish(8080, []);
    await mesh.control.listen(port);
    await until(() => connected(web) === 2, 'it is connected again');
    await until(() => mesh.control.subscriptions.includes('/v1/destinations/127.0.0.1:8080'), 'it asks again');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await received(web.dial(8080))).error).toBe('ECONNRESET');
    expect(refusals(web).at(-1)).toMatchObject({ reason: 'upstream_unreachable' });
    expect(api.seen()).toBe(1);
  });

  test('a container that restarts serves from disk at once', async () => {
    const { web, api } = await pair();
    expect(await ask(web.dial(8080), 'before')).toBe('before');
    await until(() => kept(web)?.destinations.length === 1, 'it is on disk');
    expect(statSync(join(web.stateFolder, 'snapshots.json')).mode & 0o777).toBe(0o600);
    await web.stop();
    await mesh.control.stop();

    const again = await startSidecar({
      authority: mesh.authority,
      control: mesh.control.address,
      service: 'web',
      stateFolder: web.stateFolder,
    });
    mesh.onEnd(() => again.stop());
    expect(again.core.notReady()).toEqual([]);
    expect(await ask(again.dial(8080), 'after')).toBe('after');
    await until(() => carried(api).length === 2, 'both are logged');
  });

  test('a spoiled file on disk is as good as none', async () => {
    const { web } = await pair();
    await until(() => kept(web) !== undefined, 'it is on disk');
    await web.stop();
    await mesh.control.stop();
    writeFileSync(join(web.stateFolder, 'snapshots.json'), '{"format":1,"self":{"policy":"Disabled"}');
    const again = await startSidecar({
      authority: mesh.authority,
      control: mesh.control.address,
      service: 'web',
      stateFolder: web.stateFolder,
    });
    mesh.onEnd(() => again.stop());
    expect(again.core.notReady()).toEqual(['policy']);
    expect((await received(again.dial(8080))).error).toBe('ECONNRESET');
    expect((await received(again.knock(1))).error).toBe('ECONNRESET');
  });
});

interface KeptFile {
  readonly destinations: readonly unknown[];
}

function kept(pod: Pod): KeptFile | undefined {
  try {
    return JSON.parse(readFileSync(join(pod.stateFolder, 'snapshots.json'), 'utf8')) as KeptFile;
  } catch {
    return undefined;
  }
}

describe('the control API itself', () => {
  test('is not believed when it proves another identity', async () => {
    const sidecar = await startSidecar({
      authority: mesh.authority,
      control: { port: mesh.control.port, identity: 'spiffe://cluster.local/ns/tabard-system/svc/other' },
      service: 'web',
      stateFolder: mesh.folder(),
    });
    mesh.onEnd(() => sidecar.stop());
    await until(() => sidecar.lines.some(({ msg }) => msg === 'control API is away'), 'it is refused');
    expect(sidecar.lines.find(({ msg }) => msg === 'control API is away')?.['why']).toContain(
      `proved ${mesh.control.identity}`,
    );
    expect(sidecar.core.notReady()).toEqual(['policy']);
  });

  test('is not believed when its CA is another', async () => {
    const stranger = await FakeControl.start(await testAuthority());
    mesh.onEnd(() => stranger.stop());
    const sidecar = await startSidecar({
      authority: mesh.authority,
      control: stranger,
      service: 'web',
      stateFolder: mesh.folder(),
    });
    mesh.onEnd(() => sidecar.stop());
    await until(() => sidecar.lines.some(({ msg }) => msg === 'control API is away'), 'it is refused');
    expect(sidecar.core.notReady()).toEqual(['policy']);
  });

  test('may send what a newer version knows, and nonsense, without harm', async () => {
    const { web } = await pair();
    expect(await ask(web.dial(8080), 'one')).toBe('one');
    mesh.control.sendRaw('/v1/destinations/127.0.0.1:8080', '{"version":"x","known":"perhaps","endpoints":[]}\n');
    await until(() => web.lines.some(({ msg }) => msg === 'control API sent what cannot be used'), 'it is refused');
    expect(await ask(web.dial(8080), 'two')).toBe('two');
    mesh.control.sendRaw('/v1/self', 'not json at all\n');
    await until(
      () => web.lines.filter(({ msg }) => msg === 'control API sent what cannot be used').length === 2,
      'it is refused',
    );
    expect(web.core.notReady()).toEqual([]);
    expect(await ask(web.dial(8080), 'three')).toBe('three');
  });

  test('is told what is applied, again after a change', async () => {
    const { web } = await pair();
    const reports = () =>
      mesh.control.reports.filter(({ identity }) => identity === web.identity).map(({ report }) => report);
    await until(() => reports().length > 0, 'a first report');
    expect(reports()[0]).toMatchObject({ podName: 'web-0', podUid: 'uid-web', serial: web.leaf.serial, plaintext: [] });
    const leaf = await web.renew();
    await until(() => reports().some(({ serial }) => serial === leaf.serial), 'a report with the new serial');
    expect(reports().at(-1)?.notAfter).toBe(leaf.notAfter.toISOString());
  });

  test('sees the new certificate soon after a renewal', async () => {
    const { web } = await pair();
    const before = connected(web);
    await web.renew();
    await until(() => connected(web) === before + 1, 'the connection was made anew');
    expect(await ask(web.dial(8080), 'on')).toBe('on');
  });
});

describe('the end', () => {
  test('waits for a transfer, ends quiet connections, takes no new ones', async () => {
    const { web } = await pair();
    const slow = await mesh.pod('slow', {
      behaviour: (socket) => {
        socket.once('data', () => {
          const timer = setInterval(() => socket.write('tick '), 50);
          setTimeout(() => {
            clearInterval(timer);
            socket.end('done');
          }, 1_200);
        });
      },
    });
    mesh.publish(8090, [slow]);
    const transfer = web.dial(8090);
    transfer.write('go');
    await once(transfer, 'data');
    const idle = web.dial(8080);
    idle.write('x');
    await once(idle, 'data');
    const finished = received(transfer);
    const idleEnd = received(idle);
    const stopped = web.stop();
    expect((await idleEnd).error).toBeUndefined();
    idle.destroy();
    const late = web.dial(8080);
    expect((await received(late)).error).toBe('ECONNREFUSED');
    expect((await finished).text).toMatch(/done$/);
    transfer.destroy();
    expect(await stopped).toBe(0);
    expect(web.lines.findLast(({ msg }) => msg === 'connections drained')).toMatchObject({ cut: 0 });
  });

  test('comes at the deadline for what does not end', async () => {
    const endless = await mesh.pod('endless', {
      behaviour: (socket) => {
        const timer = setInterval(() => socket.write('tick'), 20);
        socket.on('close', () => clearInterval(timer));
      },
    });
    mesh.publish(8091, [endless]);
    const web = await mesh.pod('web', { drainMs: 600 });
    const socket = web.dial(8091);
    await once(socket, 'data');
    const end = received(socket);
    expect(await web.stop()).toBe(0);
    expect((await end).error).toBe('ECONNRESET');
    expect(web.lines.findLast(({ msg }) => msg === 'connections drained')).toMatchObject({ cut: 1 });
  });
});

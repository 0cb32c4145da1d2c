// A sidecar with two workers: processes that share its ports, and that are to the operator, the kubelet and whoever reads its metrics one proxy.
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { AUTHORIZATION_FORM } from '../../../lib/api/authorization.ts';
import { CrewPod, connectionsTo, PATIENCE_MS, runs } from '../../support/crew.ts';
import { type TestLeaf, testLeaf } from '../../support/pki.ts';
import { ask, type Behaviour, client, echo, Mesh, received, until } from '../../support/pocketmesh.ts';

const TIMEOUT = 4 * PATIENCE_MS;
/** More connections than the kernel gives to one of two workers by chance. */
const MANY = 400;

let mesh: Mesh;
let caller: TestLeaf;

beforeEach(async () => {
  mesh = await Mesh.start();
  caller = await testLeaf(mesh.authority, { service: 'api' });
});
afterEach(() => mesh.end());

interface Started {
  readonly pod: CrewPod;
  readonly first: number;
  readonly second: number;
}

async function start(workers: number = 2, behaviour: Behaviour = echo): Promise<Started> {
  const { port } = await mesh.application(behaviour);
  mesh.tell('web');
  const leaf = await testLeaf(mesh.authority, { service: 'web' });
  const pod = new CrewPod({ mesh, workers, leaf, applicationPort: port });
  await pod.untilLogged(({ msg }) => msg === 'ports', 'it listens');
  await pod.untilServed(workers - 1);
  await pod.untilReady();
  return { pod, first: pod.child.pid ?? 0, second: pod.served[0] ?? 0 };
}

/** A connection that has carried something both ways, and goes on. */
async function live(pod: CrewPod): Promise<TLSSocket> {
  const socket = client(pod.knock(), caller);
  // The kernel ends what a process leaves behind, and resets it only where something was under way.
  socket.on('end', () => socket.destroy());
  socket.write('hello');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  expect(String(answer)).toBe('hello');
  return socket;
}

/** Live connections, until each of these processes has some. */
async function liveInAll(pod: CrewPod, pids: readonly number[]): Promise<readonly TLSSocket[]> {
  const sockets: TLSSocket[] = [];
  while (pids.some((pid) => connectionsTo(pod.ports.inbound, pid) === 0)) {
    if (sockets.length > MANY) throw new Error('one worker gets them all');
    sockets.push(await live(pod));
  }
  return sockets;
}

/** One request on a connection of its own. */
async function call(pod: CrewPod): Promise<string> {
  return ask(client(pod.knock(), caller), 'one request');
}

function revocationsReported(): readonly (number | undefined)[] {
  return mesh.control.reports.map(({ report }) => report.revocations);
}

describe('two workers', () => {
  test(
    'share the connections, and are one proxy in the metrics, in the log and to the operator',
    async () => {
      const { pod, first, second } = await start();
      const sockets = await liveInAll(pod, [first, second]);
      const active = 'tabard_connections_active{direction="inbound"}';
      await pod.untilMetric(active, (value) => value === sockets.length);
      await pod.untilMetric('tabard_sidecar_workers{state="serving"}', (value) => value === 2);
      expect(await pod.metric('tabard_sidecar_workers{state="wanted"}')).toBe(2);
      for (const socket of sockets) socket.end();
      await pod.untilMetric(active, (value) => value === 0);
      const ended = 'tabard_connections_total{direction="inbound",transport="direct",result="ok",reason=""}';
      expect(await pod.metric(ended)).toBe(sockets.length);
      expect((await pod.get('/ready')).status).toBe(200);
      // What each has counted comes to the operator as one.
      const callers = () => mesh.control.reports.flatMap(({ report }) => report.callers ?? []);
      await until(
        () => callers().reduce((sum, { count }) => sum + count, 0) === sockets.length,
        'it is told',
        PATIENCE_MS,
      );
      const logged = () => pod.lines.filter(({ msg }) => msg === 'connection');
      await until(() => logged().length === sockets.length, 'each is logged', PATIENCE_MS);
      expect(pod.torn).toEqual([]);
    },
    TIMEOUT,
  );

  test(
    'both cut what a revocation or another policy forbids',
    async () => {
      const { pod, first, second } = await start();
      const sockets = await liveInAll(pod, [first, second]);
      mesh.control.setRevocations({ number: 1, entries: [{ identity: caller.identity }] });
      await until(() => sockets.every(({ destroyed }) => destroyed), 'all are cut', PATIENCE_MS);
      await until(() => revocationsReported().includes(1), 'it is reported', PATIENCE_MS);
      mesh.control.setRevocations({ number: 2, entries: [] });
      await until(() => revocationsReported().includes(2), 'that is reported, too', PATIENCE_MS);
      const others = await liveInAll(pod, [first, second]);
      mesh.tell('web', { authorization: { form: AUTHORIZATION_FORM, rules: [{ name: 'nobody', effect: 'Deny' }] } });
      await until(() => others.every(({ destroyed }) => destroyed), 'all are cut again', PATIENCE_MS);
      expect(pod.served).toEqual([second]);
    },
    TIMEOUT,
  );

  test(
    'no request fails while certificates are renewed under load',
    async () => {
      const { pod } = await start();
      const over = new AbortController();
      let calls = 0;
      const load = async (): Promise<void> => {
        while (!over.signal.aborted) {
          expect(await call(pod)).toBe('one request');
          calls += 1;
        }
      };
      const running = [load(), load(), load(), load()];
      const all = Promise.all(running);
      for (let renewals = 0; renewals < 4; renewals += 1) {
        const next = await testLeaf(mesh.authority, { service: 'web' });
        const before = calls;
        pod.mount(next);
        const isReported = () => mesh.control.reports.at(-1)?.report.serial === next.serial;
        await Promise.race([all, until(() => isReported() && calls > before + 20, 'the next is in use', PATIENCE_MS)]);
      }
      over.abort();
      await all;
      expect(await pod.metric('tabard_sidecar_worker_restarts_total{why="ended"}')).toBe(0);
    },
    TIMEOUT,
  );

  test(
    'one that is killed is started again, and connections go on meanwhile',
    async () => {
      const { pod, first, second } = await start();
      const sockets = await liveInAll(pod, [first, second]);
      const before = connectionsTo(pod.ports.inbound, first);
      process.kill(second, 'SIGKILL');
      await pod.untilLogged(({ msg }) => msg === 'worker is gone, and started again', 'its end is seen');
      expect(await call(pod)).toBe('one request');
      expect((await pod.get('/ready')).status).toBe(200);
      await until(
        () => sockets.filter(({ destroyed }) => !destroyed).length === before,
        'its own have ended',
        PATIENCE_MS,
      );
      await pod.untilServed(2);
      const third = pod.served[1] ?? 0;
      await liveInAll(pod, [first, third]);
      expect(await pod.metric('tabard_sidecar_worker_restarts_total{why="ended"}')).toBe(1);
    },
    TIMEOUT,
  );

  test(
    'nothing is reported that one does not apply: it is ended first',
    async () => {
      const { pod, second } = await start();
      await until(() => revocationsReported().includes(0), 'the first state is reported', PATIENCE_MS);
      process.kill(second, 'SIGSTOP');
      mesh.control.setRevocations({ number: 7, entries: [{ identity: 'spiffe://cluster.local/ns/shop/svc/thief' }] });
      await until(() => revocationsReported().includes(7), 'it is reported', PATIENCE_MS);
      expect(runs(second)).toBe(false);
      await pod.untilLogged(({ msg, why }) => msg === 'worker is ended' && why === 'behind', 'the log says why');
      await pod.untilServed(2);
    },
    TIMEOUT,
  );

  test(
    'let what is under way come to its end when they are told to stop',
    async () => {
      const asked: Socket[] = [];
      const { pod, first, second } = await start(2, (socket) => void socket.once('data', () => asked.push(socket)));
      const answers: ReturnType<typeof received>[] = [];
      while ([first, second].some((pid) => connectionsTo(pod.ports.inbound, pid) === 0)) {
        if (answers.length > MANY) throw new Error('one worker gets them all');
        const socket = client(pod.knock(), caller);
        socket.write('question');
        answers.push(received(socket).finally(() => socket.destroy()));
        await until(() => asked.length === answers.length, 'the question has come', PATIENCE_MS);
      }
      pod.child.kill('SIGTERM');
      const stopping = () => pod.lines.filter(({ msg }) => msg === 'stopping');
      await until(() => stopping().length === 2, 'both stop', PATIENCE_MS);
      const answer = 'x'.repeat(32_768);
      for (const socket of asked) socket.end(answer);
      for (const got of await Promise.all(answers)) expect(got).toEqual({ text: answer, error: undefined });
      expect(await pod.exit).toBe(0);
      const drained = pod.lines.filter(({ msg }) => msg === 'connections drained');
      expect(drained.map(({ cut }) => cut)).toEqual([0, 0]);
    },
    TIMEOUT,
  );

  test(
    'end with the first one, whether it is told to stop or killed',
    async () => {
      const { pod, second } = await start();
      pod.child.kill('SIGTERM');
      expect(await pod.exit).toBe(0);
      expect(runs(second)).toBe(false);
      const other = await start();
      other.pod.child.kill('SIGKILL');
      await until(() => !runs(other.second), 'the other has ended, too', PATIENCE_MS);
    },
    TIMEOUT,
  );

  test(
    'serve with what was kept while the control plane is away',
    async () => {
      const { pod } = await start();
      // The kept file is written a moment after the policy has come.
      await until(() => mesh.control.reports.length > 0, 'it has reported', PATIENCE_MS);
      pod.child.kill('SIGTERM');
      await pod.exit;
      await mesh.control.stop();
      const { port } = await mesh.application(echo);
      const leaf = await testLeaf(mesh.authority, { service: 'web' });
      const again = new CrewPod({ mesh, workers: 2, leaf, applicationPort: port, folder: pod.folder });
      await again.untilLogged(({ msg }) => msg === 'ports', 'it listens');
      await again.untilServed(1);
      await liveInAll(again, [again.child.pid ?? 0, again.served[0] ?? 0]);
    },
    TIMEOUT,
  );
});

test(
  'a sidecar with one worker is one process',
  async () => {
    const { pod } = await start(1);
    expect(await call(pod)).toBe('one request');
    expect(pod.lines.some(({ msg }) => msg === 'workers share the data path')).toBe(false);
    expect((await pod.get('/metrics')).text).not.toContain('tabard_sidecar_worker');
  },
  TIMEOUT,
);

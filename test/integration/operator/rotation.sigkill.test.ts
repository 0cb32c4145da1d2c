// Rotations of a CA with two real operators that are killed (SIGKILL) at their calls to the API server: reads and writes, the moment before
// a call is passed on and the moment after it was carried out. Every version of every Secret is judged on the way.
// TABARD_KILL_ALL=1 (`make kill`) kills at reads in every phase and at repeated writes, too.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { buildBundles } from '../../../hack/build.ts';
import type { ControlPlane } from '../../../hack/cluster/api.ts';
import { systemClock } from '../../../lib/clock.ts';
import { kubeMetrics } from '../../../lib/kube/metrics.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { type Connection, connect } from '../../../lib/kube/rest.ts';
import { Metrics } from '../../../lib/runtime/metrics.ts';
import { SecretJournal } from '../../support/kill/journal.ts';
import { KillPoints } from '../../support/kill/points.ts';
import { OperatorReplicas } from '../../support/kill/replicas.ts';
import { runReporter } from '../../support/kill/reporter.ts';
import type { OperatorLine } from '../../support/operator.ts';
import { eventually, startPlane } from '../../support/rotationmesh.ts';
import { runningPod } from '../../support/runningpod.ts';

const isWhole = (process.env['TABARD_KILL_ALL'] ?? '') === '1';
jest.setTimeout(isWhole ? 7_200_000 : 1_800_000);

const namespace = 'shop';
const system = 'tabard-system';
/** Two with a sidecar that reports, one of them with two pods, and one that reads files and reports nothing. */
const pods = [
  { name: 'web-0', service: 'web', podIp: '127.0.78.1' },
  { name: 'web-1', service: 'web', podIp: '127.0.78.2' },
  { name: 'api-0', service: 'api', podIp: '127.0.78.3' },
  { name: 'files-0', service: 'files', podIp: '127.0.78.4', injected: 'certificate' as const },
];
const services = [...new Set(pods.map(({ service }) => service))];
/** So long, in each phase of a rotation, somebody dies at other calls than those that must be. */
const phaseMs = isWhole ? 1_800_000 : 30_000;
const mostRotations = isWhole ? 30 : 4;
/** Calls that come up once in many rotations (a list anew, a write that met another one) would go on for ever. */
const enoughRotations = isWhole ? 20 : 1;

/** Calls that must be among the points, however busy the machine is: what a rotation is made of. */
const must = [
  ...['Prepared', 'Active', 'Retiring', 'Idle'].map((phase) => `patch secrets tabard-ca to ${phase}`),
  ...['Prepared', 'Active', 'Retiring'].flatMap((phase) => [
    `${phase}: patch secrets tabard-web`,
    `${phase}: patch tlsissuers/status cluster`,
  ]),
].map((point) => (isWhole ? `${point} #1` : point));

let plane: ControlPlane;
let connection: Connection;
let folder: string;
let program: string;

beforeAll(async () => {
  plane = await startPlane('30s', '5s');
  connection = connect({
    kubeconfig: plane.kubeconfig,
    userAgent: 'tabard-test/0',
    clock: systemClock,
    metrics: kubeMetrics(new Metrics()),
  });
  folder = mkdtempSync(join(tmpdir(), 'tabard-kill-'));
  program = (await buildBundles({ programs: ['operator'], folder }))[0]?.path ?? '';
}, 900_000);

afterAll(async () => {
  connection?.close();
  await plane?.stop();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

const status = async () => (await connection.client.get(resources.tlsissuers, { name: 'cluster' })).status;

/** One rotation for a reason; resolves when it is over and its status says so. */
async function rotate(reason: string): Promise<void> {
  const annotations = { 'tabard.dev/rotate': reason };
  await connection.client.patch(resources.tlsissuers, { name: 'cluster' }, { metadata: { annotations } });
  await eventually(
    async () => (await status())?.rotation,
    (rotation) => rotation?.phase === 'Idle' && rotation.handledReasons?.includes(`rotate:${reason}`) === true,
    isWhole ? 5_400_000 : 1_500_000,
  );
}

/** The pods with a sidecar report what they have, each whenever it has another bundle or certificate. */
async function startReporters(
  journal: SecretJournal,
  operators: OperatorReplicas,
  signal: AbortSignal,
): Promise<readonly Promise<void>[]> {
  const { items } = await connection.client.list(resources.pods, { namespace });
  return pods.flatMap(({ name: podName, service, podIp, injected }) => {
    const podUid = items.find(({ metadata }) => metadata.name === podName)?.metadata.uid ?? '';
    const secret = () => journal.service(service);
    const deps = { podName, podUid, podIp, service, secret, controlPorts: () => operators.controlPorts() };
    return injected === undefined ? [runReporter(deps, signal)] : [];
  });
}

/** One rotation in which operators die, and what came of it. */
async function deadlyRotation(
  number: number,
  { points, journal, operators }: { points: KillPoints; journal: SecretJournal; operators: OperatorReplicas },
): Promise<void> {
  points.begin();
  await rotate(`rotation ${number}`);
  await journal.caughtUp();
  const { cas, leaves } = journal.turn();
  const made = Object.entries(leaves).map(([service, serials]) => `${service}: ${serials.length}`);
  expect([cas.length, made.sort()]).toEqual([1, services.map((service) => `${service}: 1`).sort()]);
  expect(journal.faults).toEqual([]);
  // Whoever was killed between a write and its line: the next leader made the trail good.
  const unrecorded = (): readonly string[] => {
    const lines = operators.lines.filter(({ msg }) => msg === 'audit');
    const known = new Set(lines.flatMap(({ serial, sha256 }) => [serial, sha256]));
    return [...Object.values(leaves).flat(), ...cas].filter((each) => !known.has(each));
  };
  await eventually(unrecorded, (missing) => missing.length === 0, 60_000);
}

function told(points: KillPoints, operators: OperatorReplicas, journal: SecretJournal): string {
  return (
    `${points.kills} kills, ${operators.leaders.length} times a replica began to lead, ${journal.versions} versions of Secrets\n` +
    `killed before and after each of: ${points.covered.join(', ')}\n` +
    `not both, for want of time: ${points.missed.join(', ') || 'none'}\n`
  );
}

test('an operator that is killed at any call of a rotation: another goes on, with one new CA and one new certificate for each service', async () => {
  const points = new KillPoints({ readsOfEachPhase: isWhole, repeats: isWhole ? 3 : 1, must, phaseMs });
  const stop = new AbortController();
  for (const pod of pods) await runningPod(connection.client, { namespace, ...pod });
  const readers = new Set(pods.flatMap(({ service, injected }) => (injected === 'certificate' ? [service] : [])));
  const journal = await SecretJournal.start(connection.client, readers);
  const env = { TABARD_LEASE_DURATION: '3s', TABARD_FILE_DELIVERY: '200ms', TABARD_MINIMUM_LIFETIME: '5s' };
  const { client } = connection;
  const operators = await OperatorReplicas.start({ plane, client, namespace: system, env, program, points });
  const reporting = await startReporters(journal, operators, stop.signal);
  try {
    await eventually(
      () => services.filter((service) => journal.service(service) === undefined),
      (missing) => missing.length === 0,
      300_000,
    );
    await rotate('nobody dies');
    await journal.caughtUp();
    journal.turn();
    const isMissing = (): boolean => must.some((point) => !points.covered.includes(point));
    const deaths: number[] = [];
    while (isMissing() || (deaths.length < enoughRotations && deaths.at(-1) !== 0)) {
      expect(deaths.length).toBeLessThan(mostRotations);
      const before = points.kills;
      await deadlyRotation(deaths.length, { points, journal, operators });
      deaths.push(points.kills - before);
    }
    points.end();
    process.stdout.write(`killed in each rotation: ${deaths.join(', ')}\n${told(points, operators, journal)}`);
    const ready = (await status())?.conditions?.find(({ type }) => type === 'Ready');
    expect(ready?.status).toBe('True');
    const isOwnFault = ({ err }: OperatorLine) => (err as { code?: string } | undefined)?.code !== 'lease_lost';
    expect(operators.errors.filter(isOwnFault)).toEqual([]);
  } finally {
    points.end();
    await operators.stop();
    stop.abort(new Error('the test is over'));
    await Promise.all(reporting);
    await journal.stop();
  }
});

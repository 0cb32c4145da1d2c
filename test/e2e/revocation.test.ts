// Revocation on real pods: a connection that lasts is cut within moments of the apply, the revoked stays out, the others go on, and what is
// lifted or got a fresh certificate comes back. A live connection is cut within a second, in which the machine stood still not counted.
import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../lib/clock.ts';
import { kubeMetrics } from '../../lib/kube/metrics.ts';
import { resources } from '../../lib/kube/resources.ts';
import { type Connection, connect } from '../../lib/kube/rest.ts';
import { crlFault, readCrl } from '../../lib/pki/crlread.ts';
import { Metrics } from '../../lib/runtime/metrics.ts';
import { type Kit, kit, type Raw, until } from '../support/e2e/kit.ts';
import { system } from '../support/e2e/names.ts';
import { deployment, inject } from '../support/e2e/workloads.ts';
import { Stalls } from '../support/mixedtraffic.ts';

const namespace = 'revocation';
const identityOf = (service: string): string => `spiffe://cluster.local/ns/${namespace}/svc/${service}`;
let k: Kit;
let connection: Connection;
/** What takes milliseconds on a machine that runs: this process gets its turn, the API server answers. */
let stalls: Stalls;
let watching: Promise<void>;
const over = new AbortController();

const CUT_MS = 1_000;
const STALL_MS = 100;

/** Sends back what it gets; for PEER it also keeps one connection open, with a byte every 20 ms, and says when that began and ended. */
const program = `
const net = require('node:net');
net.createServer((socket) => { socket.on('error', () => {}); socket.pipe(socket); }).listen(9000, '::');
const say = (event) => console.log(JSON.stringify({ event, at: Date.now() }));
function hold(host) {
  const socket = net.connect(9000, host);
  let open = false;
  const timer = setInterval(() => socket.write('x'), 20);
  socket.on('data', () => { if (!open) say('open'); open = true; });
  socket.on('error', () => {});
  socket.on('close', () => { clearInterval(timer); say(open ? 'cut' : 'refused'); setTimeout(() => hold(host), 200); });
}
if (process.env.PEER) hold(process.env.PEER);
process.on('SIGTERM', () => process.exit(0));
`;

function workload(name: string, peer?: string): Raw {
  return deployment({
    namespace,
    name,
    annotations: inject,
    env: peer === undefined ? {} : { PEER: peer },
    container: { command: ['/usr/local/bin/node', '-e', program], args: [], ports: [{ containerPort: 9000 }] },
    pod: { terminationGracePeriodSeconds: 1 },
  });
}

beforeAll(async () => {
  k = await kit();
  connection = connect({
    kubeconfig: k.cluster.kubeconfig,
    userAgent: 'tabard-test/0',
    clock: systemClock,
    metrics: kubeMetrics(new Metrics()),
  });
  await k.namespace(namespace);
  const spec = { selector: { app: 'echo' }, ports: [{ port: 9000 }] };
  await k.apply(workload('echo'), { apiVersion: 'v1', kind: 'Service', metadata: { name: 'echo', namespace }, spec });
  await k.rolledOut(namespace, 'deployment/echo');
  await k.apply(workload('alice', 'echo'), workload('bob', 'echo'));
  for (const name of ['alice', 'bob']) await k.rolledOut(namespace, `deployment/${name}`);
  for (const name of ['alice', 'bob']) await after(name, 'open', 0);
  stalls = new Stalls(STALL_MS);
  watching = watch();
}, 300_000);

afterAll(async () => {
  over.abort();
  stalls?.end();
  await watching;
  for (const name of ['alice-out', 'alice-serial', 'echo-pod']) {
    await k.kubectl(['delete', 'tlsrevocation', name, '--ignore-not-found']);
  }
  connection?.close();
  await k.drop(namespace);
});

async function watch(): Promise<void> {
  while (!over.signal.aborted) {
    const asked = connection.client.get(resources.namespaces, { name: namespace });
    // One that asks to come back later is as good as one that stands still: the time counts.
    await stalls.watch('the API server', asked).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

interface Said {
  readonly event: 'open' | 'cut' | 'refused';
  /** Milliseconds since 1970. */
  readonly at: number;
}

async function said(name: string): Promise<readonly Said[]> {
  const text = await k.kubectl(['-n', namespace, 'logs', `deployment/${name}`, '-c', 'app', '--tail=2000']);
  return text.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Said] : []));
}

/** The first event of that kind at or after a time. */
function after(name: string, event: Said['event'], sinceMs: number): Promise<Said> {
  return until(`${name}: ${event}`, 120, async () =>
    (await said(name)).find((each) => each.event === event && each.at >= sinceMs),
  );
}

/** Applies a revocation; when it was asked for (ms since 1970). */
async function revoke(name: string, spec: Raw): Promise<number> {
  const at = Date.now();
  await connection.client.create(resources.tlsrevocations, { metadata: { name }, spec });
  return at;
}

const enforced = (name: string): Promise<Raw> =>
  until(`${name} is enforced`, 60, async () => {
    const { status } = await k.get('tlsrevocation', name);
    return status?.conditions?.[0]?.reason === 'Enforced' ? (status as Raw) : undefined;
  });

const serialOf = async (service: string): Promise<string> => {
  const secret = await k.get('secret', `tabard-${service}`, '-n', namespace);
  return secret['metadata'].annotations['tabard.dev/serial'] as string;
};

/** A connection was cut soon enough. */
function expectSoon(what: string, from: number, to: number): void {
  const still = stalls.during(from, to);
  console.log(`revocation: ${what} after ${to - from} ms, ${still} ms of which the machine stood still`);
  expect(to - from - still).toBeLessThanOrEqual(CUT_MS);
}

function print(what: string, ms: number): void {
  console.log(`revocation: ${what} after ${ms} ms`);
}

describe('a connection that lasts (istio/ztunnel#1660: revocation reaches live connections)', () => {
  test('is cut when the identity of its client is revoked, others go on, and the client comes back when that is lifted', async () => {
    const at = await revoke('alice-out', { identity: identityOf('alice'), reason: 'keyCompromise' });
    const cut = await after('alice', 'cut', at);
    expectSoon('the live connection of a revoked identity was cut', at, cut.at);
    await after('alice', 'refused', cut.at);
    const status = await enforced('alice-out');
    expect(status['sidecars'].enforcing).toBe(status['sidecars'].total);
    expect(status['lagging'] ?? []).toEqual([]);
    print(`the status said ${status['enforced']}`, Date.now() - at);
    expect((await said('alice')).filter((each) => each.event === 'open' && each.at > cut.at)).toEqual([]);
    expect((await said('bob')).filter((each) => each.at >= at)).toEqual([]);
    const [echo] = await k.pods(namespace, 'app=echo');
    expect(await k.metrics(namespace, echo?.['metadata'].name)).toMatch(/^tabard_revocations_enforced [1-9]/m);
    const lifted = Date.now();
    await k.kubectl(['delete', 'tlsrevocation', 'alice-out']);
    const open = await after('alice', 'open', lifted);
    print('the client was let in again', open.at - lifted);
  }, 240_000);

  test('is cut when the serial of its client is revoked, and comes back with a fresh certificate', async () => {
    const before = await serialOf('alice');
    const at = await revoke('alice-serial', { serial: before, reason: 'superseded' });
    const cut = await after('alice', 'cut', at);
    expectSoon('the live connection of a revoked serial was cut', at, cut.at);
    const open = await after('alice', 'open', cut.at);
    print('the client was back with a fresh certificate', open.at - at);
    expect(await serialOf('alice')).not.toBe(before);
    await enforced('alice-serial');
    expect((await said('bob')).filter((each) => each.at >= at)).toEqual([]);
  }, 240_000);

  test('is cut when the pod of its server is revoked, and its clients come back when the server has a fresh certificate', async () => {
    const [before, [pod]] = [await serialOf('echo'), await k.pods(namespace, 'app=echo')];
    const at = await revoke('echo-pod', { pod: { namespace, name: pod?.['metadata'].name } });
    const cuts = await Promise.all(['alice', 'bob'].map((name) => after(name, 'cut', at)));
    expectSoon('the last live connection to a revoked pod was cut', at, Math.max(...cuts.map((each) => each.at)));
    const opens = await Promise.all(['alice', 'bob'].map((name) => after(name, 'open', at)));
    print('all clients were back', Math.max(...opens.map((each) => each.at)) - at);
    const { serials } = await enforced('echo-pod');
    expect(serials).toContain(before.replace(/^0+/, ''));
    expect(await serialOf('echo')).not.toBe(before);
  }, 240_000);
});

test('the list of the CA is served to a pod over HTTP, and names what was revoked', async () => {
  const issuer = await k.get('tlsissuer', 'cluster');
  const active = (issuer['status'].authorities as Raw[] | undefined)?.find(({ role }) => role === 'Active');
  const secret = await k.get('secret', 'tabard-ca', '-n', system);
  const authority = new X509Certificate(Buffer.from(secret['data']['tls.crt'], 'base64'));
  const url = `http://tabard-operator.${system}.svc:16012/crl/${String(active?.['keyId']).toLowerCase()}.crl`;
  const script = `fetch('${url}').then(async (a) => console.log(JSON.stringify([a.status, Buffer.from(await a.arrayBuffer()).toString('base64')])))`;
  const list = await until('the list names the serials', 60, async () => {
    const args = ['-n', namespace, 'exec', 'deployment/bob', '-c', 'app', '--', '/usr/local/bin/node', '-e', script];
    const line = (await k.kubectl(args)).split('\n').find((each) => each.startsWith('['));
    const [status, base64] = JSON.parse(line ?? '[0,""]') as [number, string];
    const read = status === 200 ? readCrl(Buffer.from(base64, 'base64')) : undefined;
    return read !== undefined && read.entries.length > 0 ? read : undefined;
  });
  expect(crlFault(list, authority)).toBeUndefined();
}, 120_000);

// Authorization rules at the data path, over real TLS: who is let in and who is not, on connections of their own and on streams of tunnels, what
// the one that is refused learns, and what happens to live connections when rules change.
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Authorization, RuleMatch } from '../../../lib/api/authorization.ts';
import { testLeaf } from '../../support/pki.ts';
import { ask, carried, client, Mesh, type Pod, received, refusals, until as within } from '../../support/pocketmesh.ts';
import type { SelfOptions } from '../../support/sidecar.ts';

/** A busy machine may take its time. */
const until = (condition: () => boolean, what: string): Promise<void> => within(condition, what, 15_000);

const rules = (...list: readonly RuleMatch[]): { readonly authorization: Authorization } => ({
  authorization: { form: 1, rules: list },
});
const onlyWeb: RuleMatch = { name: 'web', effect: 'Allow', from: [{ services: ['web'], namespaces: ['shop'] }] };
const noBatch: RuleMatch = { name: 'no-batch', effect: 'Deny', from: [{ services: ['batch'] }] };
const loopback = '127.0.0.0/8';

let mesh: Mesh;

beforeEach(async () => {
  mesh = await Mesh.start();
});
afterEach(() => mesh.end());

/** A pod `api` under a policy, published as port 8080. */
async function api(self: SelfOptions): Promise<Pod> {
  const pod = await mesh.pod('api', { self });
  mesh.publish(8080, [pod]);
  return pod;
}

/** Has the policy of `api` changed, and waits until it is in force. */
async function change(pod: Pod, self: SelfOptions): Promise<void> {
  const policies = (): number => pod.lines.filter(({ msg }) => msg === 'policy in use').length;
  const before = policies();
  mesh.tell('api', self);
  await until(() => policies() > before, 'the policy is in use');
}

/** A connection that has carried something, and what will have ended it. */
async function live(from: Pod): Promise<{ readonly socket: Socket; readonly ended: ReturnType<typeof received> }> {
  const socket = from.dial(8080);
  socket.write('x');
  await once(socket, 'data');
  return { socket, ended: received(socket) };
}

const denials = (pod: Pod) => refusals(pod).filter(({ reason }) => reason === 'denied');
const metric = async (pod: Pod, rule: string, outcome: string): Promise<number> => {
  const text = await pod.metrics.text();
  const line = text
    .split('\n')
    .find(
      (each) =>
        each.startsWith('tabard_authorization_decisions_total') &&
        each.includes(`rule="${rule}"`) &&
        each.includes(`outcome="${outcome}"`),
    );
  return Number(line?.split(' ').at(-1) ?? 0);
};

describe.each(['Tunnel', 'Direct'] as const)('between sidecars by %s', (transport) => {
  const connections = { transport };

  test('a caller whom a rule allows is carried, another is not and does not learn why', async () => {
    const pod = await api({ ...rules(onlyWeb), connections });
    const web = await mesh.pod('web', { self: { connections } });
    const batch = await mesh.pod('batch', { self: { connections } });
    expect(await ask(web.dial(8080), 'hello')).toBe('hello');
    const seen = pod.seen();
    expect(await ask(batch.dial(8080), 'hello')).toBe('');
    await until(() => denials(pod).length === 1, 'the refusal is logged');
    expect(denials(pod)[0]).toMatchObject({
      direction: 'inbound',
      'source.identity': batch.identity,
      detail: 'spiffe://cluster.local/ns/shop/svc/batch: no Allow rule matches',
      destination: expect.stringContaining(`:${pod.applicationPort}`),
    });
    expect(pod.seen()).toBe(seen);
    expect(JSON.stringify(batch.lines)).not.toContain('Allow rule');
    expect(await metric(pod, 'web', 'allowed')).toBe(1);
    expect(await metric(pod, '', 'denied')).toBe(1);
  });

  test('a Deny rule goes before one that allows', async () => {
    const pod = await api({ ...rules(noBatch, { name: 'all', effect: 'Allow' }), connections });
    const batch = await mesh.pod('batch', { self: { connections } });
    expect(await ask(batch.dial(8080), 'hello')).toBe('');
    await until(() => denials(pod).length === 1, 'the refusal is logged');
    expect(denials(pod)[0]).toMatchObject({ detail: expect.stringContaining(': rule no-batch') });
    expect(JSON.stringify(batch.lines)).not.toContain('no-batch');
  });

  test('a live connection is cut when the rules no longer allow it; others go on', async () => {
    const pod = await api({ connections });
    const web = await mesh.pod('web', { self: { connections } });
    const batch = await mesh.pod('batch', { self: { connections } });
    const staying = await live(web);
    const leaving = await live(batch);
    await change(pod, { ...rules(onlyWeb), connections });
    await leaving.ended;
    await until(() => carried(pod).length === 1, 'its end is logged');
    expect(carried(pod)[0]).toMatchObject({ reason: 'denied', peer: 'spiffe://cluster.local/ns/shop/svc/batch' });
    staying.socket.end('y');
    expect((await staying.ended).text).toBe('y');
    expect(await ask(batch.dial(8080), 'again')).toBe('');
    await change(pod, { connections });
    expect(await ask(batch.dial(8080), 'welcome')).toBe('welcome');
  });

  test('rules that are not understood let nobody in and cut who is in', async () => {
    const pod = await api({ connections });
    const web = await mesh.pod('web', { self: { connections } });
    const { ended } = await live(web);
    const newer = { form: 2, rules: [] } as unknown as Authorization;
    await change(pod, { authorization: newer, connections });
    await ended;
    expect(await ask(web.dial(8080), 'hello')).toBe('');
    await until(() => denials(pod).length === 1, 'the refusal is logged');
    expect(denials(pod)[0]).toMatchObject({ detail: expect.stringContaining(': rule unreadable-rules') });
  });

  test('an audit rule is logged, counted and reported, and changes nothing', async () => {
    const pod = await api({ ...rules({ ...noBatch, audit: true }), connections });
    const batch = await mesh.pod('batch', { self: { connections } });
    expect(await ask(batch.dial(8080), 'hello')).toBe('hello');
    expect(await ask(batch.dial(8080), 'hello')).toBe('hello');
    const audits = pod.lines.filter(({ msg }) => msg === 'audited by authorization rules');
    expect(audits).toHaveLength(1);
    expect(audits[0]).toMatchObject({
      rules: ['no-batch'],
      allowed: true,
      wouldBe: 'denied',
      port: pod.applicationPort,
    });
    expect(await metric(pod, 'no-batch', 'audited')).toBe(2);
    await change(pod, { connections });
    const told = () => mesh.control.reports.flatMap(({ report }) => report.rules ?? []);
    const count = (): number => told().reduce((sum, each) => sum + each.count, 0);
    await until(() => count() >= 2, 'both are reported');
    expect(count()).toBe(2);
    expect(told()).toContainEqual(expect.objectContaining({ name: 'no-batch', outcome: 'audited' }));
    expect(mesh.control.reports.at(-1)?.report.authorization).toBe(1);
  });
});

describe('a caller without a sidecar', () => {
  test('is judged by the identity that it proves', async () => {
    const pod = await api(rules(onlyWeb));
    const web = await testLeaf(mesh.authority, { service: 'web' });
    const batch = await testLeaf(mesh.authority, { service: 'batch' });
    expect(await ask(client(pod.knock(), web), 'hello')).toBe('hello');
    expect(await ask(client(pod.knock(), batch), 'hello')).toBe('');
    expect(denials(pod)).toHaveLength(1);
  });

  test.each<readonly [string, RuleMatch, boolean]>([
    ['is of no service', onlyWeb, false],
    ['is where it comes from', { name: 'near', effect: 'Allow', from: [{ ipBlocks: [loopback] }] }, true],
    [
      'is not where it does not come from',
      { name: 'far', effect: 'Allow', from: [{ ipBlocks: ['10.0.0.0/8'] }] },
      false,
    ],
    ['is anyone', { name: 'anyone', effect: 'Allow' }, true],
    [
      'is held back by a rule for its address',
      { name: 'near', effect: 'Deny', from: [{ ipBlocks: [loopback] }] },
      false,
    ],
  ])('that proves none %s', async (_, rule, allowed) => {
    const pod = await api({ mode: 'Permissive', ...rules(rule) });
    expect(await ask(client(pod.knock(), undefined), 'tls')).toBe(allowed ? 'tls' : '');
    expect(await ask(pod.knock(), 'GET / HTTP/1.1\r\n\r\n')).toBe(allowed ? 'GET / HTTP/1.1\r\n\r\n' : '');
    expect(denials(pod).length > 0).toBe(!allowed);
  });

  test('is judged on ports that the sidecar leaves alone, too', async () => {
    const pod = await api({
      mode: 'Disabled',
      ...rules({ name: 'far', effect: 'Allow', from: [{ ipBlocks: ['10.0.0.0/8'] }] }),
    });
    expect(await ask(pod.knock(), 'hello')).toBe('');
    expect(denials(pod)[0]).toMatchObject({ detail: 'a caller without an identity: no Allow rule matches' });
    await change(pod, {
      mode: 'Disabled',
      ...rules({ name: 'here', effect: 'Allow', to: [{ ports: [pod.applicationPort] }] }),
    });
    expect(await ask(pod.knock(), 'hello')).toBe('hello');
  });
});

test('rules hold again after a restart with the control API away', async () => {
  const first = await api(rules(onlyWeb));
  const batch = await testLeaf(mesh.authority, { service: 'batch' });
  await until(() => first.core.notReady().length === 0, 'it is ready');
  await first.stop();
  await mesh.control.stop();
  const again = await mesh.pod('api', { stateFolder: first.stateFolder });
  expect(await ask(client(again.knock(), batch), 'hello')).toBe('');
  expect(denials(again)).toHaveLength(1);
});

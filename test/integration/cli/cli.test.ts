// The CLI against a real API server: what it reads, what it changes there, and what it says when it may not or cannot.
import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { runCli } from '../../../cli/app.ts';
import { type ControlPlane, startControlPlane } from '../../../hack/cluster/api.ts';
import type { TLSIssuer } from '../../../lib/api/tlsissuer.ts';
import type { TLSRevocation } from '../../../lib/api/tlsrevocation.ts';

jest.setTimeout(120_000);

const root = resolve(import.meta.dirname, '../../..');
const folder = mkdtempSync(join(tmpdir(), 'tabard-cli-'));
let plane: ControlPlane;
/** Kubeconfig of somebody who may only view policies. */
let viewer: string;

async function apply(...items: readonly object[]): Promise<void> {
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  await plane.kubectl(['apply', '--server-side', '-f', '-'], { input });
}

async function setStatus(kind: string, name: string, status: object, namespace?: string): Promise<void> {
  const within = namespace === undefined ? [] : ['-n', namespace];
  await plane.kubectl([
    'patch',
    kind,
    name,
    ...within,
    '--subresource=status',
    '--type=merge',
    '-p',
    JSON.stringify({ status }),
  ]);
}

async function read<T>(kind: string, name: string): Promise<T> {
  return JSON.parse(await plane.kubectl(['get', kind, name, '-o', 'json'])) as T;
}

/** Runs a command line in this process, as the person of a kubeconfig. */
async function tabard(line: string, { as = plane.kubeconfig, answer = undefined as string | undefined } = {}) {
  const out: string[] = [];
  const err: string[] = [];
  const code = await runCli({
    words: line.match(/"[^"]*"|\S+/g)?.map((word) => word.replaceAll('"', '')) ?? [],
    environment: { KUBECONFIG: as },
    terminal: {
      out: (text) => void out.push(text),
      err: (text) => void err.push(text),
      ask: () => Promise.resolve(answer),
    },
    signal: AbortSignal.timeout(60_000),
  });
  return { code, out: out.join('\n'), err: err.join('\n') };
}

const now = Date.now();
const at = (hours: number): string => new Date(now + hours * 3_600_000).toISOString().replace(/\.\d+Z$/, 'Z');
const fingerprint = 'ab'.repeat(32);
const identity = 'spiffe://cluster.local/ns/shop/svc/web';

function secret(service: string, notes: Record<string, string> = {}): object {
  const annotations = {
    'tabard.dev/service': service,
    'tabard.dev/serial': '0A1B2C3D4E5F60718293A4B5C6D7E8F9',
    'tabard.dev/issuer': 'cluster',
    'tabard.dev/not-before': at(-2),
    'tabard.dev/renew-at': at(12),
    'tabard.dev/not-after': at(22),
    ...notes,
  };
  const labels = { 'app.kubernetes.io/managed-by': 'tabard', 'tabard.dev/service': service };
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: `tabard-${service}`, namespace: 'shop', labels, annotations },
    type: 'kubernetes.io/tls',
    stringData: { 'tls.crt': 'certificate', 'tls.key': 'the key that nobody is to see', 'ca.crt': '' },
  };
}

function pod(name: string): object {
  const labels = { 'tabard.dev/injected': 'true' };
  const annotations = { 'tabard.dev/service': 'web' };
  const spec = { automountServiceAccountToken: false, containers: [{ name: 'app', image: 'app' }] };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'shop', labels, annotations }, spec };
}

/** A kubeconfig with a service account's token. */
async function tokenKubeconfig(account: string): Promise<string> {
  const token = (await plane.kubectl(['create', 'token', account, '-n', 'shop'])).trim();
  const path = join(folder, `${account}.kubeconfig`);
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server: plane.server, 'certificate-authority': plane.ca } }],
    users: [{ name: 'u', user: { token } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', namespace: 'shop' } }],
    'current-context': 'x',
  };
  writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
  return path;
}

beforeAll(async () => {
  plane = await startControlPlane();
  const crds = readdirSync(join(root, 'crds')).map((name) => ['-f', join(root, 'crds', name)]);
  await plane.kubectl(['apply', '--server-side', ...crds.flat()]);
  await plane.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
  await plane.kubectl(['create', 'namespace', 'shop']);
  const account = (name: string) => ({
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name, namespace: 'shop' },
  });
  await apply(account('default'), account('viewer'), {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: 'policy-viewer' },
    rules: [{ apiGroups: ['tabard.dev'], resources: ['tlspolicies'], verbs: ['get', 'list'] }],
  });
  await plane.kubectl([
    'create',
    'clusterrolebinding',
    'v',
    '--clusterrole=policy-viewer',
    '--serviceaccount=shop:viewer',
  ]);
  viewer = await tokenKubeconfig('viewer');
  await apply(
    secret('web'),
    secret('late', { 'tabard.dev/not-after': at(-1), 'tabard.dev/renew-at': at(-8) }),
    pod('web-1'),
    pod('web-2'),
    { apiVersion: 'tabard.dev/v1alpha1', kind: 'TLSPolicy', metadata: { name: 'all', namespace: 'shop' }, spec: {} },
    { apiVersion: 'tabard.dev/v1alpha1', kind: 'TLSIssuer', metadata: { name: 'cluster' }, spec: { selfSigned: {} } },
  );
  const service = {
    name: 'web',
    serial: 'AA',
    issuer: 'cluster',
    notAfter: at(22),
    renewAt: at(12),
    pods: 2,
    ready: true,
  };
  await setStatus('tlspolicy', 'all', { services: [service] }, 'shop');
  await setStatus('tlsissuer', 'cluster', {
    conditions: [{ type: 'Ready', status: 'True', reason: 'CanSign', message: '', lastTransitionTime: at(0) }],
    authorities: [{ keyId: 'AA'.repeat(20), fingerprint, notAfter: at(1_000), role: 'Active' }],
    rotation: { phase: 'Idle', handledReasons: ['rotate:last year'] },
  });
}, 900_000);

afterAll(async () => {
  await plane?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('tabard certs', () => {
  test('lists certificates with their pods, and ends with 1 because one has expired', async () => {
    const { code, out } = await tabard('certs -n shop');
    expect(out).toMatch(/^SERVICE .*\nlate .* expired\nweb +0A1B2C3D4E5F… +cluster +2h.*Secret +2 +-$/s);
    expect(code).toBe(1);
  });

  test('gives everything as JSON, and nothing of the data of Secrets', async () => {
    const { out } = await tabard('certs -A -o json --issuer cluster');
    expect(JSON.parse(out)).toMatchObject([
      { service: 'late', fault: 'expired' },
      { service: 'web', serial: '0A1B2C3D4E5F60718293A4B5C6D7E8F9', pods: 2, delivery: 'Secret' },
    ]);
    expect(out).not.toContain('nobody is to see');
  });

  test('shows what policies say to somebody who may not list Secrets', async () => {
    const { code, out, err } = await tabard('certs', { as: viewer });
    expect(err).toContain('You may not list Secrets');
    expect(out).toMatch(/\nweb +AA +cluster/);
    expect(code).toBe(0);
  });

  test('says so where there is nothing', async () => {
    expect(await tabard('certs -n default')).toMatchObject({ code: 0, out: '', err: 'No certificates in default.' });
  });
});

describe('tabard ca', () => {
  test('status shows the issuers, and one of them in full', async () => {
    expect(await tabard('ca status')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/cluster +selfSigned +True/),
    });
    expect((await tabard('ca status cluster')).out).toContain(`Active   ${fingerprint}`);
  });

  test('rotate --plan changes nothing and names the pods that would hold it up', async () => {
    const { code, out } = await tabard('ca rotate --plan');
    expect(out).toContain('shop/web-1: its sidecar does not run (Pending)');
    expect(out).toContain('at least 1 certificates');
    expect(code).toBe(1);
    expect((await read<TLSIssuer>('tlsissuer', 'cluster')).metadata.annotations?.['tabard.dev/rotate']).toBeUndefined();
  });

  test('rotate asks for a rotation, once per reason', async () => {
    expect(await tabard('ca rotate --reason "new year"')).toMatchObject({ code: 0 });
    expect((await read<TLSIssuer>('tlsissuer', 'cluster')).metadata.annotations?.['tabard.dev/rotate']).toBe(
      'new year',
    );
    for (const reason of ['new year', 'last year']) {
      expect(await tabard(`ca rotate --reason "${reason}"`)).toMatchObject({
        code: 1,
        err: expect.stringContaining('state another one'),
      });
    }
    expect(await tabard('ca rotate')).toMatchObject({ code: 2, err: expect.stringContaining('--reason') });
  });

  test('pause and resume set what the operator reads', async () => {
    expect(await tabard('ca pause')).toMatchObject({ code: 0, out: expect.stringContaining('paused') });
    expect((await read<TLSIssuer>('tlsissuer', 'cluster')).spec.rotation?.paused).toBe(true);
    expect(await tabard('ca resume')).toMatchObject({ code: 0 });
    expect((await read<TLSIssuer>('tlsissuer', 'cluster')).spec.rotation?.paused).toBe(false);
  });

  test('undo takes back what is under way, and says so where nothing is', async () => {
    expect(await tabard('ca undo')).toMatchObject({
      code: 1,
      err: expect.stringContaining('no rotation is under way'),
    });
    await setStatus('tlsissuer', 'cluster', { rotation: { phase: 'Prepared' } });
    expect(await tabard('ca undo --reason mistake')).toMatchObject({ code: 0 });
    const { annotations } = (await read<TLSIssuer>('tlsissuer', 'cluster')).metadata;
    expect(annotations?.['tabard.dev/undo-rotation']).toBe('mistake');
  });

  test('distrust-now says what breaks, and does nothing without the fingerprint and a yes', async () => {
    const asked = async () =>
      (await read<TLSIssuer>('tlsissuer', 'cluster')).metadata.annotations?.['tabard.dev/distrust-now'];
    expect(await tabard('ca distrust-now abab --yes-break-connections')).toMatchObject({ code: 2 });
    expect(await tabard(`ca distrust-now ${'cd'.repeat(32)} --yes-break-connections`)).toMatchObject({ code: 1 });
    expect(await tabard(`ca distrust-now ${fingerprint}`)).toMatchObject({
      code: 2,
      err: expect.stringMatching(/This breaks connections.*1 services with 2 pods.*--yes-break-connections/s),
    });
    expect(await tabard(`ca distrust-now ${fingerprint}`, { answer: 'yes' })).toMatchObject({ code: 1 });
    expect(await asked()).toBeUndefined();
    expect(await tabard(`ca distrust-now ${fingerprint}`, { answer: fingerprint })).toMatchObject({ code: 0 });
    expect(await asked()).toBe(fingerprint);
  });
});

describe('tabard revoke', () => {
  const named = async (line: string): Promise<TLSRevocation> => {
    const { code, out } = await tabard(line);
    expect({ code, out }).toMatchObject({ code: 0 });
    return read<TLSRevocation>('tlsrevocation', /TLSRevocation "([^"]+)"/.exec(out)?.[1] ?? '');
  };

  test('makes a revocation of an identity, once, and unrevoke lifts it', async () => {
    const made = await named(`revoke identity ${identity} --reason privilegewithdrawn --until 8h --comment "ticket 7"`);
    expect(made.spec).toMatchObject({ identity, reason: 'privilegeWithdrawn', comment: 'ticket 7' });
    expect(Date.parse(made.spec.until ?? '')).toBeGreaterThan(now + 7 * 3_600_000);
    expect(await tabard(`revoke identity ${identity} --reason keyCompromise`)).toMatchObject({
      code: 1,
      err: expect.stringContaining(`tabard unrevoke ${made.metadata.name}`),
    });
    expect(await tabard(`unrevoke ${made.metadata.name}`)).toMatchObject({ code: 0 });
    expect(await tabard(`unrevoke ${made.metadata.name}`)).toMatchObject({
      code: 1,
      err: expect.stringContaining('Not found'),
    });
  });

  test('means the very pod that is there now', async () => {
    const { spec } = await named('revoke pod shop/web-1 --reason keyCompromise');
    const uid = await plane.kubectl(['get', 'pod', 'web-1', '-n', 'shop', '-o', 'jsonpath={.metadata.uid}']);
    expect(spec.pod).toEqual({ namespace: 'shop', name: 'web-1', uid });
    expect(await tabard('revoke pod shop/absent --reason keyCompromise')).toMatchObject({ code: 1 });
  });

  test('--wait follows the status until all sidecars enforce it', async () => {
    const serial = '0A1B2C3D4E5F60718293A4B5C6D7E8F9';
    const waiting = tabard(`revoke serial ${serial} --reason keyCompromise --wait`);
    const name = await eventually(async () => {
      const all = JSON.parse(await plane.kubectl(['get', 'tlsrevocations', '-o', 'json'])) as {
        items: TLSRevocation[];
      };
      return all.items.find(({ spec }) => spec.serial === serial)?.metadata.name;
    });
    await setStatus('tlsrevocation', name, {
      sidecars: { total: 2, enforcing: 1 },
      enforced: '1/2',
      lagging: ['shop/web-2'],
    });
    const condition = { type: 'Enforced', status: 'True', reason: 'All', message: '', lastTransitionTime: at(0) };
    await setStatus('tlsrevocation', name, {
      sidecars: { total: 2, enforcing: 2 },
      enforced: '2/2',
      conditions: [condition],
    });
    expect(await waiting).toMatchObject({ code: 0, out: expect.stringContaining('Enforced by 2 of 2 sidecars.') });
  });

  test('--wait names who lags when it takes too long', async () => {
    const answer = await tabard('revoke serial FFFF --reason superseded --wait --timeout 1s');
    expect(answer).toMatchObject({ code: 1, err: expect.stringContaining('is the operator running?') });
  });

  test('revocations lists them, and ends with 1 while one is not enforced', async () => {
    const { code, out } = await tabard('revocations');
    expect(out).toMatch(/serial +0A1B2C3D4E5F60718293A4B5C6D7E8F9 +keyCompromise +2\/2 +never/);
    expect(code).toBe(1);
  });

  test.each([
    ['revoke', 'missing'],
    ['revoke pod web-1', '--reason'],
    ['revoke serial xyz --reason superseded', 'hexadecimal'],
    ['revoke pod web-1 --reason stolen', 'keyCompromise'],
    ['revoke pod web-1 --reason superseded --until yesterday', 'duration'],
    ['revoke pod web-1 --because superseded', 'because'],
  ])('"%s" is refused before the cluster is asked', async (line, said) => {
    expect(await tabard(line, { as: join(folder, 'absent') })).toMatchObject({
      code: 2,
      err: expect.stringContaining(said),
    });
  });
});

describe('tabard authz suggest', () => {
  test('says that there is nothing where nobody was noted', async () => {
    const { code, err } = await tabard('authz suggest web -n shop');
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/^No caller with an identity was let in since .*; there is nothing/),
    ]);
  });

  test('writes a policy that the API server takes as it is', async () => {
    const service = { name: 'web', pods: 2, ready: true };
    const seen = { service: 'web', port: 8080, connections: 7, since: at(-3), lastSeen: at(-1) };
    const callers = [{ ...seen, identity: 'spiffe://cluster.local/ns/pay/svc/till' }, seen];
    await setStatus('tlspolicy', 'all', { services: [service], callersSince: at(-3), callers }, 'shop');
    const { code, out, err } = await tabard('authz suggest web -n shop');
    expect([code, err]).toEqual([
      0,
      expect.stringMatching(/noted for 3h only.*\n.*7 connections of callers that proved no identity/),
    ]);
    const input = `${out}\n`;
    await plane.kubectl(['apply', '--dry-run=server', '-f', '-'], { input });
    const taken = JSON.parse(
      await plane.kubectl(['create', '--dry-run=client', '-o', 'json', '-f', '-'], { input }),
    ) as {
      readonly spec: object;
    };
    expect(taken.spec).toMatchObject({
      mode: 'Mutual',
      authorization: {
        rules: [
          {
            name: 'pay-till',
            audit: true,
            from: [{ services: ['till'], namespaces: ['pay'] }],
            to: [{ ports: [8080] }],
          },
        ],
      },
    });
  });
});

describe('tabard authz suggest from requests', () => {
  const caller = { identity: 'spiffe://cluster.local/ns/shop/svc/web', port: 8080, since: at(-300), lastSeen: at(-1) };
  const callers = [{ ...caller, service: 'api', connections: 7 }];
  const requests = [
    { ...caller, service: 'api', method: 'GET', host: 'api', path: '/items/*', requests: 9 },
    { ...caller, service: 'api', method: 'POST', path: '/shop.v1.Cart/Add', requests: 1 },
  ];
  const to = [
    { ports: [8080], methods: ['GET'], paths: ['/items/*'], hosts: ['api'] },
    { ports: [8080], grpcMethods: ['shop.v1.Cart/Add'] },
  ];

  test('writes a first policy for a service without one, which the API server takes', async () => {
    await plane.kubectl(['create', 'namespace', 'fresh']);
    const within = (name: string) => ({ name, namespace: 'fresh' });
    const injected = (service: string) => ({
      ...within(service),
      labels: { 'tabard.dev/injected': 'true', app: service },
      annotations: { 'tabard.dev/service': service },
    });
    const spec = { automountServiceAccountToken: false, containers: [{ name: 'app', image: 'app' }] };
    const seen = { callersSince: at(-300), callers, requestsSince: at(-300), requests };
    await apply(
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: within('default') },
      { apiVersion: 'v1', kind: 'Pod', metadata: injected('api'), spec },
      { apiVersion: 'v1', kind: 'Pod', metadata: injected('web'), spec },
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: within('api'),
        spec: { selector: { app: 'api' }, ports: [{ name: 'x', port: 80, targetPort: 8080, appProtocol: 'http' }] },
      },
    );
    expect((await tabard('authz suggest api -n fresh')).code).toBe(1);
    const data = { 'seen.json': JSON.stringify(seen) };
    await apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: within('tabard-callers-api'), data });
    const { code, out, err } = await tabard('authz suggest api -n fresh');
    expect([code, err]).toEqual([0, expect.stringMatching(/^Warning: paths that end with/)]);
    await plane.kubectl(['apply', '-f', '-'], { input: `${out}\n` });
    const { spec: made } = JSON.parse(
      await plane.kubectl(['get', 'tlspolicy', 'api', '-n', 'fresh', '-o', 'json']),
    ) as { readonly spec: object };
    expect(made).toMatchObject({
      selector: { matchLabels: { app: 'api' } },
      authorization: { rules: [{ name: 'shop-web', from: [{ services: ['web'], namespaces: ['shop'] }], to }] },
    });
  });

  test('narrows a policy that is there', async () => {
    const status = { callersSince: at(-300), callers, requestsSince: at(-300), requests };
    await setStatus('tlspolicy', 'api', status, 'fresh');
    const { code, out } = await tabard('authz suggest api -n fresh');
    expect(code).toBe(0);
    const taken = JSON.parse(
      await plane.kubectl(['apply', '--dry-run=server', '-o', 'json', '-f', '-'], { input: `${out}\n` }),
    ) as { readonly spec: object };
    expect(taken.spec).toMatchObject({ authorization: { rules: [{ name: 'shop-web', to }] } });
  });
});

describe('when it cannot', () => {
  test('a missing right is exit code 3, with the right that is missing', async () => {
    const { code, err } = await tabard('ca status', { as: viewer });
    expect(code).toBe(3);
    expect(err).toMatch(/tlsissuers.*\nAsk whoever administers/s);
  });

  test('a kubeconfig that is not there, and a context that is not in it, are named', async () => {
    expect(await tabard('certs', { as: join(folder, 'absent') })).toMatchObject({
      code: 3,
      err: expect.stringContaining('absent'),
    });
    expect(await tabard('certs --context nowhere')).toMatchObject({
      code: 3,
      err: expect.stringContaining('no context "nowhere"'),
    });
  });

  test('an API server that does not answer is exit code 3', async () => {
    const path = join(folder, 'dead.kubeconfig');
    const cluster = { server: 'https://127.0.0.1:1' };
    const contexts = [{ name: 'x', context: { cluster: 'c', user: 'u' } }];
    const config = {
      clusters: [{ name: 'c', cluster }],
      users: [{ name: 'u', user: {} }],
      contexts,
      'current-context': 'x',
    };
    writeFileSync(path, JSON.stringify(config));
    expect(await tabard('ca status', { as: path })).toMatchObject({
      code: 3,
      err: expect.stringContaining('does not answer'),
    });
  });

  test('an unknown command is exit code 2', async () => {
    expect(await tabard('burn')).toMatchObject({ code: 2, err: expect.stringContaining('tabard help') });
    expect(await tabard('ca')).toMatchObject({ code: 2 });
  });
});

test('it runs as a program of its own, and as a plugin of kubectl', async () => {
  const path = join(folder, 'kubectl-tabard');
  writeFileSync(path, `#!/bin/sh\nexec "${process.execPath}" "${join(root, 'cli/main.ts')}" "$@"\n`);
  chmodSync(path, 0o755);
  const { stdout } = await promisify(execFile)(path, ['help', 'certs'], { timeout: 60_000 });
  expect(stdout).toContain('Usage: tabard certs');
  const env = { PATH: `${folder}:${process.env['PATH'] ?? ''}` };
  expect(await plane.kubectl(['tabard', 'ca', 'status'], { env })).toContain('selfSigned');
});

/** What `look` gives once it gives anything; fails after thirty seconds. */
async function eventually<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (const until = Date.now() + 30_000; ; ) {
    const seen = await look();
    if (seen !== undefined) return seen;
    if (Date.now() > until) throw new Error('not within 30 s');
    await new Promise((done) => setTimeout(done, 100));
  }
}

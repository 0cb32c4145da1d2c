// Workloads that terminate TLS themselves (`inject: "certificate"`) under a real kubelet: Node, Go and nginx with the mounted folder, called in mutual TLS
// from a pod with a sidecar and from another without. Certificates are renewed and the CA rotates under the calls; nothing fails.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parseCertificates } from '../../lib/pki/bundle.ts';
import { type Kit, kit, type Raw, until } from '../support/e2e/kit.ts';
import { processesOf } from '../support/e2e/node.ts';
import { loadPeers } from '../support/e2e/peerimage.ts';
import { peerDeployment, peerService } from '../support/e2e/peerpods.ts';
import type { Target, TargetReport } from '../support/e2e/peers/calls.ts';
import { inject, policy } from '../support/e2e/workloads.ts';
import { nginxConfig } from '../support/interop/configs.ts';

const namespace = 'terminating';
const issuer = 'terminating';
const tls = '/var/run/tabard/tls';
const alone = { 'tabard.dev/inject': 'certificate' };
const servers = ['node', 'go', 'nginx'] as const;
const callers = ['inside', 'outside'] as const;
let k: Kit;
let image: string;

beforeAll(async () => {
  k = await kit();
  image = await loadPeers(k.cluster);
  await k.namespace(namespace);
  await k.apply(
    { apiVersion: 'tabard.dev/v1alpha1', kind: 'TLSIssuer', metadata: { name: issuer }, spec: { selfSigned: {} } },
    policy(namespace, 'all', { certificate: { issuer, lifetime: '1h' } }),
    ...servers.map((name) => peerService(namespace, name, { port: 8443 })),
  );
  await k.apply(node(), go(), ...nginx());
  await Promise.all(servers.map((name) => k.rolledOut(namespace, `deployment/${name}`, 300)));
  await k.apply(...callers.map(caller));
  await Promise.all(callers.map((name) => k.rolledOut(namespace, `deployment/${name}`, 300)));
}, 900_000);

afterAll(async () => {
  await k.drop(namespace);
  await k.kubectl(['delete', 'tlsissuer', issuer, '--ignore-not-found']);
});

const listening = { tcpSocket: { port: 8443 }, periodSeconds: 1 };
const server = (name: string, containers: readonly Raw[], pod: Raw = {}): Raw =>
  peerDeployment({ namespace, name, image, annotations: alone, containers, pod });

const node = (): Raw =>
  server('node', [{ name: 'app', args: ['/app/server.ts', tls, '8443'], readinessProbe: listening }]);

const go = (): Raw =>
  server('go', [{ name: 'app', command: ['/app/gopeer', 'serve', tls, ':8443'], readinessProbe: listening }]);

/** nginx does not watch files: a container beside it tells it, as docs/interop.md has it. */
function nginx(): readonly Raw[] {
  const text = nginxConfig({ port: 8443, tls, scratch: '/scratch' }, 'pod');
  const volumeMounts = [
    { name: 'scratch', mountPath: '/scratch' },
    { name: 'config', mountPath: '/config' },
  ];
  const containers = [
    {
      name: 'app',
      command: ['/usr/sbin/nginx', '-p', '/scratch', '-c', '/config/nginx.conf', '-e', 'stderr'],
      readinessProbe: listening,
      volumeMounts,
    },
    { name: 'reloader', args: ['/app/reloader.ts', tls, '/scratch/nginx.pid'], volumeMounts },
  ];
  const volumes = [
    { name: 'scratch', emptyDir: {} },
    { name: 'config', configMap: { name: 'nginx' } },
  ];
  return [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'nginx', namespace }, data: { 'nginx.conf': text } },
    server('nginx', containers, { shareProcessNamespace: true, volumes }),
  ];
}

/** Calls all servers. The one with a sidecar mounts the Secret of its own service, so that its application has a certificate to show. */
function caller(name: (typeof callers)[number]): Raw {
  const targets = servers.map(
    (each): Target => ({ name: each, host: `${each}.${namespace}.svc`, port: 8443, lasting: each !== 'nginx' }),
  );
  const folder = name === 'inside' ? '/own' : tls;
  const env = { CALLER_TARGETS: JSON.stringify(targets), CALLER_FOLDER: folder };
  const own = { volumes: [{ name: 'own', secret: { secretName: `tabard-${name}` } }] };
  const mounts = { volumeMounts: [{ name: 'own', mountPath: '/own' }] };
  const app = { name: 'app', args: ['/app/caller.ts'], env: variables(env) };
  return name === 'inside'
    ? peerDeployment({ namespace, name, image, annotations: inject, containers: [{ ...app, ...mounts }], pod: own })
    : server(name, [app]);
}

const variables = (values: Readonly<Record<string, string>>): readonly Raw[] =>
  Object.entries(values).map(([name, value]) => ({ name, value }));

async function podOf(app: string): Promise<Raw> {
  const [pod] = await k.pods(namespace, `app=${app}`);
  if (pod === undefined) throw new Error(`no pod of ${app}`);
  return pod;
}

/** What a program that is run once in a pod prints. */
async function execute(app: string, script: string, args: readonly string[] = []): Promise<string> {
  const { metadata } = await podOf(app);
  const command = ['/usr/local/bin/node', '-e', script, ...args];
  return k.kubectl(['-n', namespace, 'exec', metadata.name, '-c', 'app', '--', ...command]);
}

async function report(name: string): Promise<Readonly<Record<string, TargetReport>>> {
  const { metadata } = await podOf(name);
  const text = await k.kubectl(['-n', namespace, 'logs', metadata.name, '-c', 'app', '--tail=3']);
  const [last] = text
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .slice(-1);
  return JSON.parse(last ?? '{}') as Readonly<Record<string, TargetReport>>;
}

async function leafOf(service: string): Promise<X509Certificate> {
  const secret = await k.get('secret', `tabard-${service}`, '-n', namespace);
  return new X509Certificate(Buffer.from(secret['data']['tls.crt'] as string, 'base64'));
}

/** Waits until every server shows every caller the certificate that is in its Secret, other than `before`; the serials. */
async function shown(before: readonly string[]): Promise<readonly string[]> {
  return until('every server to show its newest certificate', 120, async () => {
    const serials = await Promise.all(servers.map(async (name) => (await leafOf(name)).serialNumber));
    const seen = await Promise.all(callers.map(report));
    const last = seen.map((each) => servers.map((name) => each[name]?.serials.at(-1)));
    const isNew =
      last.every((each) => each.join() === serials.join()) && !serials.some((each) => before.includes(each));
    if (!isNew) throw new Error(JSON.stringify({ before, serials, last }));
    return serials;
  });
}

test('the pod gets the certificate in every container, and no sidecar, no redirect, no open port of ours', async () => {
  const pod = await podOf('nginx');
  expect(pod['metadata'].labels['tabard.dev/injected']).toBe('certificate');
  expect(pod['metadata'].annotations['tabard.dev/service']).toBe('nginx');
  expect(pod['spec'].initContainers).toBeUndefined();
  const containers = pod['spec'].containers as Raw[];
  expect(containers.map(({ name }) => name)).toEqual(['app', 'reloader']);
  for (const { volumeMounts, securityContext } of containers) {
    expect(volumeMounts).toContainEqual({ name: 'tabard-tls', mountPath: tls, readOnly: true });
    expect(securityContext?.capabilities?.add).toBeUndefined();
  }
  const [pid] = processesOf(pod['metadata'].uid as string, '/usr/sbin/nginx');
  const sockets = ['tcp', 'tcp6'].map((table) => readFileSync(`/proc/${pid}/net/${table}`, 'utf8')).join('');
  const listens = [...sockets.matchAll(/:([0-9A-F]{4}) \S+ 0A /g)].map(([, port = '']) => Number.parseInt(port, 16));
  expect(new Set(listens)).toEqual(new Set([8443]));
});

test('the webhook changes nothing about a pod that it has been at', async () => {
  for (const app of ['nginx', 'node']) {
    const { metadata, spec } = await podOf(app);
    const { labels, annotations } = metadata;
    const again = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'again', namespace, labels, annotations }, spec };
    const args = ['create', '--dry-run=server', '-o', 'json', '-f', '-'];
    const made = JSON.parse(await k.kubectl(args, JSON.stringify(again))) as Raw;
    expect(made['spec']).toEqual(spec);
    expect([made['metadata'].labels, made['metadata'].annotations]).toEqual([labels, annotations]);
  }
});

const knock = `
  const { readFileSync } = require('node:fs');
  const [, host, folder] = process.argv;
  const read = (name) => readFileSync(folder + '/' + name);
  const own = folder === '-' ? {} : { cert: read('tls.crt'), key: read('tls.key') };
  const socket = require('node:tls').connect({ host, port: 8443, servername: host, ca: readFileSync('${tls}/ca.crt'), ...own });
  let text = '';
  socket.on('secureConnect', () => socket.write('GET / HTTP/1.0\\r\\n\\r\\n'));
  socket.on('data', (data) => (text += data));
  socket.on('error', (error) => (text += error.code));
  socket.on('close', () => process.stdout.write(text));
`;

test('a caller with its certificate is known by it, one without is refused', async () => {
  for (const each of servers) {
    const host = `${each}.${namespace}.svc`;
    expect(await execute('outside', knock, [host, tls])).toMatch(/200 OK/);
    expect(await execute('outside', knock, [host, '-'])).not.toMatch(/200 OK/);
  }
  const peers = await until('both callers to be answered', 120, async () => {
    const said = await Promise.all(callers.map(async (name) => (await report(name))['node']?.said ?? ''));
    return said.every((each) => each.startsWith('{')) ? said : undefined;
  });
  callers.forEach((name, index) =>
    expect(peers[index]).toContain(`URI:spiffe://cluster.local/ns/${namespace}/svc/${name}`),
  );
}, 300_000);

const rotation = async (): Promise<Raw> => ((await k.get('tlsissuer', issuer))['status'] ?? {}) as Raw;

test('a renewal and a rotation of the CA under steady calls: 0 failed, no restart, every server shows the new certificate (cert-manager#1168 #1440 #1453, autocert#58, windows-gmsa#135)', async () => {
  const first = await shown([]);
  const startedAt = JSON.parse((await report('outside'))['node']?.said ?? '{}').started as string;
  const { caFingerprint: former } = await rotation();

  await k.apply(policy(namespace, 'all', { certificate: { issuer, lifetime: '2h' } }));
  const second = await shown(first);

  await k.kubectl(['annotate', 'tlsissuer', issuer, 'tabard.dev/rotate=the end-to-end suite']);
  const phases = new Set<string>();
  await until('the rotation to end', 240, async () => {
    const { caFingerprint, rotation: { phase } = {} as Raw } = await rotation();
    phases.add(phase);
    return phase === 'Idle' && caFingerprint !== former ? true : undefined;
  });
  const third = await shown([...first, ...second]);
  // The last phase may be over between two looks; these two wait for files to arrive.
  expect([...phases]).toEqual(expect.arrayContaining(['Prepared', 'Active']));

  for (const name of callers) {
    const seen = await report(name);
    const sum = Object.values(seen).reduce((total, { calls, lasting }) => total + calls + lasting.calls, 0);
    const failures = Object.values(seen).map(({ failed }) => failed);
    console.log(`certificate alone, called from ${name}: ${failures.join(' + ')} failed of ${sum}`);
    expect(Object.values(seen).flatMap(({ errors }) => errors)).toEqual([]);
    expect(failures).toEqual([0, 0, 0]);
    servers.forEach((each, index) => {
      // While nginx reloads, workers of both generations answer: no order is promised then.
      expect(new Set(seen[each]?.serials)).toEqual(new Set([first[index], second[index], third[index]]));
      expect(seen[each]?.calls).toBeGreaterThan(50);
    });
    expect(seen['node']?.lasting).toMatchObject({ serial: first[0] });
    expect(seen['go']?.lasting).toMatchObject({ serial: first[1] });
  }

  // The process that was called at first is the one that answers now.
  expect(JSON.parse((await report('outside'))['node']?.said ?? '{}').started).toBe(startedAt);
  for (const name of [...servers, ...callers]) {
    const { status } = await podOf(name);
    expect((status.containerStatuses as Raw[]).filter(({ restartCount }) => restartCount > 0)).toEqual([]);
  }
  const bundle = parseCertificates(
    await execute('outside', `process.stdout.write(require('node:fs').readFileSync('${tls}/ca.crt'))`),
  );
  const leaf = await leafOf('node');
  expect(bundle.filter((each) => leaf.checkIssued(each))).toHaveLength(1);
  expect(bundle.map(({ fingerprint256 }) => fingerprint256.replaceAll(':', '').toLowerCase())).not.toContain(
    String(former).toLowerCase(),
  );
}, 600_000);

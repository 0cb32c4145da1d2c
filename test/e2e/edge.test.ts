// Callers from outside of the mesh, under a real kubelet: a certificate ordered from an ACME CA (pebble), proved by the sidecars over http-01 and
// tls-alpn-01, projected beside the mesh's own, and shown to who asks for its name. It is renewed under calls; nothing fails.
import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { run } from '../../hack/cluster/run.ts';
import { type PebbleServer, startDns, startPebble } from '../support/acmeservers.ts';
import type { Daemon } from '../support/daemon.ts';
import { type Kit, kit, type Raw, until } from '../support/e2e/kit.ts';
import { system } from '../support/e2e/names.ts';
import { loadPeers } from '../support/e2e/peerimage.ts';
import { peerDeployment } from '../support/e2e/peerpods.ts';
import type { Target, TargetReport } from '../support/e2e/peers/calls.ts';
import { apiContainer, apiService, deployment, inject, policy } from '../support/e2e/workloads.ts';

const namespace = 'edge';
const issuer = 'edge';
const [name, second] = ['shop.example.com', 'www.shop.example.com'];
const setUpMs = 900_000;
let k: Kit;
let dns: Daemon & { readonly address: string };
let pebble: PebbleServer;
let clusterIP: string;
let image: string;

beforeAll(async () => {
  k = await kit();
  image = await loadPeers(k.cluster);
  await k.namespace(namespace);
  await k.apply(
    shopPolicy([]),
    policy(namespace, 'member', { selector: { matchLabels: { app: 'member' } }, http: { accessLog: 'All' } }),
    apiService(namespace, 'shop', { ports: servicePorts }),
  );
  await k.apply(
    deployment({ namespace, name: 'shop', replicas: 2, annotations: inject, container: apiContainer }),
    deployment({ namespace, name: 'member', annotations: inject, container: apiContainer }),
  );
  clusterIP = (await k.get('service', 'shop', '-n', namespace))['spec'].clusterIP as string;
  const inside = { netns: k.cluster.netns, address: k.cluster.nodeAddresses[0] };
  // For the CA every name of the outside leads to the Service.
  dns = await startDns({ answer: clusterIP, inside });
  pebble = await startPebble({ httpPort: 80, tlsPort: 443, dns: dns.address, inside });
  await k.apply({
    apiVersion: 'tabard.dev/v1alpha1',
    kind: 'TLSIssuer',
    metadata: { name: issuer },
    spec: {
      acme: {
        server: pebble.server,
        caBundle: Buffer.from(pebble.trust).toString('base64'),
        accountKeySecretRef: { name: 'edge-account' },
        solvers: [{ http01: {} }, { dnsZones: [second], tlsAlpn01: {} }],
      },
    },
  });
  await Promise.all(['shop', 'member'].map((each) => k.rolledOut(namespace, `deployment/${each}`, 300)));
}, setUpMs);

afterAll(async () => {
  await k.drop(namespace);
  await k.kubectl(['delete', 'tlsissuer', issuer, '--ignore-not-found']);
  await k.kubectl(['delete', 'secret', 'edge-account', '-n', system, '--ignore-not-found']);
  await pebble?.stop();
  await dns?.stop();
});

const servicePorts = [
  { name: 'http', port: 80, targetPort: 8080 },
  { name: 'https', port: 443, targetPort: 8080 },
  { name: 'application', port: 8080, targetPort: 8080 },
  { name: 'grpc', port: 9090, targetPort: 9090 },
];

/** Port 8080 is open to who has no certificate of the mesh, 9090 is not. */
function shopPolicy(dnsNames: readonly string[]): Raw {
  const edge = dnsNames.length === 0 ? {} : { edge: { issuer, dnsNames } };
  const ports = [{ port: 8080, mode: 'ServerOnly' }];
  return policy(namespace, 'shop', {
    selector: { matchLabels: { app: 'shop' } },
    ports,
    http: { accessLog: 'All' },
    ...edge,
  });
}

/** The CA's root, as its management port gives it. */
async function rootOf({ management }: PebbleServer): Promise<string> {
  const script =
    "process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; fetch(process.argv[1]).then((answer) => answer.text()).then(console.log)";
  const args = [`--net=${k.cluster.netns}`, process.execPath, '--no-warnings', '-e', script, `${management}/roots/0`];
  return run('nsenter', args, { timeoutMs: 30_000 });
}

/** A pod that knows nothing of the mesh and trusts the CA of the outside alone. */
async function outsider(): Promise<Raw> {
  const target: Target = { name: 'edge', host: name, port: 443, ca: await rootOf(pebble), lasting: true };
  const env = [{ name: 'CALLER_TARGETS', value: JSON.stringify([target]) }];
  const hostAliases = [{ ip: clusterIP, hostnames: [name, second] }];
  const containers = [{ name: 'app', args: ['/app/caller.ts'], env }];
  return peerDeployment({ namespace, name: 'outsider', image, containers, pod: { hostAliases } });
}

async function leafIn(secretName: string): Promise<X509Certificate> {
  const secret = await k.get('secret', secretName, '-n', namespace);
  return new X509Certificate(Buffer.from(secret['data']['tls.crt'] as string, 'base64'));
}

/** Waits until there is an edge certificate other than `before` that every sidecar of the service shows. */
async function edgeInUse(before?: string): Promise<X509Certificate> {
  const leaf = await until('the CA to issue', 120, async () => {
    const found = await leafIn('tabard-shop.edge');
    return found.serialNumber === before ? undefined : found;
  });
  for (const { metadata } of await k.pods(namespace, 'app=shop')) {
    await until(`the sidecar of ${metadata.name} to use it`, 120, async () => {
      const log = await k.sidecarLog(namespace, metadata.name as string);
      return log.find((line) => line['msg'] === 'edge certificate in use' && line['serial'] === leaf.serialNumber);
    });
  }
  return leaf;
}

async function report(): Promise<TargetReport> {
  const text = await k.kubectl(['-n', namespace, 'logs', 'deployment/outsider', '--tail=3']);
  const last = text.split('\n').findLast((line) => line.startsWith('{') && line.endsWith('}'));
  const { edge } = JSON.parse(last ?? '{}') as { readonly edge?: TargetReport };
  if (edge === undefined) throw new Error('the outsider has not reported yet');
  return edge;
}

const visitScript = `
  const [, servername, port, alpn] = process.argv;
  const ALPNProtocols = alpn === undefined ? [] : [alpn];
  const socket = require('node:tls').connect({ host: '${name}', port, servername, ALPNProtocols, rejectUnauthorized: false });
  const seen = { text: '' };
  socket.on('secureConnect', () => {
    seen.serial = socket.getPeerX509Certificate().serialNumber;
    socket.write('GET /health HTTP/1.0\\r\\n\\r\\n');
  });
  socket.on('data', (data) => (seen.text += data));
  socket.on('error', (error) => (seen.error = error.code));
  socket.on('close', () => process.stdout.write(JSON.stringify(seen)));
`;

/** What the outsider sees who asks for a name, and perhaps offers a protocol. */
async function visit(servername: string, port: number, alpn?: string): Promise<Raw> {
  const command = ['/usr/local/bin/node', '-e', visitScript, servername, String(port), ...(alpn ? [alpn] : [])];
  const text = await k.kubectl(['-n', namespace, 'exec', 'deployment/outsider', '--', ...command]);
  return JSON.parse(text) as Raw;
}

test('a client that trusts the outside’s CA alone is served by name, members see the mesh’s certificate, and a renewal breaks no call', async () => {
  await k.apply(shopPolicy([name]));
  const first = await edgeInUse();
  expect(first.subjectAltName).toBe(`DNS:${name}`);
  await k.apply(await outsider());
  await k.rolledOut(namespace, 'deployment/outsider', 300);
  await until('the outsider to be answered', 120, async () => ((await report()).calls > 20 ? true : undefined));

  const mesh = await leafIn('tabard-shop');
  expect(await visit(name, 443)).toMatchObject({ serial: first.serialNumber, text: expect.stringContaining('200 OK') });
  // Who names somebody else or speaks the mesh's own protocol is shown the mesh's certificate.
  expect(await visit(`shop.${namespace}.svc`, 443)).toMatchObject({ serial: mesh.serialNumber });
  expect(await visit(name, 443, 'tabard-tcp/1')).toMatchObject({ serial: mesh.serialNumber });
  // The edge certificate opens no port that asks for a certificate of the mesh.
  expect((await visit(name, 9090))['text']).toBe('');

  const [member] = await k.pods(namespace, 'app=member');
  const from = { namespace, pod: member?.['metadata'].name as string, container: 'app' };
  expect(await k.call(from, 'http', 'shop')).toMatchObject({ ok: true });

  await k.apply(shopPolicy([name, second]));
  const renewed = await edgeInUse(first.serialNumber);
  expect(renewed.subjectAltName).toBe(`DNS:${name}, DNS:${second}`);
  await until('the outsider to see it alone', 120, async () => {
    const { serials } = await report();
    return serials.at(-1) === renewed.serialNumber ? true : undefined;
  });
  expect(await visit(second, 443)).toMatchObject({ serial: renewed.serialNumber });
  expect(await k.call(from, 'http', 'shop')).toMatchObject({ ok: true });

  const { calls, failed, errors, serials, lasting } = await report();
  console.log(`edge: ${calls + lasting.calls} calls from outside, ${failed} failed`);
  expect(errors).toEqual([]);
  expect(failed).toBe(0);
  expect(new Set(serials)).toEqual(new Set([first.serialNumber, renewed.serialNumber]));
  expect(lasting.serial).toBe(first.serialNumber);

  // Every certificate that the member met is the mesh's.
  const log = await k.sidecarLog(namespace, from.pod);
  const met = log.filter((line) => line['msg'] === 'connection' && line['direction'] === 'outbound');
  expect(new Set(met.map((line) => line['peerSerial']))).toEqual(new Set([mesh.serialNumber]));
  const pods = await k.pods(namespace, 'app=shop');
  const restarts = pods.flatMap(
    ({ status }) => [...status.initContainerStatuses, ...status.containerStatuses] as Raw[],
  );
  expect(restarts.filter(({ restartCount }) => restartCount > 0)).toEqual([]);
}, 480_000);

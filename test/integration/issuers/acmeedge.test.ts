// The edge certificate from the policy to the client: ordered from pebble, proved by the sidecar, written as a Secret, mounted, and shown
// to who asks for its name. The kubelet's part, to copy the Secret into the volume, is done by the test.
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { TLSIssuer } from '../../../lib/api/tlsissuer.ts';
import type { TLSPolicy, TLSPolicySpec } from '../../../lib/api/tlspolicy.ts';
import { systemClock } from '../../../lib/clock.ts';
import type { Pod, Secret, Service } from '../../../lib/kube/object.ts';
import { Reflector } from '../../../lib/kube/reflector.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { ObjectStore } from '../../../lib/kube/store.ts';
import { Audit } from '../../../operator/audit/audit.ts';
import { Cluster, clusterIndexes } from '../../../operator/certificates/cluster.ts';
import { EdgeController } from '../../../operator/certificates/edge/controller.ts';
import { EdgeOutcomes } from '../../../operator/certificates/edge/outcomes.ts';
import type { Issuer } from '../../../operator/issuers/issuer.ts';
import { Issuers } from '../../../operator/issuers/issuers.ts';
import { bundleOf } from '../../../operator/trust/mesh.ts';
import { AcmeBench, type RunningAcme, type SidecarProcess } from '../../support/acmebench.ts';
import { type PebbleServer, postManagement, startDns, startPebble } from '../../support/acmeservers.ts';
import type { Daemon } from '../../support/daemon.ts';
import { kubeDeps } from '../../support/kubedeps.ts';
import { pod } from '../../support/meshbench.ts';
import { testLeaf } from '../../support/pki.ts';
import { received, until } from '../../support/pocketmesh.ts';

const buildMs = 900_000;
const testMs = 180_000;
const edgeName = 'shop.example.com';

let bench: AcmeBench;
let application: Server;
let sidecar: SidecarProcess;
let dns: Daemon & { readonly address: string };
let pebble: PebbleServer;
let acme: RunningAcme;
const stores = {
  pods: new ObjectStore<Pod>(clusterIndexes.pods),
  services: new ObjectStore<Service>(clusterIndexes.services),
  policies: new ObjectStore<TLSPolicy>(clusterIndexes.policies),
  secrets: new ObjectStore<Secret>(),
  issuers: new ObjectStore<TLSIssuer>(),
};
const outcomes = new EdgeOutcomes();
const stop = new AbortController();
let reflecting: Promise<unknown>;

beforeAll(async () => {
  application = createServer((socket) => socket.end('the application')).listen(0, '127.0.0.1');
  await once(application, 'listening');
  bench = await AcmeBench.start();
  bench.control.bench.policies.set('web', { mode: 'ServerOnly' });
  bench.control.bench.mesh.policiesChanged('shop');
  sidecar = await bench.sidecar((application.address() as AddressInfo).port);
  dns = await startDns();
  const port = sidecar.inboundPort;
  pebble = await startPebble({ httpPort: port, tlsPort: port, dns: dns.address, refusedNonces: 33 });
  acme = await bench.acme('public', {
    server: pebble.server,
    caBundle: Buffer.from(pebble.trust).toString('base64'),
    profile: 'default',
    solvers: [{ http01: {} }],
  });
  await acme.settled();
  const { client, logger, metrics } = bench.deps;
  const selection = { labelSelector: 'app.kubernetes.io/managed-by=tabard' };
  const resource = resources.secrets;
  const reflector = new Reflector<Secret>({
    client,
    logger,
    metrics,
    resource,
    selection,
    store: stores.secrets,
    clock: systemClock,
  });
  reflecting = reflector.run(stop.signal).catch(() => undefined);
  const known = bench.issuers.get('public');
  stores.issuers.replace(known === undefined ? [] : [known]);
  stores.services.replace([]);
  stores.pods.replace([pod({ name: 'web-1', service: 'web', ips: ['127.0.0.1'] })]);
  stores.policies.replace([]);
  await until(() => bench.control.reports.ofPod('uid-shop-web-1') !== undefined, 'the sidecar reported', 60_000);
}, buildMs);

afterAll(async () => {
  stop.abort();
  await reflecting;
  await pebble?.stop();
  await dns?.stop();
  await bench?.end();
  application?.close();
});

let versions = 1;

/** Applies the policy of service web. */
function policy(spec: TLSPolicySpec): void {
  versions += 1;
  const version = String(versions);
  stores.policies.set({
    apiVersion: 'tabard.dev/v1alpha1',
    kind: 'TLSPolicy',
    metadata: {
      name: 'web',
      namespace: 'shop',
      uid: 'policy',
      resourceVersion: version,
      generation: versions,
      creationTimestamp: '2026-01-01T00:00:00Z',
    },
    spec,
  });
}

/** Who is revoked, as a TLSRevocation would have it. */
const revoked = { serial: '', listeners: new Set<() => void>() };

/** Runs the controller, as a new leader would, until what is returned is called. */
function lead(): () => Promise<void> {
  const { client, logger } = bench.deps;
  const fresh = kubeDeps();
  const ended = new AbortController();
  const running = new Map<string, Issuer>([['public', acme.issuer]]);
  const controller = new EdgeController({
    client,
    logger,
    stores,
    outcomes,
    clock: systemClock,
    kubeMetrics: fresh.metrics,
    metrics: fresh.registry,
    cluster: new Cluster(stores),
    issuers: new Issuers({
      objects: stores.issuers,
      cluster: acme.issuer,
      running,
      trust: { current: () => bundleOf([bench.control.authority.certificate]) },
    }),
    reports: bench.control.reports,
    owners: {
      of: () => Promise.resolve([{ apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'deployment' }]),
    },
    events: { record: () => undefined },
    audit: new Audit(logger, fresh.registry),
    changes: [],
    revocations: {
      byIdentity: () => undefined,
      bySerial: (serial) => (serial === revoked.serial ? 'stolen' : undefined),
      touched: (listener) => {
        revoked.listeners.add(listener);
        return () => revoked.listeners.delete(listener);
      },
    },
    trustDomain: 'cluster.local',
    clusterDomain: 'cluster.local',
  });
  const done = controller.run(ended.signal);
  return async () => {
    ended.abort();
    await done;
  };
}

async function edgeSecret(): Promise<Secret | undefined> {
  const { items } = await bench.deps.client.list(resources.secrets, { namespace: 'shop' });
  return items.find(({ metadata }) => metadata.name === 'tabard-web.edge');
}

function decoded(secret: Secret | undefined, key: string): string {
  return Buffer.from(secret?.data?.[key] ?? '', 'base64').toString('utf8');
}

/** What a TLS client sees: the certificate, and what the application says. */
async function visit(options: ConnectionOptions) {
  const socket = connectTls({ host: '127.0.0.1', port: sidecar.inboundPort, rejectUnauthorized: false, ...options });
  socket.on('error', () => undefined);
  const certificate = once(socket, 'secureConnect').then(
    () => socket.getPeerX509Certificate(),
    () => undefined,
  );
  const { text } = await received(socket);
  return { text, names: (await certificate)?.subjectAltName, alpn: socket.alpnProtocol };
}

/** Does what the kubelet does with the optional source of the volume. */
async function mountEdge(): Promise<void> {
  const secret = await edgeSecret();
  sidecar.files.write({ 'edge.crt': decoded(secret, 'tls.crt'), 'edge.key': decoded(secret, 'tls.key') });
}

function inUse(serial: string): boolean {
  return sidecar.lines.some(({ msg, serial: of }) => msg === 'edge certificate in use' && of === serial);
}

describe('an edge certificate', () => {
  test(
    'is had, shown to who asks for its name, renewed when the CA says so, and gone with the policy',
    async () => {
      const end = lead();
      policy({ edge: { issuer: 'public', dnsNames: [edgeName] } });
      await until(() => outcomes.get('shop/web')?.current.kind === 'held', 'the certificate is had', 60_000);
      const secret = await edgeSecret();
      expect(secret?.type).toBe('kubernetes.io/tls');
      expect(Object.keys(secret?.data ?? {}).sort()).toEqual(['tls.crt', 'tls.key']);
      expect(secret?.metadata.ownerReferences).toEqual([
        { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'deployment' },
      ]);
      const first = new X509Certificate(decoded(secret, 'tls.crt'));
      await mountEdge();
      await until(() => inUse(first.serialNumber), 'the sidecar shows it', 30_000);

      const mesh = await testLeaf(bench.control.authority, { service: 'client' });
      const outside = await visit({ servername: edgeName });
      expect(outside).toMatchObject({ text: 'the application', names: `DNS:${edgeName}` });
      expect(await visit({ servername: edgeName, ALPNProtocols: ['h2', 'http/1.1'] })).toMatchObject({
        names: `DNS:${edgeName}`,
        alpn: 'http/1.1',
      });
      // Members of the mesh and everybody who names somebody else get the certificate of the mesh.
      const member = await visit({
        servername: edgeName,
        ALPNProtocols: ['tabard-tcp/1'],
        cert: mesh.certificate,
        key: mesh.key,
      });
      expect(member.names).toContain('URI:spiffe://cluster.local/ns/shop/svc/web');
      expect((await visit({ servername: 'web.shop' })).names).toContain('URI:spiffe://');
      expect((await visit({})).names).toContain('URI:spiffe://');
      await end();

      // The CA wants it renewed now; the next leader asks it and does so, and the sidecar changes over.
      const suggestedWindow = { start: '2026-01-01T00:00:00Z', end: '2026-01-02T00:00:00Z' };
      const ARIResponse = JSON.stringify({ suggestedWindow });
      await postManagement(pebble, '/set-renewal-info/', { Certificate: first.toString(), ARIResponse });
      const again = lead();
      const serial = (): string => {
        const current = outcomes.get('shop/web')?.current;
        return current?.kind === 'held' ? current.facts.serial : '';
      };
      await until(() => serial() !== first.serialNumber && serial() !== '', 'it was renewed', 60_000);
      await mountEdge();
      await until(() => inUse(serial()), 'the sidecar shows the next one', 30_000);

      // A key was stolen: another one takes its place at once.
      revoked.serial = serial();
      for (const listener of revoked.listeners) listener();
      await until(() => serial() !== revoked.serial && serial() !== '', 'the revoked one was replaced', 60_000);

      // The policy asks for it no more.
      policy({});
      await until(() => outcomes.get('shop/web') === undefined, 'nothing is wanted', 30_000);
      while ((await edgeSecret()) !== undefined) await systemClock.sleep(20);
      sidecar.files.write({ 'edge.crt': '', 'edge.key': '' });
      await until(() => sidecar.lines.some(({ msg }) => msg === 'edge certificate is gone'), 'it is gone', 30_000);
      expect((await visit({ servername: edgeName })).names).toContain('URI:spiffe://');
      await again();
    },
    testMs,
  );

  test.each<readonly [string, TLSPolicySpec['edge'], string, RegExp]>([
    [
      'a name of the cluster',
      { issuer: 'public', dnsNames: ['web.shop.svc.cluster.local'] },
      'NamesRefused',
      /Kubernetes Service/,
    ],
    ['a wildcard without dns-01', { issuer: 'public', dnsNames: ['*.example.com'] }, 'NamesRefused', /dns01/],
    ['an issuer that is not there', { issuer: 'absent', dnsNames: [edgeName] }, 'IssuerMissing', /absent/],
  ])(
    'is not ordered for %s, and the policy can say why',
    async (_, edge, reason, said) => {
      const end = lead();
      policy(edge === undefined ? {} : { edge });
      await until(() => outcomes.get('shop/web')?.blocked?.reason === reason, `it is ${reason}`, 30_000);
      expect(outcomes.get('shop/web')?.blocked?.message).toMatch(said);
      expect(await edgeSecret()).toBeUndefined();
      policy({});
      await until(() => outcomes.get('shop/web') === undefined, 'nothing is wanted', 30_000);
      await end();
    },
    testMs,
  );

  test(
    'never takes the place of a Secret that is somebody else’s',
    async () => {
      const metadata = { name: 'tabard-web.edge', namespace: 'shop' };
      await bench.deps.client.create(resources.secrets, { metadata, type: 'Opaque', data: {} });
      const end = lead();
      policy({ edge: { issuer: 'public', dnsNames: [edgeName] } });
      await until(() => outcomes.get('shop/web')?.blocked?.reason === 'SecretNotOurs', 'it is left alone', 30_000);
      expect((await edgeSecret())?.type).toBe('Opaque');
      await bench.deps.client.delete(resources.secrets, metadata);
      policy({});
      await end();
    },
    testMs,
  );
});
